"""An export on its way to a file: JSON lines, CSV or Parquet by the file's ending, whole or not at all."""

from __future__ import annotations

import csv
import io
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from orjson import OPT_APPEND_NEWLINE

from gym_core.contract.formats import Column, Json
from gym_core.domain.errors import UsageError
from gym_core.domain.json_text import encode_json
from gym_core.domain.quoting import quote

Row: TypeAlias = Mapping[str, Any] | bytes
Columns: TypeAlias = Mapping[str, Column]

TABLES = (".csv", ".parquet")
"""The endings of files that are tables, which have columns."""
_BLOCK = 1 << 20
"""Bytes that are written at once."""
_BATCH = 1_000
_BATCH_VALUES = 2_000_000
"""How many rows, or values in lists and letters in texts, go into a part of a Parquet file."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take a text for a formula."""


def write_export(output: Path, rows: Iterable[Row], columns: Columns | None) -> int:
    """Write a file whole or not at all; returns how many rows. Raises `UsageError`.

    `columns`: those of a table, by name.
    """
    unfinished = output.with_name(f".{output.name}.{os.getpid()}.partial")
    try:
        with unfinished.open("xb", buffering=_BLOCK) as file:
            count = _writer(output, file, columns or {}).write(rows)
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


def _put(unfinished: Path, output: Path) -> None:
    """Give a file its name, unless there is one that has it by now."""
    try:
        os.link(unfinished, output)
    except FileExistsError:
        refuse_existing(output)
    except OSError:  # a file system without links
        refuse_existing(output)
        unfinished.rename(output)


def _writer(output: Path, file: BinaryIO, columns: Columns) -> _Writer:
    suffix = output.suffix.lower()
    if suffix == ".csv":
        return _Csv(file, columns)
    return _Parquet(file, columns) if suffix == ".parquet" else _JsonLines(file)


class _Writer(ABC):
    @abstractmethod
    def write(self, rows: Iterable[Row]) -> int: ...


class _JsonLines(_Writer):
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, rows: Iterable[Row]) -> int:
        count, write = 0, self._file.write
        for row in rows:
            write(row + b"\n" if isinstance(row, bytes) else encode_json(row, OPT_APPEND_NEWLINE))
            count += 1
        return count


class _Csv(_Writer):
    def __init__(self, file: BinaryIO, columns: Columns) -> None:
        self._file = file
        self._columns = columns

    def write(self, rows: Iterable[Row]) -> int:
        count = -1
        for count, line in enumerate(csv_lines(self._columns, cells_of(rows, self._columns))):  # noqa: B007
            self._file.write(line + b"\n")
        return count


def csv_lines(names: Iterable[str], rows: Iterable[Iterable[Any]]) -> Iterator[bytes]:
    """The names of the columns, and then the cells of each row, without the ends of lines.

    Objects and lists are JSON in their cells. What a spreadsheet would take for a formula gets an apostrophe, and
    characters that speak to a terminal are escaped.
    """
    line = io.StringIO(newline="")
    writer = csv.writer(line, lineterminator="")
    for cells in chain([names], rows):
        writer.writerow(map(_cell, cells))
        yield line.getvalue().encode()
        line.seek(0)
        line.truncate()


def cells_of(rows: Iterable[Row], columns: Columns) -> Iterator[list[Any]]:
    """The cells of each row, one for each column."""
    return ([_mapping(row).get(name) for name in columns] for row in rows)


def _mapping(row: Row) -> Mapping[str, Any]:
    assert not isinstance(row, bytes), "a format that has columns gives no lines"
    return row


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        value = quote(value)
        return f"'{value}" if value.startswith(_FORMULA) and not _is_number(value) else value
    if isinstance(value, bool):
        return "true" if value else "false"
    return encode_json(value, fallback=str).decode() if isinstance(value, Mapping | list | tuple) else value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class _Parquet(_Writer):
    def __init__(self, file: BinaryIO, columns: Columns) -> None:
        try:
            import pyarrow
            import pyarrow.parquet as parquet
        except ImportError:
            raise UsageError("to write Parquet needs pyarrow", hint="pip install pyarrow") from None
        if not hasattr(pyarrow, "json_"):
            raise UsageError(
                f"to write Parquet needs pyarrow 19 or newer, this is {pyarrow.__version__}",
                hint="pip install --upgrade pyarrow",
            )
        self._arrow, self._parquet, self._file = pyarrow, parquet, file
        text, json = pyarrow.string(), pyarrow.json_(pyarrow.string())
        self._types = {name: _type(pyarrow, column, text) for name, column in columns.items()}
        self._schema = pyarrow.schema([(name, _type(pyarrow, column, json)) for name, column in columns.items()])
        self._plain = {name: _encoding(column) for name, column in columns.items()}

    def write(self, rows: Iterable[Row]) -> int:
        count = 0
        with self._parquet.ParquetWriter(self._file, self._schema, compression="zstd") as writer:
            batch: list[Mapping[str, Any]] = []
            values = 0
            for count, row in enumerate(rows, 1):
                row = _mapping(row)
                batch.append(row)
                values += sum(len(value) for value in row.values() if isinstance(value, list | str))
                if len(batch) >= _BATCH or values >= _BATCH_VALUES:
                    writer.write_batch(self._table(batch, count))
                    batch, values = [], 0
            if batch:
                writer.write_batch(self._table(batch, count))
        return count

    def _table(self, batch: list[Mapping[str, Any]], last: int) -> Any:
        arrays = []
        for field in self._schema:
            plain = self._plain[field.name]
            column = [row.get(field.name) for row in batch]
            try:
                array = self._arrow.array(column if plain is None else map(plain, column), self._types[field.name])
                arrays.append(array if array.type == field.type else array.cast(field.type))
            except (self._arrow.ArrowException, TypeError, ValueError, OverflowError) as error:
                raise UsageError(
                    f"rows {last - len(batch) + 1:,} to {last:,}: the column `{field.name}` cannot be written: {error}",
                    hint="as JSON lines, to a file that ends in .jsonl, it can",
                ) from error
        return self._arrow.record_batch(arrays, schema=self._schema)


def _type(arrow: Any, column: Column, json: Any) -> Any:
    """The type of a column; `json`: that of what is written as JSON: arrays are made as texts, and told then."""
    if isinstance(column, Mapping):
        return arrow.struct([(name, _type(arrow, inner, json)) for name, inner in column.items()])
    if isinstance(column, list):
        return arrow.list_(_type(arrow, column[0], json))
    if column is Json:
        return json
    return {str: arrow.string(), int: arrow.int64(), float: arrow.float64(), bool: arrow.bool_()}[column]


def _encoding(column: Column) -> Callable[[Any], Any] | None:
    """What makes a value of a column one that Arrow takes; None where each is one already."""
    if column is Json:
        return lambda value: None if value is None else encode_json(value).decode()
    if isinstance(column, list):
        inner = _encoding(column[0])
        return None if inner is None else lambda value: None if value is None else [*map(inner, value)]
    if isinstance(column, Mapping):
        fields = {name: encoding for name, one in column.items() if (encoding := _encoding(one)) is not None}
        if not fields:
            return None
        return lambda value: (
            value
            and {
                **value,
                **{name: encoding(value[name]) for name, encoding in fields.items() if name in value},
            }
        )
    return None
