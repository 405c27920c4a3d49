"""`gym runs`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gym_core.spi import Terminal, debug_option, json_option, one_line, pass_terminal, styled

if TYPE_CHECKING:
    from gym_results.stored_runs import StoredRun

_TITLES = ("run", "state", "started", "rollouts", "failed", "reward (95 %)", "tokens", "cost", "model", "env", "agent")
_COLOURS = {"finished": "green", "running": "cyan", "unreadable": "red"}
_GAP = "  "


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@json_option("Print them as JSON.")
@debug_option
@pass_terminal
def runs(terminal: Terminal, folder: Path | None, as_json: bool) -> None:
    """List the runs of a folder, newest first, with what they came to.

    FOLDER is `results` by default; the folders below it are looked through, too. Manifests and summaries say it
    all; rows are read of runs that are going on or were killed. What is torn or foreign is a line that says so.
    """
    from gym_results.pager import paged
    from gym_results.stored_runs import RESULTS, stored_runs

    folder = folder or RESULTS
    found = stored_runs(folder)
    if as_json:
        terminal.out_json([run.to_wire() for run in found])
        return
    if not found:
        terminal.note(f"there is no run in {folder}")
        return
    with paged(terminal):
        _print(terminal, found)


def _print(terminal: Terminal, found: Sequence[StoredRun]) -> None:
    """One line each where that fits, or where nobody looks at it on a terminal; else two."""
    rows = [[*_cells(run), *([run.problem] if run.problem else [])] for run in found]
    titles = [*_TITLES, *(["problem"] if any(run.problem for run in found) else [])]
    rows = [[*row, *[""] * (len(titles) - len(row))] for row in rows]
    needed = sum(max(len(one_line(cell)) for cell in column) for column in zip(titles, *rows, strict=True))
    width = terminal.width
    if width is None or needed + len(_GAP) * (len(titles) - 1) <= width:
        terminal.table(titles, rows)
        return
    heads = [[one_line(terminal.redactor.redact(cell)) for cell in _head(run)] for run in found]
    widths = [max(map(len, column)) for column in zip(*heads, strict=True)]
    for run, head in zip(found, heads, strict=True):
        name, state, *others = (cell.ljust(size) for cell, size in zip(head, widths, strict=True))
        colour = _COLOURS.get(run.state, "yellow")
        terminal.out(styled(name, bold=True), _GAP, styled(state, fg=colour), _GAP, _GAP.join(others).rstrip())
        details = one_line(terminal.redactor.redact(", ".join(_details(run))))
        for line in textwrap.wrap(details, width - len(_GAP), break_on_hyphens=False):
            terminal.out(_GAP + line)


def _cells(run: StoredRun) -> list[str]:
    tokens = None if run.input_tokens is None else f"{run.input_tokens:,} in, {run.output_tokens or 0:,} out"
    cost = None if run.cost is None else f"{run.cost:.4g} USD"
    failed = None if run.failed is None else f"{run.failed:,}"
    cells = [*_head(run)[:3], _rollouts(run), failed, _reward(run), tokens, cost, run.model, run.env, run.agent]
    return [cell or "-" for cell in cells]


def _head(run: StoredRun) -> list[str]:
    return [str(run.path), run.state, f"{run.started.astimezone():%Y-%m-%d %H:%M}", _reward(run) or "-"]


def _details(run: StoredRun) -> Iterator[str]:
    if run.problem:
        yield run.problem
    yield from (name for name in (run.model, run.env, run.agent) if name)
    if (rollouts := _rollouts(run)) is not None:
        yield f"{rollouts} rollouts"
    if run.failed:
        yield f"{run.failed:,} failed"
    if run.input_tokens is not None:
        yield f"{run.input_tokens:,} tokens in"
        yield f"{run.output_tokens or 0:,} out"
    if run.cost is not None:
        yield f"{run.cost:.4g} USD"


def _rollouts(run: StoredRun) -> str | None:
    """Those with a verdict, and how many there are to be where that is not all."""
    if run.rollouts is None:
        return None
    ended = run.rollouts + (run.failed or 0)
    of = f" of {run.planned:,}" if run.planned is not None and run.planned > ended else ""
    return f"{run.rollouts:,}{of}"


def _reward(run: StoredRun) -> str | None:
    if run.reward is None:
        return None
    span = run.reward["interval_95"]
    return f"{run.reward['mean']:.4f}" + (f" ({span[0]:.4f} to {span[1]:.4f})" if span else "")
