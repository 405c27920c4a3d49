"""The sources of plugins that are not installed beside gym."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

from gym_core.domain.errors import PluginError, UsageError
from gym_core.wiring.kinds import Kind
from gym_core.wiring.plugin import Plugin
from gym_core.wiring.plugin_source import PluginSource


def working_sources(plugins: Iterable[Plugin]) -> Iterator[PluginSource]:
    """The sources among plugins. One that is broken finds nothing, and is left out."""
    for plugin in plugins:
        if plugin.kind is Kind.SOURCE and plugin.state == "ready":
            source = _opened(plugin)
            if not isinstance(source, PluginError):
                yield source


def find_source(name: str, plugins: Iterable[Plugin]) -> PluginSource:
    """The source of a name. Raises `UsageError` where it is not installed, `PluginError` where it is broken."""
    from gym_core.wiring.known import hint_to_install

    for plugin in plugins:
        if plugin.kind is Kind.SOURCE and plugin.name == name and plugin.state == "ready":
            source = _opened(plugin)
            if isinstance(source, PluginError):
                raise source
            return source
    raise UsageError(
        f"the source of plugins {name!r} is not installed, or is switched off", hint=hint_to_install(Kind.SOURCE, name)
    )


@cache
def _opened(plugin: Plugin) -> PluginSource | PluginError:
    """A source, or what is wrong with it. Imports it, and nothing of what it finds."""
    from gym_core.wiring.loading import Loader

    try:
        source: PluginSource = Loader().offered(plugin)
    except PluginError as error:
        return error
    return source
