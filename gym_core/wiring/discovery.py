"""Which plugins are installed. Reads metadata and imports none of them, so that a broken one cannot break the list."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from gym_core.wiring.isolated import broken_environments, read_environments, store_folder
from gym_core.wiring.kinds import GROUPS, Kind
from gym_core.wiring.metadata import Damage, canonical, damaged, scan

State: TypeAlias = Literal["ready", "isolated", "disabled", "conflict"]

DISABLE_VARIABLE = "GYM_DISABLE_PLUGINS"


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point of an installed distribution.

    `module`: the entry point's value, a module or `module:attribute`. `state`: `conflict` where another distribution
    offers the same kind and name, so that it must be called `distribution/name`; `isolated` where it is ready in an
    environment of its own. `environment`: the record of that environment, empty for one that is installed here.
    """

    kind: Kind
    name: str
    module: str
    distribution: str
    version: str
    summary: str
    state: State = "ready"
    environment: str = ""

    @property
    def qualified_name(self) -> str:
        """The reference that means this plugin and no other."""
        return f"{self.distribution}/{self.name}"

    def belongs_to(self, distribution: str) -> bool:
        """Whether that is its distribution, in any spelling."""
        return canonical(self.distribution) == canonical(distribution)


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
    found = [
        Plugin(
            GROUPS[entry.group], entry.name, entry.value, distribution.name, distribution.version, distribution.summary
        )
        for distribution in scan(sys.path if path is None else path)
        for entry in distribution.entry_points
        if entry.group in GROUPS and (kind is None or GROUPS[entry.group] is kind)
    ]
    if path is None:
        found += _isolated(kind, variables)
    order = list(Kind)
    found.sort(key=lambda plugin: (order.index(plugin.kind), plugin.name, canonical(plugin.distribution)))
    return _with_states(found, {switch for token in off if token.strip() for switch in _switches(token)})


def find_damage(*, environ: Mapping[str, str] | None = None, path: Sequence[str] | None = None) -> list[Damage]:
    """What hides plugins, or may do so: installations that are not sound. Arguments as for `find_plugins`."""
    found = list(damaged(sys.path if path is None else path))
    for record, problem in broken_environments(store_folder(environ)) if path is None else ():
        again = f"`gym install --isolated --upgrade {record.stem}` builds it again"
        found.append(Damage(record.stem, "", f"the record of an isolated environment, {record}, {problem}", again))
    return found


def _isolated(kind: Kind | None, environ: Mapping[str, str]) -> Iterator[Plugin]:
    kinds = {known.value: known for known in Kind}
    for record, environment in read_environments(store_folder(environ)):
        for component in environment.components:
            its = kinds.get(component["kind"])
            if its is not None and kind in (None, its):
                about = (environment.distribution, environment.version, environment.summary)
                yield Plugin(its, component["name"], "", *about, environment=str(record))


def _with_states(plugins: list[Plugin], off: set[str]) -> list[Plugin]:
    on = Counter((plugin.kind, plugin.name) for plugin in plugins if not _is_off(plugin, off))

    def state(plugin: Plugin) -> State:
        if _is_off(plugin, off):
            return "disabled"
        if on[plugin.kind, plugin.name] > 1:
            return "conflict"
        return "isolated" if plugin.environment else "ready"

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
