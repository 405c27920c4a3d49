"""`gym new env|model|agent`."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gym_check.scaffold.project import LICENSES, Project
from gym_core.spi import Kind, Terminal, debug_option, pass_terminal


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        debug_option,
        click.option("--license", type=click.Choice(LICENSES), help="Add this licence; else you choose later."),
        click.option("--path", metavar="DIR", help="The folder to make; ./gym-NAME by default."),
        click.argument("name"),
    ):
        command = option(command)
    return command


@click.command()
@_options
@pass_terminal
def new_env(terminal: Terminal, name: str, path: str | None, license: str | None) -> None:
    """Start an environment's package in a new folder.

    NAME is what users type after --env. The package installs, passes its tests and `gym check NAME`, and runs as
    it is.
    """
    _write(terminal, Kind.RESOURCE_SERVER, name, path, license)


@click.command()
@_options
@pass_terminal
def new_model(terminal: Terminal, name: str, path: str | None, license: str | None) -> None:
    """Start a model backend's package in a new folder.

    NAME is what users type after --model. The package installs, passes its tests and runs as it is.
    """
    _write(terminal, Kind.MODEL, name, path, license)


@click.command()
@_options
@pass_terminal
def new_agent(terminal: Terminal, name: str, path: str | None, license: str | None) -> None:
    """Start an agent's package in a new folder.

    NAME is what users type after --agent. The package installs, passes its tests and runs as it is.
    """
    _write(terminal, Kind.AGENT, name, path, license)


def _write(terminal: Terminal, kind: Kind, name: str, path: str | None, license: str | None) -> None:
    from gym_check.scaffold.names import check_name
    from gym_core.spi import find_plugins, is_known, known_owner

    names = check_name(name)
    taken = [plugin for plugin in find_plugins(kind) if plugin.name == name]
    project = Project(kind, names, license)
    folder = Path(path) if path is not None else Path(names.distribution)
    for file in project.write(folder):
        terminal.out(str(file))
    for plugin in taken:
        terminal.note(
            f"warning: {plugin.distribution} offers the {kind.label} {name!r} already; with both installed users have "
            f"to write {names.distribution}/{name}"
        )
    owner = None if taken else known_owner(kind, name)
    if owner is not None:
        terminal.note(f"warning: {kind.flag} {name} is {kind.called} of {owner} already, which is not installed here")
    if is_known(names.distribution) and owner != names.distribution:
        terminal.note(f"warning: {names.distribution} is a distribution of gym's own: one would replace the other")
    terminal.out("\nNext:")
    steps = [
        (f"cd {shlex.quote(os.fspath(folder))}", ""),
        ('python -m pip install -e ".[dev]"', "install it where gym is"),
        ("pytest", "run its tests"),
        (project.check_command, "audit it" if kind is Kind.RESOURCE_SERVER else "see that gym can load it"),
        (project.run_command, "run it"),
    ]
    width = max(len(command) for command, _ in steps)
    for command, what in steps:
        terminal.out(f"  {command.ljust(width)}  {what}".rstrip())
    terminal.out(f"\nThe code is in {folder / names.package / '__init__.py'}; make it yours.")
    if license is None:
        terminal.out("It has no licence yet: before you publish it, add a LICENSE and name it in pyproject.toml.")
