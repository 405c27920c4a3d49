"""An export on its way to a file: JSON lines, CSV or Parquet by the file's ending, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from gym_core import UsageError, encode_json
from gym_core.spi import Column
from gym_results.csv_lines import csv_lines

Row: TypeAlias = Mapping[str, Any] | bytes
Columns: TypeAlias = Mapping[str, Column]

TABLES = (".csv", ".parquet")
"""The endings of files that are tables, which have columns."""
_BLOCK = 1 << 20
"""Bytes that are written at once."""


def write_export(output: Path, rows: Iterable[Row], columns: Columns | None) -> int:
    """Write a file whole or not at all; returns how many rows. Raises `UsageError`.

    `columns`: those of a table, by name.
    """
    unfinished = output.with_name(f".{output.name}.{os.getpid()}.partial")
    try:
        with unfinished.open("xb", buffering=_BLOCK) as file:
            count = _write(file, output.suffix.lower(), rows, columns or {})
            file.flush()
            os.fsync(file.fileno())
        _put(unfinished, output)
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror or error}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def refuse_existing(output: Path) -> None:
    """Raise `UsageError` for a file that is there, or a link of that name."""
    if os.path.lexists(output):
        raise UsageError(f"{output} exists already", hint="remove it, or name another file")


def export_lines(rows: Iterable[Row], columns: Columns | None) -> Iterator[bytes]:
    """Rows as JSON, or with `columns` as CSV, whose first line names them; without the ends of lines."""
    if columns is None:
        return (row if isinstance(row, bytes) else encode_json(row) for row in rows)
    names = [*columns]
    return csv_lines(names, ([row.get(name) for name in names] for row in map(_mapping, rows)))


def _put(unfinished: Path, output: Path) -> None:
    """Give a file its name, unless there is one that has it by now."""
    try:
        os.link(unfinished, output)
    except FileExistsError:
        refuse_existing(output)
    except OSError:  # a file system without links
        refuse_existing(output)
        unfinished.rename(output)


def _write(file: BinaryIO, suffix: str, rows: Iterable[Row], columns: Columns) -> int:
    if suffix == ".parquet":
        from gym_results.parquet import ParquetTable

        return ParquetTable(file, columns).write(map(_mapping, rows))
    in_table = suffix == ".csv"
    count, write = 0, file.write
    for line in export_lines(rows, columns if in_table else None):
        write(line)
        write(b"\n")
        count += 1
    return count - in_table  # the line of the names is no row


def _mapping(row: Row) -> Mapping[str, Any]:
    assert not isinstance(row, bytes), "a format that has columns gives no lines"
    return row
