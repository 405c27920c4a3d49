"""Runs in a database that lives as long as one question: DuckDB, filled by way of files in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from gym_core import UsageError, encode_json, parse_json
from gym_core.spi import Column, Json
from gym_results.reading import ResultsFile
from gym_tables.columns import Shape
from gym_tables.model_calls import MODEL_CALLS, model_call_rows
from gym_tables.tool_calls import TOOL_CALLS, tool_call_rows

_BATCH = 1_000
_TYPES: Mapping[Any, str] = {str: "VARCHAR", int: "BIGINT", float: "DOUBLE", bool: "BOOLEAN", Json: "JSON"}
_SMALLEST = 1 << 20
"""Bytes of a row for which DuckDB makes room at least: it takes twice as much for each thread."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a question came to: the names of its columns, and its rows, which are read once."""

    names: Sequence[str]
    rows: Iterator[Sequence[Any]]


@contextmanager
def ask(runs: Sequence[ResultsFile], sql: str, note: Callable[[str], None]) -> Iterator[Answer]:
    """Ask runs. `note`: is told what was left out. Raises `UsageError` for SQL that is none."""
    with TemporaryDirectory(prefix="gym-query-") as folder, duckdb.connect() as database:
        # so no variable of this program is a table, and what does not fit into memory goes where it is removed
        database.execute("SET python_enable_replacements = false")
        database.execute("SET temp_directory = ?", [folder])
        _fill(database, Path(folder), runs, sql.lower())
        for run in runs:
            if run.torn:
                note(f"warning: {run.path}: the unfinished last line was left out")
        # from here on the SQL can reach no file, and cannot change that
        database.execute("SET enable_external_access = false")
        database.execute("SET lock_configuration = true")
        try:
            database.execute(sql)
            described = database.description or []
        except (duckdb.Error, RuntimeError) as error:
            raise _refused(error) from None
        yield Answer([column[0] for column in described], _rows(database, [str(column[1]) for column in described]))


def _rows(database: duckdb.DuckDBPyConnection, types: Sequence[str]) -> Iterator[Sequence[Any]]:
    parsed = [place for place, name in enumerate(types) if name == "JSON"]
    try:
        while batch := database.fetchmany(_BATCH):
            for row in batch:
                if not parsed:
                    yield row
                    continue
                cells = [*row]
                for place in parsed:
                    cells[place] = None if cells[place] is None else parse_json(cells[place])
                yield cells
    except (duckdb.Error, RuntimeError) as error:
        raise _refused(error) from None


def _refused(error: Exception) -> UsageError:
    return UsageError(
        f"the SQL cannot be carried out: {_first_line(error)}", hint="`DESCRIBE rollouts` lists the columns"
    )


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _fill(database: duckdb.DuckDBPyConnection, folder: Path, runs: Sequence[ResultsFile], sql: str) -> None:
    """Make the tables. Calls are read only where the SQL speaks of them. Raises `UsageError` where there is no room."""
    shape = Shape()
    calls = {
        name: (columns, rows)
        for name, columns, rows in (
            ("model_calls", MODEL_CALLS, model_call_rows),
            ("tool_calls", TOOL_CALLS, tool_call_rows),
        )
        if name in sql
    }
    try:
        with ExitStack() as stack:
            files = {name: stack.enter_context(_Rows(folder / f"{name}.json")) for name in ("rollouts", *calls)}
            for run in runs:
                for rollout in run.rollouts():
                    path = str(run.path)
                    files["rollouts"].write({"run": path, **shape.row(rollout)})
                    key = {"run": path, "task_id": rollout.task_id, "repeat": rollout.repeat}
                    for name, (_, rows) in calls.items():
                        for number, row in enumerate(rows(rollout)):
                            files[name].write({**key, "number": number, **row})
        _table(database, files["rollouts"], "rollouts", {"run": str, **shape.columns()})
        for name, (columns, _) in calls.items():
            _table(database, files[name], name, {"run": str, "task_id": str, "repeat": int, "number": int, **columns})
    except (duckdb.Error, OSError) as error:
        raise UsageError(
            f"the runs cannot be made tables of: {_first_line(error)}",
            hint=f"it takes as much room as they have, in memory and in {folder.parent}; TMPDIR names another folder",
        ) from error
    database.execute("CREATE VIEW failures AS SELECT * FROM rollouts WHERE reward IS NULL")


class _Rows:
    """A file of rows that DuckDB reads. `longest`: bytes of the longest line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.longest = 0
        self._file = path.open("wb")

    def write(self, row: Mapping[str, Any]) -> None:
        line = encode_json(row, fallback=str) + b"\n"
        self.longest = max(self.longest, len(line))
        self._file.write(line)

    def __enter__(self) -> _Rows:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _table(database: duckdb.DuckDBPyConnection, file: _Rows, name: str, columns: Mapping[str, Column]) -> None:
    declared = ", ".join(f"{_quoted(column)}: '{_TYPES[kind]}'" for column, kind in columns.items())
    database.execute(
        f"CREATE TABLE {name} AS SELECT * FROM read_json({_quoted(str(file.path))}, format='newline_delimited', "
        f"maximum_object_size={max(_SMALLEST, file.longest)}, columns={{{declared}}})"
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
