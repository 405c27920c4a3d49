"""Tables as Parquet."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain
from typing import Any, BinaryIO

from gym_core import JsonError, UsageError, encode_json
from gym_core.spi import Column, Json, PackedIntegers

_BATCH = 1_000
_BATCH_VALUES = 2_000_000
"""How many rows, or values in lists and letters in texts, go into a part of a file."""
_CODES = {int: "q", float: "d"}
"""Of numbers, what `array` calls them."""


class ParquetTable:
    """A table that is written to a file. `columns`: their types by name, see `Exporter.columns`.

    Raises `UsageError` where there is no pyarrow that can do it.
    """

    def __init__(self, file: BinaryIO, columns: Mapping[str, Column]) -> None:
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
        self._parquet, self._file = parquet, file
        self._columns = {name: _column(pyarrow, column) for name, column in columns.items()}
        self._schema = pyarrow.schema([(name, column.type) for name, column in self._columns.items()])
        self._arrow = pyarrow

    def write(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Write all rows; returns how many. Raises `UsageError` for one that does not fit the columns."""
        count = 0
        with self._parquet.ParquetWriter(self._file, self._schema, compression="zstd", **self._encodings()) as writer:
            batch: list[Mapping[str, Any]] = []
            values = 0
            for count, row in enumerate(rows, 1):
                batch.append({name: column.kept(row.get(name)) for name, column in self._columns.items()})
                values += sum(len(value) for value in row.values() if isinstance(value, Sequence))
                if len(batch) >= _BATCH or values >= _BATCH_VALUES:
                    writer.write_batch(self._table(batch, count))
                    batch, values = [], 0
            if batch:
                writer.write_batch(self._table(batch, count))
        return count

    def _encodings(self) -> dict[str, Any]:
        """Of ids and log probabilities no two are alike: a dictionary of them takes time, and so do their extremes."""
        leaves = [leaf for name, column in self._columns.items() for leaf in column.leaves(name)]
        others = [path for path, encoding in leaves if encoding is None]
        return {
            "use_dictionary": others,
            "write_statistics": others,
            "column_encoding": {path: encoding for path, encoding in leaves if encoding is not None},
        }

    def _table(self, batch: list[Mapping[str, Any]], last: int) -> Any:
        arrays = []
        for name, column in self._columns.items():
            try:
                arrays.append(column.array([row.get(name) for row in batch]))
            except (self._arrow.ArrowException, JsonError, TypeError, ValueError, OverflowError) as error:
                raise UsageError(
                    f"rows {last - len(batch) + 1:,} to {last:,}: the column `{name}` cannot be written: {error}",
                    hint="as JSON lines, to a file that ends in .jsonl, it can",
                ) from error
        return self._arrow.record_batch(arrays, schema=self._schema)


def _column(arrow: Any, column: Column) -> _Column:
    if isinstance(column, Mapping):
        return _Objects(arrow, {name: _column(arrow, inner) for name, inner in column.items()})
    if isinstance(column, list):
        code = _CODES.get(column[0]) if isinstance(column[0], type) else None
        inner = _column(arrow, column[0])
        return _Lists(arrow, inner) if code is None else _Numbers(arrow, inner, code)
    if column is Json:
        return _JsonTexts(arrow, arrow.json_(arrow.string()))
    types = {str: arrow.string(), int: arrow.int64(), float: arrow.float64(), bool: arrow.bool_()}
    return _Column(arrow, types[column])


class _Column:
    """A column of plain values, or what makes arrays of Arrow of lists and objects, all rows at once."""

    def __init__(self, arrow: Any, type_: Any) -> None:
        self._arrow = arrow
        self.type = type_

    def array(self, values: list[Any]) -> Any:
        """The values of all rows. Raises what Arrow raises, and `TypeError` for what is no such value."""
        return self._arrow.array(values, self.type)

    def kept(self, value: Any) -> Any:
        """A value as it is kept until there are enough rows."""
        return value

    def leaves(self, path: str, *, in_list: bool = False) -> Iterator[tuple[str, str | None]]:
        """The columns in the file, and how they are encoded where that is said."""
        numbers = {self._arrow.int64(): "DELTA_BINARY_PACKED", self._arrow.float64(): "BYTE_STREAM_SPLIT"}
        yield path, numbers.get(self.type) if in_list else None


class _JsonTexts(_Column):
    def array(self, values: list[Any]) -> Any:
        texts = [None if value is None else encode_json(value).decode() for value in values]
        return self._arrow.ExtensionArray.from_storage(self.type, self._arrow.array(texts, self._arrow.string()))


class _Objects(_Column):
    def __init__(self, arrow: Any, fields: Mapping[str, _Column]) -> None:
        super().__init__(arrow, arrow.struct([(name, field.type) for name, field in fields.items()]))
        self._fields = fields

    def array(self, values: list[Any]) -> Any:
        for value in values:
            if value is not None and not isinstance(value, Mapping):
                raise TypeError(f"{value!r:.80} is no object")
        arrays = [
            field.array([None if value is None else value.get(name) for value in values])
            for name, field in self._fields.items()
        ]
        return self._arrow.StructArray.from_arrays(arrays, fields=[*self.type], mask=_nulls(self._arrow, values))

    def leaves(self, path: str, *, in_list: bool = False) -> Iterator[tuple[str, str | None]]:
        for name, field in self._fields.items():
            yield from field.leaves(f"{path}.{name}", in_list=in_list)


class _Lists(_Column):
    def __init__(self, arrow: Any, inner: _Column) -> None:
        super().__init__(arrow, arrow.list_(inner.type))
        self._inner = inner

    def array(self, values: list[Any]) -> Any:
        """One array of what stands in all lists, and where each ends."""
        lists = [*map(_list, values)]
        ends = self._arrow.array([*accumulate(map(len, lists), initial=0)], self._arrow.int32())
        return self._arrow.ListArray.from_arrays(
            ends, self._flat(lists), type=self.type, mask=_nulls(self._arrow, values)
        )

    def _flat(self, lists: list[list[Any]]) -> Any:
        return self._inner.array([*chain.from_iterable(lists)])

    def leaves(self, path: str, *, in_list: bool = False) -> Iterator[tuple[str, str | None]]:
        return self._inner.leaves(f"{path}.list.element", in_list=True)


class _Numbers(_Lists):
    """Lists of numbers, each of which becomes an array when it comes: one that lies about costs ten times as much."""

    def __init__(self, arrow: Any, inner: _Column, code: str) -> None:
        super().__init__(arrow, inner)
        self._code = code

    def kept(self, value: Any) -> Any:
        if isinstance(value, PackedIntegers):
            return array("q", value.tobytes())
        try:
            return array(self._code, value) if isinstance(value, list) else value
        except (TypeError, OverflowError):  # a null, or what Arrow may refuse in its own words
            return value

    def _flat(self, lists: list[Any]) -> Any:
        numbers = array(self._code)
        try:
            for one in lists:
                numbers.extend(one)
        except (TypeError, OverflowError):
            return super()._flat([[*one] for one in lists])
        buffers = [None, self._arrow.py_buffer(numbers)]
        return self._arrow.Array.from_buffers(self._inner.type, len(numbers), buffers)


def _list(value: Any) -> Any:
    if isinstance(value, list | array):
        return value
    if isinstance(value, str | bytes | Mapping):
        raise TypeError(f"{value!r:.80} is no list")
    return [] if value is None else [*value]


def _nulls(arrow: Any, values: list[Any]) -> Any:
    """Which of the values there are not; None where there are all."""
    nulls = [value is None for value in values]
    return arrow.array(nulls) if any(nulls) else None
