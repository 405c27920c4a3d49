"""`gym plugins list`."""

from __future__ import annotations

import platform

import click

from gym_core.cli.parameters import debug_option, disable_option, json_option, kind_option
from gym_core.cli.terminal import Terminal, pass_terminal
from gym_core.wiring.discovery import find_plugins
from gym_core.wiring.kinds import Kind
from gym_core.wiring.plugin import Plugin

TITLES = ("KIND", "NAME", "DISTRIBUTION", "VERSION", "STATE", "SUMMARY")


@click.command("list")
@kind_option
@json_option("Print one list of objects: kind, name, distribution, version, python, summary, state.")
@disable_option
@debug_option
@pass_terminal
def list_plugins(terminal: Terminal, kind: Kind | None, as_json: bool, disabled: tuple[str, ...]) -> None:
    """List the installed plugins without importing them.

    STATE is "ready"; "isolated" where it is ready in an environment of its own; "disabled" where GYM_DISABLE_PLUGINS
    or --disable-plugin switches it off; "conflict" where several distributions offer the same kind and name, so that it
    has to be called DIST/NAME. With "isolated" stands the version of the Python that it runs on.
    """
    plugins = find_plugins(kind, disabled=disabled)
    if as_json:
        terminal.out_json([as_row(plugin) for plugin in plugins])
    elif plugins:
        terminal.table(TITLES, [_cells(plugin) for plugin in plugins])
    else:
        what = f"plugin of the kind {kind}" if kind else "plugin"
        terminal.note(f"no {what} is installed; plugins are Python packages that `pip install` adds")


def as_row(plugin: Plugin) -> dict[str, str]:
    """A plugin as `--json` prints it."""
    return {
        "kind": plugin.kind.value,
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "python": plugin.python or platform.python_version(),
        "summary": plugin.summary,
        "state": plugin.state,
    }


def _cells(plugin: Plugin) -> tuple[str, ...]:
    row = as_row(plugin)
    if plugin.python:
        row["state"] += f" on {plugin.python}"
    return tuple(row[title.lower()] for title in TITLES)
