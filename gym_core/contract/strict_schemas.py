"""Which schemas of arguments an endpoint's strict mode can hold.

The rules are those of OpenAI's documentation ("Structured outputs: supported schemas"). A server refuses every call
that offers a tool with `strict: true` and another schema, so whatever is not known to be allowed is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_WORDS = frozenset(
    {"type", "title", "description", "enum", "const", "anyOf", "properties", "required", "additionalProperties"}
    | {"items", "minItems", "maxItems", "pattern", "format"}
    | {"multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
)
"""Not among them: `default`, `allOf`, `oneOf`, `not`, `prefixItems`, `uniqueItems`, `minLength`, and `$ref` and
`$defs`, which servers other than OpenAI's do not take everywhere."""
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
_TYPES = frozenset({"string", "number", "boolean", "integer", "null", "object", "array"})
_LEVELS = 10
_PROPERTIES = 5000
_VALUES = 1000


def can_be_strict(parameters: Mapping[str, Any]) -> bool:
    """Whether `strict: true` may stand beside the schema of a tool's parameters."""
    if parameters.get("type") != "object":
        return False
    layer: list[Any] = [parameters]
    properties = values = 0
    for _ in range(_LEVELS):
        if not all(_is_allowed(schema) for schema in layer):
            return False
        properties += sum(len(schema.get("properties", ())) for schema in layer)
        values += sum(len(schema.get("enum", ())) for schema in layer)
        if properties > _PROPERTIES or values > _VALUES:
            return False
        layer = [inner for schema in layer for inner in _inner(schema)]
        if not layer:
            return True
    return False


def _inner(schema: Mapping[str, Any]) -> list[Any]:
    items = [schema["items"]] if "items" in schema else []
    return [*schema.get("properties", {}).values(), *items, *schema.get("anyOf", ())]


def _is_allowed(schema: Any) -> bool:
    """Whether one schema says what it may say, without those within it."""
    if not isinstance(schema, Mapping) or not schema.keys() <= _WORDS:
        return False
    kinds = schema.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if not all(isinstance(kind, str) and kind in _TYPES for kind in kinds):
        return False
    if not kinds and not any(word in schema for word in ("anyOf", "enum", "const")):
        return False
    if "object" in kinds:
        names = schema.get("properties", {})
        if schema.get("additionalProperties") is not False or set(schema.get("required", ())) != set(names):
            return False
    # its expressions do not look around
    looks = any(mark in str(schema.get("pattern", "")) for mark in ("(?=", "(?!", "(?<"))
    return not looks and schema.get("format", "date") in _FORMATS and ("array" not in kinds or "items" in schema)
