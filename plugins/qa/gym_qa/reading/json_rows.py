"""JSON lines, read line by line, and JSON documents, which are read whole."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from gym_core import JsonError, parse_json
from gym_core.errors import InputError
from gym_core.spi import open_input
from gym_qa.reading.row import Found, Row

USUAL = ("data", "rows", "examples", "questions", "items", "instances", "test")
"""Where the list stands in documents that have several."""
_READ_ERRORS = (OSError, EOFError, zlib.error)


def line_rows(source: str) -> Iterator[Found]:
    """The objects of a file of JSON lines."""
    number = 0
    with open_input(source) as file:
        try:
            for number, line in enumerate(file, 1):
                if line.isspace():
                    continue
                try:
                    yield _row(f"{source}:{number}", parse_json(line, strict=True))
                except JsonError as error:
                    yield InputError(f"{source}:{number}: {error}")
        except _READ_ERRORS as error:
            raise InputError(f"{source}:{number + 1}: the file cannot be read on: {error}") from error


def document_rows(source: str) -> Iterator[Found]:
    """The objects of one JSON document: an array, an object that holds one, or columns. Raises `InputError`."""
    try:
        with open_input(source) as file:
            data = file.read()
    except _READ_ERRORS as error:
        raise InputError(f"{source}: it cannot be read: {error}") from error
    try:
        value = parse_json(data, strict=True)
    except JsonError as error:
        if data.lstrip().startswith(b"{") and b"\n{" in data.strip():
            yield from line_rows(source)
            return
        raise InputError(f"{source}: {error}") from None
    for number, item in enumerate(_listed(source, value), 1):
        yield _row(f"{source}, item {number}", item)


def _listed(source: str, value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    if not isinstance(value, Mapping):
        raise InputError(f"{source}: it holds no list of questions", hint="an array of objects is wanted")
    lists = {name: inner for name, inner in value.items() if isinstance(inner, list)}
    rows = {name: inner for name, inner in lists.items() if inner and isinstance(inner[0], Mapping)}
    if len(rows) > 1:
        rows = {name: rows[name] for name in USUAL if name in rows} or rows
    if len(rows) == 1 or next(iter(rows), None) in USUAL:
        return next(iter(rows.values()))
    if rows:
        names = ", ".join(f"`{name}`" for name in rows)
        raise InputError(f"{source}: it holds several lists: {names}", hint="`jq .NAME FILE` takes one out")
    if lists and len(lists) == len(value) and len({len(inner) for inner in lists.values()}) == 1:
        return [dict(zip(lists, together, strict=True)) for together in zip(*lists.values(), strict=True)]
    raise InputError(f"{source}: it holds no list of questions", hint="an array of objects is wanted")


def _row(place: str, value: Any) -> Found:
    if isinstance(value, Mapping):
        return Row(place, dict(value))
    return InputError(f"{place}: a row must be an object with names, this is {type(value).__name__}")
