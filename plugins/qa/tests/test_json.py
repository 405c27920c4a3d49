"""`json`: fields, schemas, and where the JSON stands in a reply."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

ANSWER = {"name": "Ada", "age": 36}


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ('{"name": "Ada", "age": 36}', True),
        ('{"age": 36.0, "name": "Ada", "more": 1}', True),
        ('Here it is:\n```json\n{"name": "Ada", "age": 36}\n```\nDone.', True),
        ('It is {"name": "Ada", "age": 36}, as asked', True),
        ('```\n{"name": "Bob"}\n```\nor\n```\n{"name": "Ada", "age": 36}\n```', True),
        ('{"name": "Ada", "age": "36"}', False),
        ('{"name": "Ada", "age": true}', False),
        ('{"name": "Ada"}', False),
        ('[{"name": "Ada", "age": 36}]', False),
        ("name: Ada", False),
        ("", False),
        ("{" * 5000, False),
    ],
)
def test_fields(reply: str, right: bool, score: Callable[..., float]) -> None:
    assert score("json", reply, ANSWER) == right
    assert score("json", reply, '{"name": "Ada", "age": 36}') == right


def test_named_fields_alone_count(score: Callable[..., float]) -> None:
    assert score("json", '{"name": "Ada", "age": 1}', ANSWER, fields=("name",)) == 1
    assert score("json", '{"age": 36}', ANSWER, fields=("name",)) == 0
    assert score("json", '{"age": 36}', ANSWER, fields=("unknown",)) == 0


def test_other_values(score: Callable[..., float]) -> None:
    assert score("json", "[1, 2.0]", [1, 2]) == 1
    assert score("json", "[2, 1]", [1, 2]) == 0
    assert score("json", '{"a": {"b": [1]}}', {"a": {"b": [1]}}) == 1
    assert score("json", '{"a": {"b": [1], "c": 1}}', {"a": {"b": [1]}}) == 0


SCHEMA: dict[str, Any] = {"type": "object", "required": ["name"], "properties": {"age": {"minimum": 0}}}


def test_a_schema_is_kept(score: Callable[..., float]) -> None:
    assert score("json", '{"name": "x", "age": 3}', schema=SCHEMA) == 1
    assert score("json", '{"name": "x", "age": -3}', schema=SCHEMA) == 0
    assert score("json", '{"age": 3}', schema=SCHEMA) == 0
    with pytest.raises(ValueError, match="a schema that is none"):
        score("json", "{}", schema={"type": 3})


def test_an_answer_that_is_no_json_is_refused(score: Callable[..., float]) -> None:
    with pytest.raises(ValueError, match="is no JSON"):
        score("json", "{}", "{")
