"""`gym help`."""

from __future__ import annotations

import click

from gym_core.cli.terminal import Terminal, pass_terminal


@click.command("help")
@click.argument("command", metavar="[COMMAND]...", nargs=-1)
@pass_terminal
@click.pass_context
def help_(ctx: click.Context, terminal: Terminal, command: tuple[str, ...]) -> None:
    """Show how to use a command, as `gym COMMAND --help` does."""
    shown = ctx.find_root()
    for number, word in enumerate(command):
        if not isinstance(shown.command, click.Group):
            shown.fail(f"{shown.command_path} has no commands of its own: {' '.join(command[number:])!r}")
        name, found, _ = shown.command.resolve_command(shown, [word])
        assert found is not None
        shown = click.Context(found, info_name=name, parent=shown, **found.context_settings)
    terminal.out(shown.get_help())
