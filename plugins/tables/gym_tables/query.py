"""`gym query`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gym_core import UsageError, encode_json
from gym_core.spi import Terminal, debug_option, json_option, pass_terminal

if TYPE_CHECKING:
    from gym_tables.database import Answer

SHOWN = 500
"""How many rows are drawn as a table."""


@click.command()
@click.argument("runs", metavar="RUN... SQL", nargs=-1, required=True)
@json_option("Print each row as JSON, on a line of its own.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@debug_option
@pass_terminal
def query(terminal: Terminal, /, runs: tuple[str, ...], as_json: bool, as_csv: bool) -> None:
    """Ask runs with SQL.

    RUN is what `gym run` wrote, or a folder, of which the run that was started last is asked; the last argument is the
    SQL, as DuckDB has it. The tables are `rollouts`, which failures are part of, `failures`, `model_calls` and
    `tool_calls`; `DESCRIBE rollouts` lists the columns. Of several runs the column `run` tells them apart. Nothing is
    written: whatever the SQL does, it does to a copy.

      gym query results/a.jsonl "select stop_reason, count(*), avg(reward) from rollouts group by all"
    """
    from gym_results.csv_lines import csv_lines
    from gym_results.reading import ResultsFile, refuse_writes_to_runs
    from gym_results.stored_runs import results_at
    from gym_tables.database import ask

    *named, sql = runs
    if not named:
        raise UsageError("the runs or the SQL are missing", hint='gym query results/a.jsonl "select * from rollouts"')
    if as_json and as_csv:
        raise UsageError("--json and --csv exclude one another", hint="give one of them")
    if not sql.strip():
        raise UsageError("there is no SQL in the last argument", hint='such as "select * from rollouts"')
    if sql.endswith(".jsonl") and Path(sql).exists():
        raise UsageError("the last argument is a run, and no SQL", hint=f'gym query {" ".join(runs)} "select ..."')
    paths = [results_at(Path(one)) for one in named]
    if len({*paths}) < len(paths):
        raise UsageError("a run is given twice", hint="give every run once")
    refuse_writes_to_runs(paths)
    with ask([ResultsFile(path) for path in paths], sql, terminal.note) as answer:
        if as_json:
            for row in answer.rows:
                terminal.out_json_line(encode_json(dict(zip(answer.names, row, strict=True)), fallback=str))
        elif as_csv:
            for line in csv_lines(answer.names, answer.rows):
                terminal.out_json_line(line)
        else:
            _draw(terminal, answer)


def _draw(terminal: Terminal, answer: Answer) -> None:
    """The rows as a table, a page at a time on a terminal; of many the first."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from gym_core.spi import open_console, quote, written
    from gym_results.pager import paged

    shown = [*islice(answer.rows, SHOWN)]
    tty = terminal.width is not None
    table = Table(box=box.ROUNDED if tty else box.SIMPLE_HEAD, pad_edge=tty)
    for place, name in enumerate(answer.names):
        numbers = any(row[place] is not None for row in shown) and all(_is_number(row[place]) for row in shown)
        table.add_column(quote(name), justify="right" if numbers else "left", overflow="fold")
    for row in shown:
        table.add_row(*(Text(quote(terminal.redactor.redact(_cell(value)))) for value in row))
    console = open_console(terminal.width)
    console.print(table)
    with paged(terminal):
        terminal.out(written(console))
    more = sum(1 for _ in answer.rows)
    if more:
        terminal.note(f"{more:,} more rows; --json and --csv print all of them")


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Sequence | dict) and not isinstance(value, str):
        return encode_json(value, fallback=str).decode()
    return str(value)
