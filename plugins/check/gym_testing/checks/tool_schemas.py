"""Tool schemas: what is wrong with one, and arguments that fit or do not fit it.

After the "function" tool of the Responses API and JSON Schema 2020-12, as far as endpoints understand it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gym_core import encode_json
from gym_core.spi import NAME_PATTERN, can_be_strict
from gym_testing.checks.problem import Problem

TYPES = ("string", "number", "integer", "boolean", "object", "array", "null")
_COMBINING = ("anyOf", "oneOf", "allOf")
_TYPED = ("type", *_COMBINING, "$ref", "enum", "const")
_EXAMPLE = re.compile(r"[\"'`“]([^\"'`”]{1,60})[\"'`”]")
_FORMATS = {
    "date": "2026-01-15",
    "date-time": "2026-01-15T09:30:00Z",
    "time": "09:30:00",
    "email": "ada@example.com",
    "uri": "https://example.com/",
    "uuid": "12345678-1234-4234-8234-123456789012",
}
_DEPTH = 8
_MOST = 200


def tool_problems(tools: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """What is wrong with the tools that a model is offered. Those that are no functions are left to the endpoint."""
    seen: set[str] = set()
    for tool in tools:
        if tool.get("type", "function") != "function":
            continue
        name = tool.get("name")
        if not isinstance(name, str) or not NAME_PATTERN.fullmatch(name):
            fix = "a name is 1 to 64 letters, digits, underscores and dashes"
            yield Problem("tool-name", f"a tool is called {name!r}, which endpoints refuse", fix)
            continue
        if name in seen:
            yield Problem("tool-twice", f"two tools are called `{name}`", "give each a name of its own")
        seen.add(name)
        description = tool.get("description")
        if not isinstance(description, str) or not description.strip():
            fix = "give it a docstring: the model knows it by nothing else"
            yield Problem("tool-undescribed", f"the tool `{name}` has no description", fix)
        yield from _parameter_problems(name, tool)


def _parameter_problems(name: str, tool: Mapping[str, Any]) -> Iterator[Problem]:
    parameters = tool.get("parameters")
    fix = "annotate its parameters and let `@tool` make the schema"
    if parameters is None:
        yield Problem("tool-no-parameters", f"the tool `{name}` has no `parameters`", 'give it {"type": "object"}')
        return
    if not isinstance(parameters, Mapping) or parameters.get("type") != "object":
        yield Problem("tool-schema", f'the parameters of the tool `{name}` are no schema of type "object"', fix)
        return
    unsound = list(_schema_problems(parameters, parameters, "parameters"))
    if unsound:
        yield from (Problem("tool-schema", f"the tool `{name}`: {problem}", fix) for problem in unsound)
        return
    properties = {
        key: schema for key, schema in parameters.get("properties", {}).items() if isinstance(schema, Mapping)
    }
    untyped = [key for key, schema in properties.items() if not any(word in schema for word in _TYPED)]
    if untyped:
        message = f"the parameter `{untyped[0]}` of the tool `{name}` may be anything"
        yield Problem("tool-untyped", message, "annotate it with a type", count=len(untyped))
    words = str(tool.get("description"))
    silent = [key for key, schema in properties.items() if not schema.get("description") and key not in words]
    if silent:
        message = f"the parameter `{silent[0]}` of the tool `{name}` is described nowhere"
        fix = "describe it under `Args:` in the docstring"
        yield Problem("parameter-undescribed", message, fix, count=len(silent))
    if tool.get("strict"):
        yield from _strict_problems(name, parameters)


def _strict_problems(name: str, parameters: Mapping[str, Any]) -> Iterator[Problem]:
    def problem(message: str, fix: str) -> Problem:
        return Problem("tool-strict", f"the tool `{name}` is strict, but {message}", fix)

    if parameters.get("additionalProperties") is not False:
        yield problem("takes more than its properties", "`additionalProperties` must be false")
    elif set(parameters.get("required", ())) != set(parameters.get("properties", ())):
        yield problem("some of its parameters may be left out", "every parameter must be required")
    elif not can_be_strict(parameters):
        yield problem("its parameters say what strict mode cannot", "leave `strict` out")


def _schema_problems(schema: Any, root: Mapping[str, Any], place: str, depth: int = 0) -> Iterator[str]:
    """What is wrong with a schema, `place` saying where. `root`: what its references begin at."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, Mapping):
        yield f"`{place}` is no schema but {schema!r:.60}"
        return
    reference = schema.get("$ref")
    if reference is not None and _resolved(reference, root) is None:
        yield f"`{place}` refers to {reference!r}, which is not there"
    kinds = schema.get("type", [])
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if kind not in TYPES:
            yield f"`{place}` has the type {kind!r}, which JSON Schema does not know"
    if "enum" in schema and not (isinstance(schema["enum"], list) and schema["enum"]):
        yield f"`{place}`: `enum` must be a list of values"
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if not isinstance(properties, Mapping):
        yield f"`{place}`: `properties` must be an object"
        properties = {}
    if not isinstance(required, list):
        yield f"`{place}`: `required` must be a list"
        required = []
    lacking = [name for name in required if not isinstance(name, str) or name not in properties]
    if lacking:
        yield f"`{place}` requires `{lacking[0]}`, which is none of its properties"
    if depth < _DEPTH:
        for where, inner in _inner(schema, properties):
            yield from _schema_problems(inner, root, f"{place}.{where}", depth + 1)


