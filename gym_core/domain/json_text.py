"""JSON as the world writes it, read and written in one place.

Servers, tools, data sets and models write what RFC 8259 forbids: NaN, half of a surrogate pair, a character that was
cut, a byte order mark, integers of any size. Where the meaning is clear it is read, and a number is never rounded; the
rest is a `JsonError` whose words say what the text is. On the other side everything that pydantic can write is written.

orjson does the work wherever it does it right. It reads integers beyond 64 bits as floats, without a word: so a text
in which 19 digits stand in a row goes another way.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from datetime import date, datetime, time
from enum import Enum
from typing import Any
from uuid import UUID

import orjson

BOM = b"\xef\xbb\xbf"
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
_DIGITS_TO_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER = b"0" * 19
"""What a number of 19 digits looks like among zeros; 2**63 has that many."""
_TOO_DEEP = "it nests deeper than can be read"


class JsonError(ValueError):
    """A text that is no JSON, or a value that cannot be written as JSON; the message says why, without the text."""


def parse_json(data: bytes | bytearray | memoryview | str, *, strict: bool = False) -> Any:
    """The value of a JSON text.

    NaN and the infinities are floats; integers are exact; half a surrogate pair and bytes that are not UTF-8 become
    U+FFFD; a byte order mark is passed over. `strict`: bytes that are not UTF-8 are refused, for files that somebody
    can mend. Raises `JsonError`, and nothing else whatever the text is.
    """
    try:
        content = data.encode() if isinstance(data, str) else bytes(data)
        if _LONG_NUMBER not in content.translate(_DIGITS_TO_ZEROS):
            return orjson.loads(content)
        from pydantic_core import from_json

        return from_json(content)
    except ValueError:  # UnicodeEncodeError and orjson.JSONDecodeError among them
        return _parse_patiently(data if isinstance(data, str) else bytes(data), strict)


def _parse_patiently(data: bytes | str, strict: bool) -> Any:
    try:
        text = data.removeprefix("\ufeff") if isinstance(data, str) else _text_of(data, strict)
        return _mended(json.loads(text, parse_int=_integer, parse_float=_float))
    except RecursionError:
        raise JsonError(_TOO_DEEP) from None
    except json.JSONDecodeError as error:
        raise JsonError(f"not valid JSON: {error}") from None


def _text_of(data: bytes, strict: bool) -> str:
    named = _what_it_is(data)
    if named:
        raise JsonError(f"not valid JSON: it is {named}")
    data = data.removeprefix(BOM)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        if strict:
            raise JsonError(f"not UTF-8 text: {error.reason} at byte {error.start} (Latin-1?)") from None
        return data.decode("utf-8", "replace")


def _integer(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:  # Python converts no more than this many, as that takes the square of their number
        raise JsonError(f"it has an integer of {len(digits)} digits; at most {sys.get_int_max_str_digits()}") from None


def _float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise JsonError("it has a number beyond what a float can hold")
    return value


def _mended(value: Any) -> Any:
    """The value with texts that can be written."""
    if isinstance(value, str):
        return whole_text(value)
    if isinstance(value, list):
        return [_mended(inner) for inner in value]
    if isinstance(value, dict):
        return {whole_text(name): _mended(inner) for name, inner in value.items()}
    return value


def whole_text(text: str) -> str:
    """Text as Unicode: halves of surrogate pairs are put together, and what is left over becomes U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _what_it_is(data: bytes) -> str:
    """What data is that is certainly no JSON; empty if it may be meant as such."""
    start = data[:64].removeprefix(BOM).lstrip()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or start[1:2] == b"\0" or start[:1] == b"\0":
        return "UTF-16 or UTF-32, not UTF-8 text"
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the data itself (`git lfs pull` brings that)"
    for magic, name in _MAGIC.items():
        if data.startswith(magic):
            return name
    if start[:1] == b"<":
        return "markup (HTML or XML)"
    return ""


_MAGIC = {
    b"\x1f\x8b": "compressed with gzip",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"PK\x03\x04": "a zip archive",
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file",
    b"SQLite format 3": "an SQLite database",
    b"%PDF": "a PDF file",
    b"\x89PNG": "a picture",
    b"\x80\x04\x95": "a Python pickle",
}


def encode_json(value: Any, options: int = 0) -> bytes:
    """A value as JSON in UTF-8: what orjson writes, and else what pydantic writes.

    Integers of any size are written out; NaN and the infinities are `null`; text that is no Unicode is mended as in
    `parse_json`. `options`: further options of orjson, such as `orjson.OPT_APPEND_NEWLINE`. Raises `JsonError` for
    what has no JSON form, or nests too deeply.
    """
    try:
        return orjson.dumps(value, default=_jsonable, option=_OPTIONS | options)
    except orjson.JSONEncodeError as error:
        return _encode_patiently(value, options, str(error))


def _jsonable(value: Any) -> Any:
    """What pydantic makes of an object that orjson does not know: models, sets, paths, Decimals, named tuples."""
    if hasattr(value, "tolist") and hasattr(value, "dtype"):  # an array that orjson leaves out, as one of objects
        return value.tolist()
    from pydantic_core import to_jsonable_python

    try:
        return to_jsonable_python(value, by_alias=True)
    except UnicodeDecodeError as error:
        raise JsonError(f"bytes that are not UTF-8 have no JSON form: {error.reason}") from None
    except ValueError as error:  # PydanticSerializationError among them
        raise JsonError(f"{type(value).__name__} has no JSON form: {error}") from None


def _encode_patiently(value: Any, options: int, why: str) -> bytes:
    try:
        plain = _plain(value)
        text = json.dumps(
            plain,
            ensure_ascii=False,
            allow_nan=False,
            sort_keys=bool(options & orjson.OPT_SORT_KEYS),
            indent=2 if options & orjson.OPT_INDENT_2 else None,
            separators=None if options & orjson.OPT_INDENT_2 else (",", ":"),
        )
    except RecursionError:
        raise JsonError("it nests deeper than can be written") from None
    except JsonError:
        raise
    except (TypeError, ValueError) as error:
        raise JsonError(f"no JSON: {why or error}") from None
    return text.encode() + (b"\n" if options & orjson.OPT_APPEND_NEWLINE else b"")


def _plain(value: Any) -> Any:
    """The value in what Python's own json writes, to the letter as orjson would write it where it can."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return whole_text(str(value))
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if abs(value) < float("inf") else None
    if isinstance(value, Mapping):
        return {_key(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    try:
        return orjson.loads(orjson.dumps(value, default=_jsonable, option=_OPTIONS))
    except orjson.JSONEncodeError:
        return _plain(_jsonable(value))


def _key(name: Any) -> str:
    if isinstance(name, str):
        return whole_text(str(name))
    if isinstance(name, int) and not isinstance(name, bool):
        return str(int(name))
    if name is None or isinstance(name, bool | float | datetime | date | time | UUID | Enum):
        (text,) = orjson.loads(orjson.dumps({name: None}, option=_OPTIONS))
        return str(text)
    raise JsonError(f"a key of type {type(name).__name__} has no JSON form")
