"""`gym plugins check`."""

from __future__ import annotations

import traceback

import click

from gym_core.cli.parameters import debug_option, disable_option, json_option
from gym_core.cli.plugins_list import as_row
from gym_core.cli.terminal import Terminal, pass_terminal


@click.command()
@json_option('Print one list of objects as `list` does, with the states "broken" and "damaged" and the key `problem`.')
@disable_option
@debug_option
@pass_terminal
def check(terminal: Terminal, as_json: bool, disabled: tuple[str, ...]) -> int:
    """Import every plugin and say which are broken.

    Plugins that are switched off are left alone. Installations whose metadata is damaged, which hides their plugins,
    are named: their state is "damaged". The exit status is 1 when a plugin is broken.
    """
    from gym_core.wiring.discovery import find_damage
    from gym_core.wiring.manager import PluginManager

    manager = PluginManager(disabled)
    rows = []
    problems = []
    for plugin in manager.plugins:
        row = as_row(plugin)
        problem = None if plugin.state == "disabled" else manager.check(plugin)
        if problem is not None:
            row["state"] = "broken"
            problems.append(problem)
        rows.append({**row, "problem": str(problem or "")})
    damage = find_damage()
    for one in damage:
        row = {"kind": "", "name": "", "distribution": one.distribution, "version": one.version, "python": ""}
        rows.append({**row, "summary": "", "state": "damaged", "problem": one.message})
    if as_json:
        terminal.out_json(rows)
    elif rows:
        titles = ("STATE", "KIND", "NAME", "DISTRIBUTION", "VERSION")
        terminal.table(titles, [[row[title.lower()] for title in titles] for row in rows])
    for one in () if as_json else damage:
        terminal.note(f"warning: {one.message}; {one.fix}")
    for problem in problems:
        if terminal.debug:
            terminal.note("".join(traceback.format_exception(problem)).rstrip())
        if terminal.debug or not as_json:
            terminal.error(problem.message, problem.hint)
    if not as_json:
        count = len(manager.plugins)
        counted = f"{count} plugin{'' if count == 1 else 's'}"
        terminal.note(f"{counted}, {len(problems)} broken" if problems else f"{counted}, none broken")
    return 1 if problems else 0
