"""`json`: a JSON value that has the right fields, and keeps a schema."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from gym_core import JsonError, parse_json
from gym_qa.answers import spoken
from gym_qa.graders.grade import Expected, Grade

_FENCED = re.compile(r"```[a-zA-Z0-9]*\s*\n(.*?)```", re.DOTALL)
MOST_STARTS = 200
NOTHING = object()


def json_value(reply: str, expected: Expected) -> Grade:
    """The JSON of the reply keeps the schema and equals an answer: in all fields that the answer has, or all that
    `fields` names. The last fenced block counts, else the whole reply, else the longest value in it."""
    value = read_json(spoken(reply))
    if value is NOTHING:
        return Grade(0.0, None, {"valid": 0.0})
    schema = expected.schema
    problem = schema_problem(value, schema_of(schema)) if schema is not None else ""
    if problem:
        return Grade(0.0, value, {"valid": 0.0}, {"schema": problem})
    fields = expected.fields
    best = max((_share(value, value_of(answer), fields) for answer in expected.answers), default=1.0)
    return Grade(1.0 if best == 1 else 0.0, value, {"valid": 1.0, "fields": best})


def check_json(expected: Expected) -> None:
    """Raise `ValueError` for an answer that is no JSON, and for a schema that is none."""
    for answer in expected.answers:
        value_of(answer)
    schema = expected.schema
    if schema is None:
        return
    from jsonschema import SchemaError
    from jsonschema.validators import validator_for

    schema = schema_of(schema)
    try:
        validator_for(schema).check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"comes with a schema that is none: {error.message}") from None


def value_of(answer: Any) -> Any:
    """An answer as a value: a text is read as JSON. Raises `ValueError`."""
    if not isinstance(answer, str):
        return answer
    try:
        return parse_json(answer)
    except JsonError as error:
        raise ValueError(f"is no JSON: {error}") from None


def schema_of(schema: Any) -> Any:
    """A schema as a value. Raises `ValueError`."""
    value = value_of(schema)
    if not isinstance(value, Mapping | bool):
        raise ValueError("comes with a schema that is no object")
    return value


def schema_problem(value: Any, schema: Any) -> str:
    """What is wrong with a value by its schema; empty where nothing is."""
    from jsonschema.exceptions import best_match
    from jsonschema.validators import validator_for

    error = best_match(validator_for(schema)(schema).iter_errors(value))
    return "" if error is None else f"{error.json_path}: {error.message}"[:300]


def read_json(text: str) -> Any:
    """The JSON value of a text, `NOTHING` where there is none."""
    for candidate in (*reversed(_FENCED.findall(text)), text):
        try:
            return parse_json(candidate.strip())
        except JsonError:
            continue
    return max(_embedded(text), default=(0, NOTHING), key=lambda found: found[0])[1]


def _embedded(text: str) -> Iterator[tuple[int, Any]]:
    decoder = json.JSONDecoder()
    end = starts = 0
    for match in re.finditer(r"[{\[]", text):
        if match.start() < end or starts >= MOST_STARTS:
            continue
        starts += 1
        try:
            value, end = decoder.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            continue
        yield end - match.start(), value


def _share(value: Any, wanted: Any, fields: Any) -> float:
    """The share of the wanted fields that are right; of what is no object, all or nothing."""
    if not isinstance(wanted, Mapping):
        return float(equal(value, wanted))
    names = list(fields) if fields else list(wanted)
    if not isinstance(value, Mapping) or not names:
        return float(equal(value, wanted))
    return sum(name in value and name in wanted and equal(value[name], wanted[name]) for name in names) / len(names)


def equal(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON: 1 is 1.0, but true is not 1; numbers may differ by rounding."""
    if isinstance(one, bool) or isinstance(other, bool) or one is None or other is None:
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=0.0)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(equal(inner, other[name]) for name, inner in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and bool(one == other)
