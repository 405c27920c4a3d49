"""Tables as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from gym_core import encode_json
from gym_core.spi import PackedIntegers, quote

_IN_JSON = (Mapping, list, tuple, PackedIntegers)
"""What stands in a cell as JSON."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take a text for a formula."""


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


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        value = quote(value)
        return f"'{value}" if value.startswith(_FORMULA) and not _is_number(value) else value
    if isinstance(value, bool):
        return "true" if value else "false"
    return encode_json(value, fallback=str).decode() if isinstance(value, _IN_JSON) else value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
