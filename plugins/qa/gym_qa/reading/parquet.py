"""Parquet, by pyarrow, a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gym_core import UsageError
from gym_core.errors import InputError
from gym_core.spi import plain_json
from gym_qa.reading.row import Found, Row

BATCH = 256


def parquet_rows(source: str) -> Iterator[Found]:
    """The rows of a Parquet file. Raises `InputError`, and `UsageError` where pyarrow is missing."""
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise UsageError(f"{source}: reading Parquet needs pyarrow", hint="pip install 'gym-qa[parquet]'") from None
    number = 0
    try:
        with ParquetFile(source) as file:
            for batch in file.iter_batches(batch_size=BATCH):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(f"{source}, row {number}", plain_row(values))
    except (ArrowException, OSError) as error:
        place = f"{source}, row {number + 1}" if number else source
        raise InputError(f"{place}: it is no Parquet file that can be read: {_first_line(error)}") from error


def plain_row(values: dict[str, Any]) -> dict[str, Any]:
    """A row as JSON has it; dates, decimals and the like become text."""
    plain: dict[str, Any] = plain_json(values, fallback=str)
    return plain


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
