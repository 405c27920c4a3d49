"""JSON is read as the world writes it, exactly, and whatever Python makes is written or refused in words."""

import contextlib
import itertools
import json
import math
from collections import ChainMap, UserDict, UserList, deque, namedtuple
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any
from uuid import UUID

import attrs
import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from gym_core import JsonError, encode_json, parse_json

ANY_TEXT = st.text(st.characters(exclude_categories=()))
"""Halves of surrogate pairs among it."""
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.integers(-(2**130), 2**130) | st.floats(allow_nan=False) | ANY_TEXT
)
VALUES = st.recursive(
    SCALARS | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=20,
)


def fixed(value: Any, *, finite: bool) -> Any:
    """What is read for a value: `finite` where it was written as `null` that is no number."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, float) and not math.isfinite(value):
        return None if finite else repr(value)
    if isinstance(value, list):
        return [fixed(inner, finite=finite) for inner in value]
    if isinstance(value, dict):
        return {fixed(name, finite=finite): fixed(inner, finite=finite) for name, inner in value.items()}
    return value


def exactly(value: Any) -> str:
    return repr(fixed(value, finite=False))


@given(VALUES, st.booleans())
def test_what_python_writes_is_read_as_it_was(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert exactly(parse_json(text)) == exactly(value)


@given(VALUES)
def test_what_is_written_is_read_again(value: Any) -> None:
    written = encode_json(value)
    assert exactly(parse_json(written)) == exactly(fixed(value, finite=True))
    assert json.loads(written) == fixed(value, finite=True)


@given(
    st.binary(max_size=60) | ANY_TEXT | st.text('[]{}",:0123456789eE+-.\\u nulltrueINfiyNaN\ud83d\ufeff', max_size=60)
)
def test_any_text_is_a_value_or_a_json_error(text: bytes | str) -> None:
    for strict in (False, True):
        with contextlib.suppress(JsonError):
            encode_json(parse_json(text, strict=strict))


@given(st.integers(-(10**60), 10**60), st.integers(0, 3))
def test_an_integer_is_never_rounded(number: int, depth: int) -> None:
    value: Any = number
    for _ in range(depth):
        value = {"in": [value]}
    assert repr(parse_json(json.dumps(value))) == repr(value)
    assert repr(parse_json(encode_json(value))) == repr(value)


@pytest.mark.parametrize("digits", [308, 309, 4299])
@pytest.mark.parametrize("sign", [1, -1])
def test_integers_beyond_what_a_float_holds_are_written_and_read(digits: int, sign: int) -> None:
    value = {"in": [sign * 10**digits, "7" * 400, {7**20, "a"}]}
    assert parse_json(encode_json(value))["in"][0] == sign * 10**digits


@given(arrays.arrays(arrays.scalar_dtypes(), arrays.array_shapes(max_dims=2, max_side=3)))
def test_an_array_of_any_type_is_written_or_refused(array: np.ndarray[Any, Any]) -> None:
    for value in (array, array[(0,) * array.ndim], array.astype(object), {"a": [array.T]}):
        with contextlib.suppress(JsonError):  # bytes that are no text
            parse_json(encode_json(value))


class Point(namedtuple("Point", "x y")):
    __slots__ = ()


class Colour(StrEnum):
    RED = "red"

    def __str__(self) -> str:
        return "something else"


class Shout(str):
    def __str__(self) -> str:
        return "something else"


class Reading(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    value: Any = Field(1, alias="v")


class Aliased(BaseModel):
    model_config = ConfigDict(serialize_by_alias=True)
    value: int = Field(1, alias="v")


@dataclass
class Weather:
    city: str
    parts: Any = None


@dataclass(frozen=True)
class Key:
    x: int


@attrs.define
class Place:
    name: str
    tags: Any = None


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Point(1, {2}), [1, [2]]),
        ([Colour.RED, {3}], ["red", [3]]),
        ([Shout("as it is"), 2**70], ["as it is", 2**70]),
        (Decimal("1.50"), "1.50"),
        (Fraction(1, 3), "1/3"),
        ({"b", "a", "c"}, ["a", "b", "c"]),
        (frozenset({1, "a", None}), ["a", 1, None]),
        (range(3), [0, 1, 2]),
        (map(str, [1, 2]), ["1", "2"]),
        ({1: 2}.values(), [2]),
        (deque([1]), [1]),
        (UserList([1]), [1]),
        (UserDict(a=1), {"a": 1}),
        (ChainMap({"a": 1}), {"a": 1}),
        (MappingProxyType({"a": {1}}), {"a": [1]}),
        (b"caf\xc3\xa9", "café"),
        (bytearray(b"a"), "a"),
        (memoryview(b"a"), "a"),
        (PurePosixPath("/tmp/a b"), "/tmp/a b"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ({datetime(2020, 1, 1, tzinfo=UTC)}, ["2020-01-01T00:00:00+00:00"]),
        ({date(2020, 1, 1): time(1)}, {"2020-01-01": "01:00:00"}),
        (timedelta(seconds=3), "PT3S"),
        (SecretStr("s"), "**********"),
        (Reading(v=2**80), {"value": 2**80}),
        ([Reading(v=np.arange(2)), Reading(v=Reading(v={1}))], [{"value": [0, 1]}, {"value": {"value": [1]}}]),
        ({"m": Aliased(v=2)}, {"m": {"v": 2}}),
        (Weather("Oslo\udcff", {2**70}), {"city": "Oslo�", "parts": [2**70]}),
        (Place("Oslo", [Place("x")]), {"name": "Oslo", "tags": [{"name": "x", "tags": None}]}),
        (np.float32(0.5), 0.5),
        (np.longdouble(1.5), 1.5),
        (np.bool_(True), True),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.array(1.5), 1.5),
        (np.array([np.nan, 1.0]), [None, 1.0]),
        (np.array([2**80, {1}], dtype=object), [2**80, [1]]),
        (np.array(["a"]), ["a"]),
        (np.array(["2020-01-01"], dtype="M8[D]"), ["2020-01-01"]),
        (np.arange(6).reshape(2, 3).T, [[0, 3], [1, 4], [2, 5]]),
        ([2**70, (n for n in (1, 2))], [2**70, [1, 2]]),
        ([(n for n in (1, 2)), 2**70], [[1, 2], 2**70]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_python_holds_is_written(value: Any, written: Any) -> None:
    assert repr(parse_json(encode_json(value))) == repr(written)


def test_keys_of_every_kind_become_text() -> None:
    keys: list[Any] = [1, (1, "a"), None, False, 2.5, Colour.RED, np.int64(7), Decimal("1.5"), PurePosixPath("p"), b"b"]
    keys += [2**70, "\ud800"]
    written = ["1", "1,a", "null", "false", "2.5", "red", "7", "1.5", "p", "b", str(2**70), "�"]
    assert list(parse_json(encode_json(dict.fromkeys(keys)))) == written


def _cyclic() -> list[Any]:
    value: list[Any] = []
    value.append({"again": value})
    return value


def _cyclic_model() -> Reading:
    value = Reading(v=None)
    value.value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (object(), "object has no JSON form"),
        ({"a": [print]}, "builtin_function_or_method has no JSON form"),
        (np.array([object()]), "object has no JSON form"),
        (Reading(v=object()), "object has no JSON form"),
        ({Weather("x").__class__: 1}, "type has no JSON form"),
        ({Key(1): 1}, "a key of type Key"),
        (b"\xff\xfe", "bytes that are not UTF-8"),
        (10**5000, "more than 4300 digits"),
        ({10**5000: 1}, "more than 4300 digits"),
        (_cyclic(), "deeper than can be written"),
        (_cyclic_model(), "no JSON form"),
        ({"a": itertools.count()}, "a count that gives more than 1000000 values"),
        (range(10**12), "a range that gives more than 1000000 values"),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, str) else type(value).__name__,
)
def test_what_has_no_json_form_is_named(value: Any, why: str) -> None:
    with pytest.raises(JsonError, match=why):
        encode_json(value)


def test_an_object_that_answers_to_every_name_is_no_array() -> None:
    class Anything:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    with pytest.raises(JsonError, match="Anything has no JSON form"):
        encode_json([Anything()])


def test_what_a_generator_raises_passes() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise LookupError("the end of the file")

    with pytest.raises(LookupError):
        encode_json({"numbers": numbers()})


@pytest.mark.parametrize("text", ["[-0.0001220703125000001234]", '{"a":1.5e-07,"b":0.000000000000000000012}'])
def test_digits_behind_a_point_are_read_as_fast_as_others(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Log probabilities have many: the slow way is for integers."""
    monkeypatch.setattr(json, "loads", None)
    assert parse_json(text) == orjson.loads(text)


