"""The commands of `gym`, its own and those of plugins, listed with a line of help each without importing them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from gym_core.cli.lazy import LazyGroup
from gym_core.cli.terminal import Terminal, pass_terminal
from gym_core.version import __version__
from gym_core.wiring.known import COMMANDS, hint_to_install

if TYPE_CHECKING:
    from gym_core.wiring.plugin import Plugin

_SETTINGS = {"help_option_names": ["-h", "--help"]}
_OFFERED = f"{__name__}.offered"


class CommandGroup(LazyGroup):
    """A lazy group that plugins add to; what gym itself has cannot be replaced.

    Commands that are known by name are listed where they are missing, too, and say what to install.
    """

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; one of a plugin may be called `DIST/NAME`.

        Raises `UsageError` for one that is missing, switched off or that several offer, `PluginError` for one that is
        broken.
        """
        if cmd_name in self.table:
            return super().get_command(ctx, cmd_name)
        name = cmd_name.rpartition("/")[2]
        if name not in self._offered(ctx):
            if name in COMMANDS:
                raise _missing(name)
            return None
        from gym_core.wiring.kinds import Kind
        from gym_core.wiring.manager import PluginManager

        command: click.Command = PluginManager().load(Kind.COMMAND, cmd_name).component
        return command

    def helps(self, ctx: click.Context) -> list[tuple[str, str]]:
        """Gym's own by the table, then those of plugins by their distributions' summaries."""
        return [*self._known(), *self._others(ctx)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List them, those of plugins that are not known by name apart."""
        with formatter.section("Commands"):
            formatter.write_dl(self._known())
        if others := self._others(ctx):
            with formatter.section("Commands of plugins"):
                formatter.write_dl(others)

    def _known(self) -> list[tuple[str, str]]:
        return [(name, help) for name, (_, help) in {**self.table, **COMMANDS}.items()]

    def _others(self, ctx: click.Context) -> list[tuple[str, str]]:
        return [(name, plugin.summary) for name, plugin in self._offered(ctx).items() if name not in COMMANDS]

    def _offered(self, ctx: click.Context) -> Mapping[str, Plugin]:
        """The commands of plugins by name."""
        if _OFFERED not in ctx.meta:
            from gym_core.wiring.discovery import find_plugins
            from gym_core.wiring.kinds import Kind

            found = find_plugins(Kind.COMMAND)
            ctx.meta[_OFFERED] = {plugin.name: plugin for plugin in found if plugin.name not in self.table}
        offered: Mapping[str, Plugin] = ctx.meta[_OFFERED]
        return offered


def _missing(name: str) -> Exception:
    from gym_core.domain.errors import UsageError
    from gym_core.wiring.kinds import Kind

    return UsageError(
        f"`gym {name}` comes with {COMMANDS[name][0]}, which is not installed", hint=hint_to_install(Kind.COMMAND, name)
    )


app = CommandGroup(
    "gym",
    help="Collect rollouts: an agent works with a model on an environment's tasks, and a verifier rewards it.",
    epilog="The same without the script: python -m gym_core",
    context_settings=_SETTINGS,
    table={
        "run": (
            "gym_core.cli.run:run",
            "Run an agent with a model on an environment's tasks and write one row per rollout.",
        ),
        "plugins": ("gym_core.cli.app:plugins", "List, show and check the installed plugins."),
        "install": ("gym_core.cli.install:install", "Install packages into the environment that gym runs in."),
        "uninstall": (
            "gym_core.cli.install:uninstall",
            "Remove packages from the environment that gym runs in, or the environments of their own.",
        ),
        "config": ("gym_core.cli.config:show", "Show every value of a run with its origin, and start nothing."),
        "models": ("gym_core.cli.models:list_models", "List the models that an endpoint offers."),
        "tasks": ("gym_core.cli.tasks:tasks", "List the tasks that an environment ships, or those of a file."),
        "help": ("gym_core.cli.app:help_", "Show how to use a command, as `gym COMMAND --help` does."),
    },
)
click.version_option(__version__, "-V", "--version", prog_name="gym")(app)

plugins = LazyGroup(
    "plugins",
    help="List, show and check the installed plugins.",
    context_settings=_SETTINGS,
    table={
        "list": ("gym_core.cli.plugins:list_plugins", "List the installed plugins without importing them."),
        "show": ("gym_core.cli.plugins:show", "Show what a plugin does and the options it takes."),
        "check": ("gym_core.cli.plugins:check", "Import every plugin and say which are broken."),
    },
)


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
