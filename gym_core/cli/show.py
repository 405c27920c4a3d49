"""`gym show`."""

from __future__ import annotations

from pathlib import Path

import click

from gym_core.cli.parameters import debug_option, json_option
from gym_core.cli.terminal import Terminal, pass_terminal


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("which", metavar="[N | TASK_ID[#REPEAT]]", required=False)
@json_option("Print the row itself, indented.")
@debug_option
@pass_terminal
def show(terminal: Terminal, file: Path, which: str | None, as_json: bool) -> None:
    """Show one stored rollout.

    FILE is what `gym run` wrote, results or failures. N counts the rows from 1, and 1 is the default; a task whose id
    is a number is found with its repeat, such as 7#0. Of several attempts the last is shown.
    """
    from gym_core.cli.rollout_file import find_row
    from gym_core.engine.storage.collisions import of_a_run, refuse_collisions

    refuse_collisions(of_a_run(file), [])
    row = find_row(file, which)
    if as_json:
        terminal.out_json(row)
        return
    from gym_core.cli.rollout_view import render

    terminal.out(render(row, width=terminal.width, redact=terminal.redactor.redact))
