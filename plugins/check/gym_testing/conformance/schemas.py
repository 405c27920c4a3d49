"""Tool schemas: what is wrong with one, and arguments that fit or do not fit it.

After the "function" tool of the Responses API and JSON Schema 2020-12, as far as endpoints understand it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from gym_core.spi import NAME_PATTERN, can_be_strict

TYPES = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
_COMBINING = ("anyOf", "oneOf", "allOf")
_FORMATS = {"date": "2026-01-02", "date-time": "2026-01-02T03:04:05Z", "time": "03:04:05", "uri": "http://example.com/"}
_DEPTH = 8


def tool_problems(tool: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a function tool, as sentences that begin with its name."""
    name = tool.get("name")
    if not isinstance(name, str) or not NAME_PATTERN.fullmatch(name):
        yield f"{name!r}: a name is 1 to 64 letters, digits, underscores and dashes"
        return
    description = tool.get("description")
    if not isinstance(description, str) or not description.strip():
        yield f"`{name}` has no description; the model reads it to know what the tool does"
    parameters = tool.get("parameters")
    if not isinstance(parameters, Mapping) or parameters.get("type") != "object":
        yield f'`{name}`: `parameters` must be a schema with "type": "object"'
        return
    properties = parameters.get("properties", {})
    for problem in schema_problems(parameters, parameters.get("$defs", {}), "parameters"):
        yield f"`{name}`: {problem}"
    if not isinstance(properties, Mapping):
        return
    for parameter, schema in properties.items():
        named = parameter in str(description)
        if isinstance(schema, Mapping) and not schema.get("description") and not named:
            yield f"`{name}`: the parameter `{parameter}` is described nowhere"
    if tool.get("strict"):
        if parameters.get("additionalProperties") is not False:
            yield f"`{name}` is strict: `additionalProperties` must be false"
        if set(parameters.get("required", ())) != set(properties):
            yield f"`{name}` is strict: every parameter must be required"
        elif not can_be_strict(parameters):
            yield f"`{name}` is strict, and its parameters say what strict mode cannot: leave `strict` out"


def schema_problems(schema: Any, definitions: Any, place: str, depth: int = 0) -> Iterator[str]:
    """What is wrong with a schema, `place` saying where."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, Mapping):
        yield f"`{place}` is no schema but {schema!r:.60}"
        return
    reference = schema.get("$ref")
    if reference is not None and _resolved(reference, definitions) is None:
        yield f"`{place}` refers to {reference!r}, which is not there"
    kinds = schema.get("type", [])
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        if kind not in TYPES:
            yield f"`{place}` has the type {kind!r}, which JSON Schema does not know"
    if "enum" in schema and not (isinstance(schema["enum"], list) and schema["enum"]):
        yield f"`{place}`: `enum` must be a list of values"
    properties = schema.get("properties", {})
    if not isinstance(properties, Mapping):
        yield f"`{place}`: `properties` must be an object"
        properties = {}
    required = schema.get("required", [])
    if not isinstance(required, list):
        yield f"`{place}`: `required` must be a list"
        required = []
    lacking = [name for name in required if name not in properties]
    if lacking:
        yield f"`{place}` requires `{lacking[0]}`, which is none of its properties"
    if depth < _DEPTH:
        for where, inner in _inner(schema, properties):
            yield from schema_problems(inner, definitions, f"{place}.{where}", depth + 1)


def _inner(schema: Mapping[str, Any], properties: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from properties.items()
    for name in ("items", "additionalProperties"):
        if name in schema:
            yield name, schema[name]
    for name in ("$defs", "patternProperties"):
        if isinstance(schema.get(name), Mapping):
            yield from ((f"{name}.{key}", inner) for key, inner in schema[name].items())
    for name in _COMBINING:
        for number, inner in enumerate(schema.get(name, ())):
            yield f"{name}.{number}", inner


def _resolved(reference: Any, definitions: Any) -> Any:
    name = str(reference).removeprefix("#/$defs/")
    return definitions.get(name) if isinstance(definitions, Mapping) else None


def fitting(tool: Mapping[str, Any]) -> str:
    """Arguments, as JSON text, that fit the schema of a tool as well as can be guessed."""
    parameters = tool.get("parameters") or {}
    return orjson.dumps(_value(parameters, parameters.get("$defs", {}), 0)).decode()


def misfitting(tool: Mapping[str, Any]) -> Iterator[str]:
    """Arguments that a model might write and no tool can take: no JSON, half of it, no object, unknown or wrong."""
    yield "this is no JSON"
    yield '{"a": '
    yield "[1, 2, 3]"
    yield '{"no_such_parameter_": 1}'
    properties = (tool.get("parameters") or {}).get("properties") or {}
    if properties:
        yield orjson.dumps({name: {"wrong": ["kind"]} for name in properties}).decode()
        yield orjson.dumps(dict.fromkeys(properties)).decode()


def _value(schema: Any, definitions: Any, depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > _DEPTH:
        return "x"
    if "$ref" in schema:
        return _value(_resolved(schema["$ref"], definitions), definitions, depth + 1)
    for name in ("const", "default"):
        if schema.get(name) is not None:
            return schema[name]
    if schema.get("enum"):
        return schema["enum"][0]
    for name in _COMBINING:
        for inner in schema.get(name, ()):
            if inner.get("type") != "null":
                return _value(inner, definitions, depth + 1)
    kind = schema.get("type", "string")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "object":
        properties, required = schema.get("properties") or {}, schema.get("required") or ()
        return {name: _value(properties.get(name), definitions, depth + 1) for name in required}
    if kind == "array":
        return [_value(schema.get("items"), definitions, depth + 1)] * max(1, schema.get("minItems", 1))
    if kind in ("integer", "number"):
        least = schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
        return min(least, schema.get("maximum", least))
    if kind == "boolean":
        return True
    return _FORMATS.get(schema.get("format", ""), "x" * max(1, schema.get("minLength", 1)))