def _inner(schema: Mapping[str, Any], properties: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from properties.items()
    for name in ("items", "additionalProperties"):
        if name in schema:
            yield name, schema[name]
    for name in ("$defs", "patternProperties"):
        if isinstance(schema.get(name), Mapping):
            yield from ((f"{name}.{key}", inner) for key, inner in schema[name].items())
    for name in _COMBINING:
        if isinstance(schema.get(name), list):
            yield from ((f"{name}.{number}", inner) for number, inner in enumerate(schema[name]))


def _resolved(reference: Any, root: Any) -> Any:
    """What a reference within the same schema points at (a JSON pointer, RFC 6901); None where there is nothing."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    found = root
    for step in reference.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list):
            found = found[int(key)] if key.isdecimal() and int(key) < len(found) else None
        else:
            found = found.get(key) if isinstance(found, Mapping) else None
    return found


def arguments_for(tool: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments that fit a tool's schema and look like something that somebody would say; {} for an unsound schema."""
    parameters = tool.get("parameters")
    if not isinstance(parameters, Mapping) or any(_schema_problems(parameters, parameters, "")):
        return {}
    value = _value(parameters, parameters, 0)
    return value if isinstance(value, dict) else {}


def misfitting(tool: Mapping[str, Any]) -> Iterator[str]:
    """Arguments that a model might write and no tool can take: no JSON, half of it, no object, unknown or wrong."""
    yield "this is no JSON"
    yield '{"a": '
    yield "[1, 2, 3]"
    yield '{"no_such_parameter_": 1}'
    properties = (tool.get("parameters") or {}).get("properties") or {}
    if properties:
        yield encode_json({name: {"wrong": ["kind"]} for name in properties}).decode()
        yield encode_json(dict.fromkeys(properties)).decode()


def _value(schema: Any, root: Mapping[str, Any], depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > _DEPTH:
        return "x"
    if "$ref" in schema:
        return _value(_resolved(schema["$ref"], root), root, depth + 1)
    if "const" in schema:
        return schema["const"]
    for choices in ("enum", "examples"):
        if isinstance(schema.get(choices), list) and schema[choices]:
            return schema[choices][0]
    if schema.get("default") is not None:
        return schema["default"]
    for several in _COMBINING:
        options = schema.get(several) or []
        for option in options if isinstance(options, list) else []:
            if not isinstance(option, Mapping) or option.get("type") != "null":
                return _value(option, root, depth + 1)
    kind = schema.get("type")
    return _of_kind(kind[0] if isinstance(kind, list) and kind else kind, schema, root, depth)


def _of_kind(kind: Any, schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Any:
    if kind == "object":
        properties = schema.get("properties", {})
        return {key: _value(properties.get(key), root, depth + 1) for key in schema.get("required", ())}
    if kind == "array":
        count = max(1, _whole(schema.get("minItems")))
        return [_value(schema.get("items"), root, depth + 1) for _ in range(min(count, _MOST))]
    if kind in ("integer", "number"):
        return _number(schema)
    if kind == "boolean":
        return True
    return None if kind == "null" else _text(schema)


def _number(schema: Mapping[str, Any]) -> Any:
    value: Any = 1
    if _is_number(schema.get("exclusiveMinimum")):
        value = max(value, schema["exclusiveMinimum"] + 1)
    if _is_number(schema.get("minimum")):
        value = max(value, schema["minimum"])
    if _is_number(schema.get("maximum")):
        value = min(value, schema["maximum"])
    return value


def _text(schema: Mapping[str, Any]) -> str:
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    example = _EXAMPLE.search(str(schema.get("description") or ""))
    text = example[1] if example else "example"
    least, most = _whole(schema.get("minLength")), _whole(schema.get("maxLength")) or _MOST
    return text.ljust(min(least, _MOST), "x")[:most]


def _whole(value: Any) -> int:
    return value if type(value) is int and value > 0 else 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
