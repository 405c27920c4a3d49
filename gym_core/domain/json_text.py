"""JSON as the world writes it, read and written in one place.

Servers, tools, data sets and models write what RFC 8259 forbids: NaN, half of a surrogate pair, a character that was
cut, line breaks within texts, a byte order mark, integers of any size. Where the meaning is clear it is read, and a
number is never rounded; the rest is a `JsonError` whose words say what the text is. On the other side everything that
pydantic can write is written.

orjson does the work wherever it does it right. It reads integers beyond 64 bits as floats, without a word: so a text
in which a number begins with 19 digits goes another way.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, MappingView, Sequence, Set
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from enum import Enum
from itertools import islice, repeat
from typing import Any, TypeAlias, TypeGuard

import orjson

Fallback: TypeAlias = Callable[[Any], Any]
BOM = b"\xef\xbb\xbf"
_BEFORE_NUMBERS = b"[:- \t\n\r"
_SHAPE = bytes.maketrans(b"123456789" + _BEFORE_NUMBERS, b"0" * 9 + b"," * len(_BEFORE_NUMBERS))
"""Any digit becomes a zero, and what a number may stand behind a comma."""
_LONG_NUMBER = b"0" * 19
"""The shape of a number of 19 digits; 2**63 has that many. Digits behind a point, which floats have, look otherwise."""
_LONG_NUMBER_INSIDE = b"," + _LONG_NUMBER
_LONG_DIGITS = re.compile(r"\d{19,}")
_LEVELS = 1024
"""So deep a text orjson reads."""
_MOST = 1_000_000
"""So many values are taken from what makes them while it is asked, and may have no end."""
_RECURSION = threading.RLock()


class JsonError(ValueError):
    """A text that is no JSON, or a value that cannot be written as JSON; the message says why, without the text."""


class PackedIntegers(Sequence[int]):
    """Integers that know how they are written, so that nobody looks at each of them."""

    __slots__ = ()

    @property
    @abstractmethod
    def written(self) -> bytes:
        """As JSON."""

    @abstractmethod
    def tobytes(self) -> bytes:
        """In 64 bits each, as this machine orders them."""


def _fragment(value: Any) -> orjson.Fragment:
    if isinstance(value, PackedIntegers):
        return orjson.Fragment(value.written)
    raise TypeError


def parse_json(data: bytes | bytearray | memoryview | str, *, strict: bool = False) -> Any:
    """The value of a JSON text.

    NaN and the infinities are floats; a text may hold line breaks and tabs as they are; integers are exact, of up to as
    many digits as Python converts (4300); half a surrogate pair and bytes that are not UTF-8 become U+FFFD; a byte
    order mark is passed over. `strict`: bytes that are not UTF-8 are refused, for files that somebody can fix. Raises
    `JsonError`, and nothing else whatever the text is; `TypeError` for what is no text.
    """
    try:
        content = data if type(data) is bytes else _bytes_of(data)
        if not _has_long_number(content):
            return orjson.loads(content)
    except ValueError:  # UnicodeEncodeError and orjson.JSONDecodeError among them
        pass
    return _parse_patiently(data if isinstance(data, str) else bytes(data), strict)


def _bytes_of(data: bytes | bytearray | memoryview | str) -> bytes:
    return data.encode() if isinstance(data, str) else bytes(memoryview(data))


def parse_line(line: bytes) -> tuple[Any, bool]:
    """The value of a line of a file, and whether a strict reader of JSON takes the line as it is.

    Raises `JsonError`, also for bytes that are not UTF-8.
    """
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return parse_json(line, strict=True), False
    return (parse_json(line, strict=True) if _has_long_number(line) else value), True


def _has_long_number(content: bytes) -> bool:
    shape = content.translate(_SHAPE)
    # from behind, since it is the comma that is rare: `in` looks for the zeros first, and takes ten times as long
    return shape.rfind(_LONG_NUMBER_INSIDE) >= 0 or shape.startswith(_LONG_NUMBER)


def _parse_patiently(data: bytes | str, strict: bool) -> Any:
    text = data.removeprefix("\ufeff") if isinstance(data, str) else _text_of(data, strict)
    if not text.strip():
        raise JsonError("not valid JSON: it is empty")
    try:
        with _room_for_depth(_LEVELS):
            value = json.loads(text, parse_float=_float, strict=False)  # a line may end within a text
        if text.isascii() and "\\u" not in text:
            return value
        with _room_for_depth(5 * _LEVELS):
            return _mended(value)
    except RecursionError:
        raise JsonError("it nests deeper than can be read") from None
    except json.JSONDecodeError as error:
        raise JsonError(f"not valid JSON: {error}") from None
    except JsonError:
        raise
    except ValueError:  # to convert more would take the square of their number
        raise JsonError(f"it has an integer of more than {sys.get_int_max_str_digits()} digits") from None


@contextmanager
def _room_for_depth(calls: int) -> Iterator[None]:
    """Room for so many nested calls, however deep the caller stands already, for what is as deep as orjson reads it."""
    with _RECURSION:  # the limit is one for all threads
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(limit + calls)
        try:
            yield
        finally:
            sys.setrecursionlimit(limit)


def _text_of(data: bytes, strict: bool) -> str:
    named = what_it_is(data)
    if named:
        raise JsonError(f"not valid JSON: it is {named}")
    data = data.removeprefix(BOM)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        if strict:
            raise JsonError(f"not UTF-8 text: {error.reason} at byte {error.start} (Latin-1?)") from None
        return data.decode("utf-8", "replace")


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


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value of JSON is a number that can be reckoned with: finite, and not too large for a float."""
    try:
        return type(value) in (float, int) and math.isfinite(value)
    except OverflowError:
        return False


