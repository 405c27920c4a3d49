"""Schemas of tools: whether they are sound, and arguments that fit them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gym_check.audit.finding import Finding, error, info, warning
from gym_core.spi import NAME_PATTERN

_DEPTH = 6
_TYPED = ("type", "anyOf", "oneOf", "allOf", "$ref", "enum", "const")
_EXAMPLE = re.compile(r"[\"'`“]([^\"'`”]{1,60})[\"'`”]")
_FORMATS = {
    "date": "2026-01-15",
    "date-time": "2026-01-15T09:30:00Z",
    "time": "09:30:00",
    "email": "ada@example.com",
    "uri": "https://example.com/",
    "uuid": "12345678-1234-4234-8234-123456789012",
}


def tool_findings(tools: Sequence[Mapping[str, Any]], task_id: str) -> Iterator[Finding]:
    """What is wrong with the tools that a model is offered."""
    seen: set[str] = set()
    for tool in tools:
        if tool.get("type", "function") != "function":
            continue  # of the endpoint, which knows what it means
        name = tool.get("name")
        if not isinstance(name, str) or not NAME_PATTERN.fullmatch(name):
            fix = "a name is 1 to 64 letters, digits, underscores and dashes"
            yield error("tool-name", f"a tool is called {name!r}, which endpoints refuse", fix, task_id)
            continue
        if name in seen:
            yield error("tool-twice", f"two tools are called `{name}`", "give each a name of its own", task_id)
        seen.add(name)
        if not str(tool.get("description") or "").strip():
            fix = "give it a docstring: the model knows it by nothing else"
            yield warning("tool-undescribed", f"the tool `{name}` has no description", fix, task_id)
        yield from _parameter_findings(name, tool, task_id)


def _parameter_findings(name: str, tool: Mapping[str, Any], task_id: str) -> Iterator[Finding]:
    parameters = tool.get("parameters")
    fix = "annotate its parameters and let `@tool` make the schema"
    if parameters is None:
        return  # a function without parameters
    problem = _schema_problem(parameters)
    if problem:
        yield error("tool-schema", f"the parameters of the tool `{name}` {problem}", fix, task_id)
        return
    properties = parameters.get("properties", {})
    untyped = [key for key, schema in properties.items() if not any(word in schema for word in _TYPED)]
    if untyped:
        problem = f"the parameter `{untyped[0]}` of the tool `{name}` may be anything"
        yield warning("tool-untyped", problem, "annotate it with a type", task_id, len(untyped))
    words = str(tool.get("description"))
    silent = [key for key, schema in properties.items() if not schema.get("description") and key not in words]
    if silent:
        problem = f"the parameter `{silent[0]}` of the tool `{name}` is not described"
        yield info("parameter-undescribed", problem, "describe it under `Args:` in the docstring", task_id, len(silent))


def _schema_problem(parameters: Any) -> str:
    if not isinstance(parameters, Mapping) or parameters.get("type") != "object":
        return 'are no schema of type "object"'
    properties = parameters.get("properties", {})
    if not isinstance(properties, Mapping) or not all(isinstance(value, Mapping) for value in properties.values()):
        return "have `properties` that are no schemas"
    required = parameters.get("required", [])
    if not isinstance(required, list):
        return "have a `required` that is no list"
    lacking = [key for key in required if key not in properties]
    return f"require `{lacking[0]}`, which is not among the properties" if lacking else ""


def arguments_for(tool: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments that fit a tool's schema and look like something that somebody would say."""
    parameters = tool.get("parameters")
    if not isinstance(parameters, Mapping) or _schema_problem(parameters):
        return {}
    value = _value(parameters, parameters.get("$defs") or {}, 0)
    return value if isinstance(value, dict) else {}


def _value(schema: Any, definitions: Mapping[str, Any], depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > _DEPTH:
        return None
    if "$ref" in schema:
        return _value(definitions.get(str(schema["$ref"]).rpartition("/")[2]), definitions, depth + 1)
    if "const" in schema:
        return schema["const"]
    for choices in ("enum", "examples"):
        if isinstance(schema.get(choices), list) and schema[choices]:
            return schema[choices][0]
    if schema.get("default") is not None:
        return schema["default"]
    for several in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(several), list):
            options = [each for each in schema[several] if isinstance(each, Mapping) and each.get("type") != "null"]
            return _value(options[0], definitions, depth + 1) if options else None
    kind = schema.get("type")
    return _of_kind(kind[0] if isinstance(kind, list) and kind else kind, schema, definitions, depth)


def _of_kind(kind: Any, schema: Mapping[str, Any], definitions: Mapping[str, Any], depth: int) -> Any:
    if kind == "object":
        properties = schema.get("properties") or {}
        required = schema.get("required") or []
        return {key: _value(properties.get(key), definitions, depth + 1) for key in required}
    if kind == "array":
        count = max(1, _whole(schema.get("minItems")))
        return [_value(schema.get("items"), definitions, depth + 1) for _ in range(min(count, 10))]
    if kind in ("integer", "number"):
        return _number(schema)
    if kind == "boolean":
        return True
    if kind == "null":
        return None
    return _text(schema)


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
    least, most = _whole(schema.get("minLength")), _whole(schema.get("maxLength")) or 200
    return text.ljust(min(least, 200), "x")[:most]


def _whole(value: Any) -> int:
    return value if type(value) is int and value > 0 else 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
