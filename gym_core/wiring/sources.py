"""What the sources of plugins that are not installed beside gym have found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache

from gym_core.domain.errors import PluginError, UsageError
from gym_core.wiring.kinds import Kind
from gym_core.wiring.plugin import Plugin
from gym_core.wiring.plugin_source import Damage, PluginSource


def find_elsewhere(here: Sequence[Plugin], environ: Mapping[str, str]) -> Iterator[Plugin]:
    """What the sources among the plugins that are installed here have found. A broken source finds nothing."""
    for plugin in here:
        if plugin.kind is Kind.SOURCE and not isinstance(source := _opened(plugin), PluginError):
            yield from source.find(environ)


def broken_elsewhere(sources: Sequence[Plugin], environ: Mapping[str, str]) -> Iterator[Damage]:
    """What hides plugins in the sources."""
    for plugin in sources:
        if plugin.state == "ready" and not isinstance(source := _opened(plugin), PluginError):
            yield from source.broken(environ)


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