def whole_text(text: str) -> str:
    """Text as Unicode: halves of surrogate pairs are put together, and what is left over becomes U+FFFD."""
    try:
        if not text.isascii():  # which is known of a text, whatever its length
            text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def what_it_is(data: bytes) -> str:
    """What data is that is certainly no JSON; empty if it may be meant as such."""
    start = data[:64].removeprefix(BOM).lstrip()
    if start and not start.strip(b"\0"):
        return "zero bytes (the file system lost what stood there)"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or start[1:2] == b"\0" or start[:1] == b"\0":
        return "UTF-16 or UTF-32, not UTF-8 text"
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the data itself (`git lfs pull` brings that)"
    for magic, name in _MAGIC.items():
        if data.startswith(magic):
            return name
    if start[:1] == b"<":
        return "markup (HTML or XML)"
    return "binary data" if b"\0" in start else ""


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
    b"7z\xbc\xaf": "a 7-Zip archive",
    **{bytes((0x80, protocol)): "a Python pickle" for protocol in range(2, 6)},
}


def encode_json(value: Any, options: int = 0, *, fallback: Fallback | None = None) -> bytes:
    """A value as JSON in UTF-8: what orjson writes, and what pydantic, numpy, attrs and the standard library make.

    Integers of up to 4300 digits are written out; NaN and the infinities are `null`; text that is no Unicode is fixed
    as in `parse_json`; a set is sorted, so that the same set is the same text. `options`: further options of orjson,
    such as `orjson.OPT_APPEND_NEWLINE`. `fallback`: what stands for an object that has no JSON form, such as `str`.
    Raises `JsonError` for what has no JSON form, or nests too deeply; what a generator raises passes.
    """
    try:
        return orjson.dumps(value, _fragment, options)
    except TypeError:  # to look for all else at once, such as keys that are no text, would double the cost
        return _encode_patiently(value, options, fallback)


def written_as_it_is(value: Any) -> Any:
    """A value that orjson writes, as it is; else the plain data that its JSON form is read as.

    For what somebody else writes later, perhaps more than once. Raises `JsonError` as `encode_json` does.
    """
    try:
        orjson.dumps(value)
    except TypeError:
        return plain_json(value)
    return value


def plain_json(value: Any, *, fallback: Fallback | None = None) -> Any:
    """A value as the plain data that its JSON form is read as; nothing of the value itself is in it.

    `fallback`, and what is raised: as in `encode_json`.
    """
    return parse_json(encode_json(value, fallback=fallback))


def _encode_patiently(value: Any, options: int, fallback: Fallback | None) -> bytes:
    indented = options & orjson.OPT_INDENT_2
    try:
        with _room_for_depth(3 * _LEVELS):
            text = json.dumps(
                _plain(value, fallback),
                ensure_ascii=False,
                sort_keys=bool(options & orjson.OPT_SORT_KEYS),
                indent=2 if indented else None,
                separators=None if indented else (",", ":"),
            )
        orjson.loads(_LONG_DIGITS.sub("0", text))  # others have to read it, too, if not all of its integers
    except orjson.JSONDecodeError:
        raise JsonError("it nests deeper than can be read") from None
    except RecursionError:
        raise JsonError("it nests deeper than can be written") from None
    except JsonError:
        raise
    except ValueError:
        raise JsonError(f"it has an integer of more than {sys.get_int_max_str_digits()} digits") from None
    return text.encode() + (b"\n" if options & orjson.OPT_APPEND_NEWLINE else b"")


