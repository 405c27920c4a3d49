"""The options of components for commands that look at some: they see what a run would see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from gym_core.cli.configuration import Configuration, read_file
from gym_core.cli.terminal import Terminal

Command = TypeVar("Command", bound=Callable[..., Any])


def component_config_options(command: Command) -> Command:
    """`--config` and `--no-config` for a command that looks at components; passes `config`, for `read_components`."""
    option = click.option(
        "--config",
        metavar="FILE",
        help="The file of a run that gives components their options: TOML, or a manifest. "
        "By default [tool.gym] of ./pyproject.toml, if there is one.",
    )
    off = click.option("--no-config", "config", flag_value="", help="Leave ./pyproject.toml alone.")
    return off(option(command))


def read_components(terminal: Terminal, config: str | None) -> Configuration:
    """What a file, and `.env`, give the components of a run. `config`: a path, None for the usual one, empty for none.

    Raises `UsageError`.
    """
    return Configuration(read_file(terminal, config, off=config == ""))
