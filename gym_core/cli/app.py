"""The commands of `gym`, and their help in one line each, so that `gym --help` imports none of them."""

from __future__ import annotations

import click

from gym_core.cli.commands import CommandGroup
from gym_core.cli.lazy import LazyGroup
from gym_core.version import __version__

_SETTINGS = {"help_option_names": ["-h", "--help"]}

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
        "rescore": ("gym_core.cli.rescore:rescore", "Verify stored rollouts again, without a model."),
        "plugins": ("gym_core.cli.app:plugins", "List, show and check the installed plugins."),
        "doctor": ("gym_core.cli.doctor:doctor", "Look for what keeps runs from going well, and say how to fix it."),
        "install": ("gym_core.cli.install:install", "Install packages into the environment that gym runs in."),
        "uninstall": (
            "gym_core.cli.install:uninstall",
            "Remove packages from the environment that gym runs in, or the environments of their own.",
        ),
        "config": ("gym_core.cli.config:show", "Show every value of a run with its origin, and start nothing."),
        "models": ("gym_core.cli.models:list_models", "List the models that an endpoint offers."),
        "tasks": ("gym_core.cli.tasks:tasks", "List the tasks that an environment ships, or those of a file."),
        "help": ("gym_core.cli.help:help_", "Show how to use a command, as `gym COMMAND --help` does."),
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