def _plain(value: Any, fallback: Fallback | None) -> Any:
    """The value in what Python's own json writes. One frame for a level, since a deep value has many of them."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return _plain(value.value, fallback)
    if isinstance(value, str):
        return whole_text(str.__str__(value))
    if isinstance(value, int):
        return int.__index__(value)
    if isinstance(value, float):
        return float.__float__(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        named = {}
        for name, inner in value.items():
            named[_key(name, fallback)] = _plain(inner, fallback)
        return named
    if isinstance(value, bytes | bytearray | memoryview):
        return _decoded(bytes(value), fallback)
    if isinstance(value, Sequence | Set | MappingView | Iterator):
        inside: Iterable[Any] = iter(value)  # type: ignore[arg-type]  # a view of any kind can be iterated
        if isinstance(value, Iterator | range):
            inside = islice(inside, _MOST + 1)
        listed = list(map(_plain, inside, repeat(fallback)))
        if len(listed) > _MOST and isinstance(value, Iterator | range):
            raise JsonError(f"a {type(value).__name__} that gives more than {_MOST} values has no JSON form")
        return _in_order(listed) if isinstance(value, Set) else listed
    return _plain_object(value, fallback)


def _plain_object(value: Any, fallback: Fallback | None) -> Any:
    kind = type(value)
    if isinstance(value, os.PathLike):
        return _plain(os.fspath(value), fallback)
    if hasattr(kind, "tolist") and hasattr(kind, "dtype"):  # an array, a scalar of numpy, a tensor
        if getattr(value.dtype, "kind", "") == "M":
            return _plain(value.astype(str).tolist(), fallback)
        listed = value.tolist()
        if type(listed) is kind:  # a longdouble stays one
            listed = complex(listed) if value.dtype.kind == "c" else float(listed)
        return _plain(listed, fallback)
    names = [attribute.name for attribute in getattr(kind, "__attrs_attrs__", ())]
    if is_dataclass(kind):
        names = [field.name for field in fields(kind) if not field.name.startswith("_")]  # as orjson has it
    if names:
        return _plain({name: getattr(value, name) for name in names}, fallback)
    try:
        return orjson.loads(orjson.dumps(value))  # dates, times and UUIDs
    except TypeError:
        return _as_pydantic_has_it(value, fallback)


def _as_pydantic_has_it(value: Any, fallback: Fallback | None) -> Any:
    from pydantic_core import to_jsonable_python

    def plain(inner: Any) -> Any:
        return _formless(value, "", fallback) if inner is value else _plain(inner, fallback)

    try:
        made = to_jsonable_python(value, by_alias=_by_alias(type(value)), fallback=plain)
    except JsonError:
        raise
    except ValueError as error:  # PydanticSerializationError among them
        made = _formless(value, f": {error}", fallback)
    return _plain(made, fallback)


def _formless(value: Any, why: str, fallback: Fallback | None) -> Any:
    if fallback is None:
        raise JsonError(f"{type(value).__name__} has no JSON form{why}")
    return fallback(value)


def _by_alias(kind: type) -> bool:
    """Whether a model is written with its aliases; unlike its own methods, `to_jsonable_python` does so by default."""
    return bool(getattr(kind, "model_config", {}).get("serialize_by_alias", False))


def _decoded(data: bytes, fallback: Fallback | None) -> Any:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        if fallback is not None:
            return fallback(data)
        raise JsonError(f"bytes that are not UTF-8 have no JSON form ({error.reason} at {error.start})") from None


def _in_order(values: list[Any]) -> list[Any]:
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=encode_json)


def _key(name: Any, fallback: Fallback | None) -> str:
    plain = _plain(name, fallback)
    if isinstance(plain, str):
        return plain
    if isinstance(plain, list):
        return ",".join(_key(part, fallback) for part in plain)
    if isinstance(plain, dict):
        raise JsonError(f"a key of type {type(name).__name__} has no JSON form")
    return encode_json(plain).decode()
