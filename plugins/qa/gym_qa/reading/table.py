"""A file as rows, whatever its format, and which format a file has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gym_core.errors import InputError
from gym_core.spi import open_input, what_it_is
from gym_qa.reading.delimited import delimited_rows
from gym_qa.reading.hub import SCHEME, hub_rows
from gym_qa.reading.json_rows import document_rows, line_rows
from gym_qa.reading.parquet import parquet_rows
from gym_qa.reading.row import Found

FORMATS = ".csv, .tsv, .json, .jsonl or .parquet, and .gz or .zst after any but the last"


class Table(NamedTuple):
    """Rows of a file, one at a time. `format`: `csv`, `tsv`, `json`, `jsonl`, `parquet` or `hf`."""

    format: str
    rows: Iterator[Found]


def open_table(source: str) -> Table:
    """A file, or a data set of the hub, to be read row by row.

    Raises `errors.InputError` for what is missing, empty, or not what its name says; rows that cannot be used come as
    such errors in their places.
    """
    if source.startswith(SCHEME):
        return Table("hf", hub_rows(source))
    format = _format_of(source)
    if format == "parquet":
        return Table(format, parquet_rows(source))
    if format in ("csv", "tsv"):
        return Table(format, delimited_rows(source, tab=format == "tsv"))
    if format == "jsonl":
        return Table(format, line_rows(source))
    return Table(format, document_rows(source))


def _format_of(source: str) -> str:
    name = source.lower().removesuffix(".gz").removesuffix(".zst")
    beginning = _beginning(source)
    is_parquet = beginning.startswith(b"PAR1")
    if name.endswith((".parquet", ".pq")) or is_parquet:
        if not is_parquet:
            found = what_it_is(beginning) or "something else"
            raise InputError(f"{source}: it is no Parquet file but {found}", hint=_hint(found))
        return "parquet"
    found = what_it_is(beginning)
    if found:
        raise InputError(f"{source}: it is {found}", hint=_hint(found))
    for format in ("csv", "tsv", "json", "jsonl"):
        if name.endswith(f".{format}"):
            return format
    text = beginning.removeprefix(b"\xef\xbb\xbf").lstrip()
    if name.endswith((".ndjson", ".jsonlines")) or text.startswith(b"{"):
        return "jsonl"
    if text.startswith(b"["):
        return "json"
    raise InputError(f"{source}: its name does not say what it is", hint=f"let it end in {FORMATS}")


def _beginning(source: str) -> bytes:
    path = Path(source)
    if path.is_dir():
        raise InputError(f"{source}: it is a folder, not a file", hint=f"name a file: {FORMATS}")
    if not path.exists():
        raise InputError(f"{source}: there is no such file", hint=f"--input takes a file: {FORMATS}")
    try:
        with open_input(source) as file:
            beginning = file.read(1024)
    except (OSError, EOFError) as error:
        raise InputError(f"{source}: it cannot be read: {error}") from error
    if not beginning.strip(b"\xef\xbb\xbf \t\r\n"):
        raise InputError(f"{source}: it is empty", hint="a header and a row for each question are wanted")
    return beginning


def _hint(found: str) -> str:
    if "UTF-16" in found:
        return "save it as UTF-8: `iconv -f UTF-16 -t UTF-8 FILE`"
    if "LFS" in found:
        return "`git lfs pull` brings the data"
    if "zip" in found:
        return "a spreadsheet? export it as CSV; an archive, unpack it"
    return f"what is read: {FORMATS}"
