"""CSV and TSV, read with the strictness that finds a quote that was never closed."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from gym_core.errors import InputError
from gym_core.spi import open_input
from gym_qa.reading.row import Found, Row

LONGEST_FIELD = 1 << 24
_READ_ERRORS = (OSError, EOFError)


def delimited_rows(source: str, *, tab: bool) -> Iterator[Found]:
    """The rows of a file with a header. Raises `InputError`."""
    with io.TextIOWrapper(open_input(source), encoding="utf-8-sig", newline="") as file:
        try:
            first = file.readline()
        except UnicodeDecodeError as error:
            raise _undecodable(source, 1, error) from None
        csv.field_size_limit(max(csv.field_size_limit(), LONGEST_FIELD))
        reader = csv.reader(chain([first], file), delimiter="\t" if tab else _delimiter(first), strict=True)
        names = _header(source, reader)
        yield from _rows(source, reader, names)


def _rows(source: str, reader: Any, names: Sequence[str]) -> Iterator[Found]:
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(f"{source}:{line}: {_said(error, line, reader.line_num)}", hint=_QUOTES) from None
        except UnicodeDecodeError as error:
            raise _undecodable(source, line, error) from None
        except _READ_ERRORS as error:
            raise InputError(f"{source}:{line}: the file cannot be read on: {error}") from error
        if not fields:
            continue
        place = f"{source}:{line}"
        if len(fields) == len(names):
            yield Row(place, dict(zip(names, fields, strict=True)))
        else:
            counted = f"{len(fields)} field{'' if len(fields) == 1 else 's'}"
            yield InputError(f"{place}: it has {counted}, the header has {len(names)}", hint=_QUOTES)


_QUOTES = 'text with a comma or a line break stands in quotes, and a quote within it is written twice: ""'


def _said(error: csv.Error, first: int, last: int) -> str:
    words = str(error)
    if "unexpected end of data" in words:
        return f"a quote is opened in this row and never closed (the file ends in line {last})"
    if "expected after" in words:
        where = "" if last <= first else f" (in line {last})"
        return f"after a closing quote there is more text{where}"
    return words


def _delimiter(header: str) -> str:
    """Spreadsheets write semicolons where the comma is a decimal point, and some write tabs."""
    counts = {mark: header.count(mark) for mark in ",;\t"}
    return max(counts, key=lambda mark: counts[mark])


def _header(source: str, reader: Any) -> list[str]:
    try:
        names = [name.strip() for name in next(reader)]
    except StopIteration:
        raise InputError(f"{source}: it is empty", hint="a header and a row for each question are wanted") from None
    except csv.Error as error:
        raise InputError(f"{source}:1: {_said(error, 1, reader.line_num)}", hint=_QUOTES) from None
    names = [name or f"column_{place}" for place, name in enumerate(names, 1)]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(
            f"{source}:1: two columns are called `{twice[0]}`", hint="rename one: a column is known by its name"
        )
    return names


def _undecodable(source: str, line: int, error: UnicodeDecodeError) -> InputError:
    return InputError(
        f"{source}: near line {line}: not UTF-8 text: {error.reason}",
        hint="save it as UTF-8, such as `iconv -f LATIN1 -t UTF-8 FILE`",
    )
