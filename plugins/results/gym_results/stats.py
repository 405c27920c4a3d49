"""`gym stats`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gym_core import UsageError
from gym_core.spi import Terminal, debug_option, json_option, pass_terminal

if TYPE_CHECKING:
    from gym_results.comparison import Statistics


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--by",
    metavar="FIELD",
    multiple=True,
    help="The reward per value of a field of the rows, a dotted path. Repeatable.",
)
@click.option(
    "--detect",
    type=click.FloatRange(min=0, min_open=True),
    metavar="DIFFERENCE",
    help="How many tasks or repeats could show a difference in reward of so much, 8 times out of 10.",
)
@json_option("Print all numbers as JSON.")
@debug_option
@pass_terminal
def stats(
    terminal: Terminal, files: tuple[Path, ...], by: tuple[str, ...], detect: float | None, as_json: bool
) -> None:
    """Compute the numbers of runs again, a line for each.

    FILE is what `gym run --output` wrote; its failures are read with it. With several files, the rewards of each are
    compared with those of the first, task by task, over the tasks that both have. Of several, those that lie beside
    results, and results without a rollout, are left out, which is said: so `results/*.jsonl` will do.
    """
    from gym_results.comparison import difference
    from gym_results.reading import refuse_writes_to_runs

    refuse_writes_to_runs(files)
    if detect is not None and not math.isfinite(detect):
        raise UsageError(f"--detect {detect}: no difference in reward", hint="such as `--detect 0.05`")
    if len(set(files)) < len(files):
        raise UsageError("a file is given twice", hint="give every file once")
    statistics = list(_read(terminal, files, by, detect))
    _check_fields(statistics, by)
    first, *others = statistics
    differences = [difference(first, other, detect) for other in others]
    for note in _notes(statistics):
        terminal.note(f"warning: {note}")
    if as_json:
        terminal.out_json({"files": [one.result for one in statistics], "differences": differences})
        return
    from gym_results.stats_table import difference_lines, lines, print_one, print_several

    titles = _titles([one.path for one in statistics])
    table = list(lines([one.result for one in statistics], detect))
    if others:
        print_several(terminal, titles, table)
    else:
        print_one(terminal, titles[0], table)
    for title, found in zip(titles[1:], differences, strict=True):
        terminal.out("")
        for line in difference_lines(titles[0], title, found, detect):
            terminal.out(line)


def _read(
    terminal: Terminal, files: tuple[Path, ...], by: tuple[str, ...], detect: float | None
) -> Iterator[Statistics]:
    """The numbers of each file; of several, those that hold no run are said and left out."""
    from gym_core.spi import rows_beside
    from gym_results.comparison import NoRollouts, Statistics

    last: NoRollouts | None = None
    count = 0
    for file in files:
        if len(files) > 1 and (rows := rows_beside(file)) is not None:
            terminal.note(f"left out: {file}, which belongs to {rows}")
            continue
        try:
            one = Statistics(file, by=by, for_comparison=len(files) > 1, detect=detect)
        except NoRollouts as error:
            last = error
            if len(files) > 1:
                terminal.note(f"left out: {error.message}")
            continue
        count += 1
        yield one
    if not count:
        raise last or UsageError("none of these files holds results", hint="give the results, which end in `.jsonl`")


def _check_fields(statistics: list[Statistics], by: tuple[str, ...]) -> None:
    """Raise `UsageError` for a field that no row of any file has: it is misspelt."""
    for field in by:
        if all(field in one.sought.missing for one in statistics):
            raise UsageError(f"no row has a value for the field `{field}`", hint=statistics[0].sought.hint(field))


def _notes(statistics: list[Statistics]) -> list[str]:
    from gym_results.comparison import same_tasks

    notes = [f"{one.path}: an unfinished last line of {one.torn} bytes was left out" for one in statistics if one.torn]
    first = statistics[0]
    return notes + [
        f"the tasks of {first.path} and {other.path} came from different inputs; equal task ids may be different tasks"
        for other in statistics[1:]
        if not same_tasks(first, other)
    ]


def _titles(files: list[Path]) -> list[str]:
    """The files' names, with their folders where names alone do not tell them apart."""
    names = [file.name.removesuffix(".jsonl") for file in files]
    taken: Counter[Any] = Counter(names)
    return [name if taken[name] == 1 else str(file) for name, file in zip(names, files, strict=True)]
