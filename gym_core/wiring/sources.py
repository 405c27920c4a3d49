"""Plugins that are not installed beside gym: what a source of them can do, and what the sources have found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from gym_core.domain.errors import PluginError, UsageError
from gym_core.wiring.kinds import Kind
from gym_core.wiring.metadata import Damage
from gym_core.wiring.plugin import Plugin


class Installation(ABC):
    """One invocation of `gym install` or `gym uninstall` for a source."""

    @abstractmethod
    def install(self, packages: Sequence[str], options: Sequence[str], *, again: bool) -> int | None:
        """Bring packages to where the source finds them; `again`: also those that are there. Returns an exit status."""

    @abstractmethod
    def uninstall(self, distributions: Sequence[str]) -> int | None:
        """Remove distributions. Returns an exit status."""


class PluginSource(ABC):
    """A place where plugins are found, other than this interpreter.

    Finding must import none of them. `environ`: the variables of the process.
    """

    @abstractmethod
    def find(self, environ: Mapping[str, str]) -> Iterable[Plugin]:
        """The plugins that are there. What cannot be read is passed over."""

    @abstractmethod
    def broken(self, environ: Mapping[str, str]) -> Iterable[Damage]:
        """What hides plugins there, or may do so."""

    @abstractmethod
    def load(self, plugin: Plugin) -> Any:
        """The class that stands for a component that is there. Raises `PluginError`."""

    @abstractmethod
    def check(self, plugin: Plugin) -> None:
        """Load a plugin where it is. Raises `PluginError` when it cannot be."""

    @abstractmethod
    def installation(self, terminal: Any, *, yes: bool, dry_run: bool) -> Installation:
        """What installs there. `terminal`: a `gym_core.spi.Terminal`. `yes`: nobody is asked."""


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


def source_of(plugin: Plugin, plugins: Iterable[Plugin]) -> PluginSource:
    """The source that has found a plugin. Raises `PluginError` for one that is broken."""
    return find_source(plugin.source, plugins)


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
