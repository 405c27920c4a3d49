"""A group whose commands are imported when they are invoked, not when they are listed."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from gym_core.domain.nearest import did_you_mean

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class LazyGroup(click.Group):
    """A click group over a table: a command's name -> `module:attribute` and its one line of help."""

    def __init__(self, *args: Any, table: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order in which the help lists them."""
        return [name for name, _ in self.helps(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self.table:
            return None
        module, _, attribute = self.table[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The names of commands and options that begin so, by the table: no command is imported."""
        from click.shell_completion import CompletionItem

        found = [CompletionItem(name, help=help) for name, help in self.helps(ctx) if name.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def helps(self, ctx: click.Context) -> list[tuple[str, str]]:
        """The commands with their lines of help."""
        return [(name, help) for name, (_, help) in self.table.items()]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl(self.helps(ctx))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one is answered with the nearest."""
        name, rest = args[0], args[1:]
        command = self.get_command(ctx, name)
        if command is None:
            if name.startswith("-") or ctx.resilient_parsing:
                return super().resolve_command(ctx, args)
            ctx.fail(f"{ctx.command_path} has no command {name!r}{did_you_mean(name, self.list_commands(ctx))}")
        if ctx.resilient_parsing:
            from gym_core.cli.completion import teach

            teach(command)
        elif not isinstance(command, click.Group):
            from gym_core.cli.parameters import refuse_several

            refuse_several(ctx, command, name, rest)
        return name, command, rest
