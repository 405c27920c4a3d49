"""`gym show`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gym_core import UsageError
from gym_core.spi import Terminal, debug_option, json_option, pass_terminal
from gym_results.options import COUNT, condition_option

if TYPE_CHECKING:
    from gym_results.reading import StoredRow
    from gym_results.run_rows import RunRows, Selection


@click.command()
@click.argument("run", metavar="[RUN]", required=False)
@click.argument("which", metavar="[N | TASK_ID[#REPEAT]]", required=False)
@click.option("--failed", is_flag=True, help="Those that failed: the failures that still stand.")
@click.option("--lowest", type=COUNT, metavar="K", help="The K with the lowest rewards, the lowest first.")
@click.option("--highest", type=COUNT, metavar="K", help="The K with the highest rewards, the highest first.")
@condition_option("--where")
@click.option("--diff", "other", metavar="OTHER", type=click.Path(path_type=Path), help="With the same task in OTHER.")
@json_option("Print the row itself, indented; of several each on a line.")
@debug_option
@pass_terminal
def show(
    terminal: Terminal, /, run: str | None, which: str | None, other: Path | None, as_json: bool, **wanted: Any
) -> None:
    """Show rollouts of a run: one, those that failed, the lowest, or with those of another.

    RUN is what `gym run` wrote, results or failures, or a folder, of which the run that was started last is shown; so
    it is of `results` without RUN. N counts the rollouts from 1, the rows first and then the failures, and 1 is the
    default; with an option that selects, it counts those that are selected, and all are shown without it. A task whose
    id is a number is found with its repeat, such as 7#0. Of several attempts the last is shown.
    """
    from gym_core import encode_json
    from gym_results.reading import refuse_writes_to_runs
    from gym_results.run_rows import RunRows
    from gym_results.stored_runs import results_at

    if other is not None and as_json:
        raise UsageError("--json prints rows, and no difference", hint="leave out --diff or --json")
    selection = _selection(**wanted)
    path, which = _run_and_which(run, which)
    other = results_at(other) if other is not None else None
    refuse_writes_to_runs([path, *([other] if other is not None else ())])
    rows = RunRows(path)
    found = rows.find(which, selection)
    if as_json:
        for stored in found:
            if selection and which is None:
                terminal.out_json_line(encode_json(stored.row, fallback=str))
            else:
                terminal.out_json(stored.row)
    else:
        _print(terminal, found, RunRows(other) if other is not None else None)
    if rows.torn:
        terminal.note(f"warning: {path}: the unfinished last line was left out")


def _print(terminal: Terminal, found: Iterator[StoredRow], other: RunRows | None) -> None:
    """Each rollout as text, or beside the same task in another run; a page at a time on a terminal."""
    from gym_results.pager import paged

    first = next(found)  # what is not there is said on an empty screen
    with paged(terminal):
        for n, stored in enumerate(chain([first], found)):
            if n:
                terminal.out("")
            terminal.out(_rendered(terminal, stored, other))


def _rendered(terminal: Terminal, stored: StoredRow, other: RunRows | None) -> str:
    width, redact = terminal.width, terminal.redactor.redact
    if other is None:
        from gym_results.rollout_view import render

        return render(stored.row, width=width, redact=redact, place=stored.place)
    from gym_results.rollout_diff import render_pair

    like = other.like(stored)
    names = (stored.path.stem, like.path.stem)
    if names[0] == names[1]:
        names = (str(stored.path), str(like.path))
    return render_pair((stored.row, like.row), names, width=width, redact=redact)


def _run_and_which(run: str | None, which: str | None) -> tuple[Path, str | None]:
    """The results, and what is wanted of them: a single argument that is no file is a rollout of the latest run."""
    from gym_results.stored_runs import RESULTS, results_at

    if run is not None and which is None and not _is_path(run):
        run, which = None, run
    return results_at(RESULTS if run is None else Path(run)), which


def _is_path(text: str) -> bool:
    try:
        return text.endswith(".jsonl") or os.sep in text or Path(text).exists()
    except (OSError, ValueError):
        return False


def _selection(*, failed: bool, lowest: int | None, highest: int | None, where: tuple[str, ...]) -> Selection:
    from gym_results.conditions import Condition
    from gym_results.run_rows import Selection

    if lowest and highest:
        raise UsageError("--lowest and --highest exclude one another", hint="give one of them")
    if failed and (lowest or highest):
        raise UsageError(
            "a failure has no reward, so none of them is the lowest or highest", hint="give --failed alone"
        )
    return Selection(failed, tuple(map(Condition.parse, where)), lowest, highest)
