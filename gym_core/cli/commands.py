"""The commands of `gym`: its own, and those of plugins, which are listed without being imported."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import click

from gym_core.cli.lazy import LazyGroup

if TYPE_CHECKING:
    from gym_core.wiring.discovery import Plugin

_OFFERED = f"{__name__}.offered"


class CommandGroup(LazyGroup):
    """A lazy group that plugins add to; what gym itself has cannot be replaced."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Gym's own, then those of plugins."""
        return [*self.table, *self._offered(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; one of a plugin may be called `DIST/NAME`.

        Raises `UsageError` for one that is switched off or that several offer, `PluginError` for one that is broken.
        """
        if cmd_name in self.table:
            return super().get_command(ctx, cmd_name)
        if cmd_name.rpartition("/")[2] not in self._offered(ctx):
            return None
        from gym_core.wiring.kinds import Kind
        from gym_core.wiring.manager import PluginManager

        command: click.Command = PluginManager().load(Kind.COMMAND, cmd_name).component
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by the table, and those of plugins by their distributions' summaries."""
        super().format_commands(ctx, formatter)
        if offered := self._offered(ctx):
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(name, plugin.summary) for name, plugin in offered.items()])

    def names(self, ctx: click.Context, wanted: str) -> Collection[str]:
        """What a first argument may be."""
        return self.table if wanted in self.table else {*self.table, *self._offered(ctx), *_qualified(wanted)}

    def _offered(self, ctx: click.Context) -> Mapping[str, Plugin]:
        """The commands of plugins by name."""
        if _OFFERED not in ctx.meta:
            from gym_core.wiring.discovery import find_plugins
            from gym_core.wiring.kinds import Kind

            found = find_plugins(Kind.COMMAND)
            ctx.meta[_OFFERED] = {plugin.name: plugin for plugin in found if plugin.name not in self.table}
        offered: Mapping[str, Plugin] = ctx.meta[_OFFERED]
        return offered


def _qualified(wanted: str) -> tuple[str, ...]:
    """`DIST/NAME` as it is: whether that is installed is said when it is loaded."""
    return (wanted,) if "/" in wanted else ()
