"""Which plugins are installed. Reads metadata and imports none of them, so that a broken one cannot break the list."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from gym_core.wiring.kinds import Kind
from gym_core.wiring.metadata import scan
from gym_core.wiring.plugin import Plugin, State, canonical
from gym_core.wiring.sources import working_sources

DISABLE_VARIABLE = "GYM_DISABLE_PLUGINS"
"""The variable that names distributions whose plugins are left out, separated by commas."""


def find_plugins(
    kind: Kind | None = None,
    *,
    disabled: Iterable[str] = (),
    environ: Mapping[str, str] | None = None,
    path: Sequence[str] | None = None,
) -> list[Plugin]:
    """The installed plugins, by kind and name; those in environments of their own among them.

    `disabled`: names, distributions or `DIST/NAME` that are switched off, in addition to those of the variable
    `GYM_DISABLE_PLUGINS` (separated by commas). `path` is `sys.path` by default; where it is given, nothing but what
    is on it is found.
    """
    variables = os.environ if environ is None else environ
    off = [*disabled, *variables.get(DISABLE_VARIABLE, "").split(",")]
    with_sources = path is None and (kind is None or kind.is_component)
    found = list(scan(sys.path if path is None else path, None if with_sources else kind))
    switches = {switch for token in off if token.strip() for switch in _switches(token)}
    if with_sources:
        for source in working_sources([plugin for plugin in found if not _is_off(plugin, switches)]):
            found += source.find(variables)
    found = [plugin for plugin in found if kind in (None, plugin.kind)]
    order = list(Kind)
    found.sort(key=lambda plugin: (order.index(plugin.kind), plugin.name, canonical(plugin.distribution)))
    return _with_states(found, switches)


def _with_states(plugins: list[Plugin], off: set[str]) -> list[Plugin]:
    # what the same option takes must differ in name, of whatever kind it is
    on = Counter((plugin.kind.usage or plugin.kind, plugin.name) for plugin in plugins if not _is_off(plugin, off))

    def state(plugin: Plugin) -> State:
        if _is_off(plugin, off):
            return "disabled"
        if on[plugin.kind.usage or plugin.kind, plugin.name] > 1:
            return "conflict"
        return "isolated" if plugin.source else "ready"

    return [replace(plugin, state=state(plugin)) for plugin in plugins]


def _is_off(plugin: Plugin, off: set[str]) -> bool:
    if not off:
        return False
    distribution = canonical(plugin.distribution)
    return not off.isdisjoint((plugin.name, f"{distribution}/", f"{distribution}/{plugin.name}"))


def _switches(token: str) -> tuple[str, ...]:
    """What a token switches off: a name, a distribution (`dist/`), or `dist/name`."""
    distribution, slash, name = token.strip().rpartition("/")
    return (f"{canonical(distribution)}/{name}",) if slash else (name, f"{canonical(name)}/")