@pytest.mark.parametrize("before", ["", "-", "[", "[1,", '{"a":', '{"a": ', "[\n", "[\t-", "[\r"])
def test_a_long_integer_is_exact_wherever_it_stands(before: str) -> None:
    number = "1" + "0" * 25 + "7"
    after = "]" * before.count("[") + "}" * before.count("{")
    assert parse_json(f"{before}{number}{after}") == json.loads(f"{before}{number}{after}")


@pytest.mark.parametrize("depth", [253, 300, 700])
def test_a_deep_value_is_written_and_read(depth: int) -> None:
    text = "[" * depth + "]" * depth
    assert encode_json(parse_json(text)) == text.encode()


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[" * 3000 + "]" * 3000])
def test_a_text_that_nests_without_end_is_refused(text: str) -> None:
    with pytest.raises(JsonError, match="nests deeper"):
        parse_json(text)


def test_line_breaks_and_tabs_may_stand_in_a_text() -> None:
    for text in ('{"a": "x\n\ty"}', b'{"a": "x\n\ty"}'):
        assert parse_json(text) == {"a": "x\n\ty"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1e999", "beyond what a float can hold"),
        ("[-1e999, " + "9" * 30 + "]", "beyond what a float can hold"),
        ("9" * 5000, "more than 4300 digits"),
        (b"\xff\xfe[\x00", "UTF-16"),
        (b"\x1f\x8b\x08", "compressed with gzip"),
        (b"<html>", "markup"),
        ("", "it is empty"),
        (b" \n", "it is empty"),
        ("nul", "Expecting value"),
    ],
)
def test_a_text_that_is_no_json_is_told_why(text: bytes | str, why: str) -> None:
    with pytest.raises(JsonError, match=why):
        parse_json(text)


def test_bytes_that_are_no_utf8_are_refused_where_that_is_asked() -> None:
    assert parse_json(b'"caf\xe9"') == "caf�"
    with pytest.raises(JsonError, match=r"not UTF-8 text: .* at byte 4"):
        parse_json(b'"caf\xe9"', strict=True)


@pytest.mark.parametrize("value", [{"b": 1, "a": [2**70]}, {"b": 1, "a": [{}]}])
def test_options_hold_whatever_is_written(value: Any) -> None:
    lines = encode_json(value, orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    assert lines.startswith(b'{\n  "a": [\n    ')
    assert lines.endswith(b'  "b": 1\n}\n')


@pytest.mark.parametrize("value", [None, 3, 10**15, [1], {}])
def test_what_is_no_text_is_no_json_text(value: Any) -> None:
    with pytest.raises(TypeError):
        parse_json(value)
