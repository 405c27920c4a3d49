"""Input schemas of tools as the endpoints of models take them: an object at the top, and nothing that they refuse.

An endpoint refuses a whole request for one schema. What can be said otherwise is; it is the MCP server that checks the
arguments in the end, so a schema may allow more than the server does.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from gym_core import JsonError, encode_json, parse_json

_CHOICES = ("anyOf", "oneOf")
_NOT_AT_THE_TOP = (*_CHOICES, "allOf", "not", "enum", "const", "if", "then", "else", "$ref")
_BY_NAME = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
"""Keywords whose values hold schemas by names that are no keywords."""
_DATA = frozenset({"const", "default", "enum", "examples"})
_NEEDED = frozenset({"type", "properties", "$ref", "$defs", "definitions", "anyOf", "oneOf", "allOf"})
"""Keywords without which a schema would say something else, and not just allow more."""
_MOST_FAULTS = 100
_SHOWN = 120


def object_schema(schema: Any) -> dict[str, Any]:
    """A tool's input schema as an object with `properties`. Raises `ValueError` with what makes it unusable."""
    if schema is None or schema is True:
        return {"type": "object", "properties": {}}
    if not isinstance(schema, dict):
        raise ValueError(f"its input schema is no object but {str(schema)[:_SHOWN]!r}")
    try:
        return dict(_object_schema(encode_json(schema)))
    except JsonError as error:
        raise ValueError(f"its input schema cannot be read: {error}") from None
    except RecursionError:
        raise ValueError("its input schema nests too deeply") from None


@functools.lru_cache(maxsize=1024)  # each rollout may list the same tools anew, and checking takes milliseconds
def _object_schema(encoded: bytes) -> Mapping[str, Any]:
    whole = parse_json(encoded)
    _check_references(whole)
    made = {"properties": {}, **whole} if _is_plain(whole) else _merged(whole, whole, 0)
    kind = made.get("type", "object")
    if kind != "object" and not (isinstance(kind, list) and "object" in kind):
        raise ValueError(f"its input schema is of type {kind!r}, and arguments are an object")
    made["type"] = "object"
    _check(made)
    return made


def _is_plain(schema: dict[str, Any]) -> bool:
    """Whether a schema can be taken as it is, if it is valid."""
    return (
        schema.get("type") == "object"
        and isinstance(schema.get("properties", {}), dict)
        and isinstance(schema.get("required", []), list)
        and not any(name in schema for name in _NOT_AT_THE_TOP)
    )


def _merged(schema: dict[str, Any], whole: dict[str, Any], depth: int) -> dict[str, Any]:
    """The schema with what it refers to or chooses from at its top written out as properties of its own."""
    if depth > 16:
        raise ValueError("its input schema refers to itself")
    made = {name: value for name, value in schema.items() if name not in _NOT_AT_THE_TOP}
    properties = made.get("properties")
    if properties is not None and not isinstance(properties, dict):
        raise ValueError("its `properties` are no object")
    made["properties"] = {name: {} if value is True else value for name, value in (properties or {}).items()}
    required = made.get("required")
    made["required"] = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
    parts = [schema[name] for name in ("$ref",) if isinstance(schema.get(name), str)]
    together = [_resolved(ref, whole) for ref in parts] + _schemas(schema.get("allOf"))
    for part in together:
        other = _merged(part, whole, depth + 1)
        made["required"] = list(dict.fromkeys([*made["required"], *other["required"]]))
        made = {**other, **made, "properties": {**other["properties"], **made["properties"]}}
    for name in _CHOICES:
        others = [_merged(part, whole, depth + 1) for part in _schemas(schema.get(name))]
        others = [other for other in others if other.get("type", "object") == "object"]
        if not others:
            continue
        if "additionalProperties" in made and made["additionalProperties"] is False:
            del made["additionalProperties"]
        wanted = set.intersection(*(set(other["required"]) for other in others))
        made["required"] = list(dict.fromkeys([*made["required"], *sorted(wanted)]))
        for other in others:
            made["properties"] = {**other["properties"], **made["properties"]}
    return made


def _schemas(value: Any) -> list[dict[str, Any]]:
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


def _resolved(reference: str, whole: dict[str, Any]) -> dict[str, Any]:
    found = _followed(reference, whole)
    if not isinstance(found, dict):
        raise ValueError(f"its input schema refers to `{reference}`, which is no schema in it")
    return found


def _check_references(whole: dict[str, Any]) -> None:
    for reference in _references(whole):
        _followed(reference, whole)


def _references(value: Any, by_name: bool = False) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if by_name:
                yield from _references(inner)
            elif name == "$ref" and isinstance(inner, str):
                yield inner
            elif name not in _DATA:
                yield from _references(inner, name in _BY_NAME)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _followed(reference: str, whole: Any) -> Any:
    if reference == "#":
        return whole
    place = whole
    for part in reference.removeprefix("#/").split("/"):
        part = unquote(part).replace("~1", "/").replace("~0", "~")
        if reference.startswith("#/") and isinstance(place, dict) and part in place:
            place = place[part]
        elif isinstance(place, list) and part.isdecimal() and int(part) < len(place):
            place = place[int(part)]
        else:
            raise ValueError(f"its input schema refers to `{reference[:_SHOWN]}`, which is not in it")
    return place


def _check(schema: dict[str, Any]) -> None:
    """Raise `ValueError` for what JSON Schema does not allow, which endpoints refuse.

    A keyword that merely narrows or describes is taken out instead: older drafts write some otherwise, many servers
    write null for none, and the patterns of other languages are no errors of theirs.
    """
    from jsonschema import Draft202012Validator, SchemaError

    for _ in range(_MOST_FAULTS):
        try:
            Draft202012Validator.check_schema(schema)
            return
        except SchemaError as error:
            path = list(error.absolute_path)
            if not _taken_out(schema, path):
                place = "".join(f".{part}" for part in path) or "."
                raise ValueError(f"its input schema is not valid at `{place}`: {error.message[:_SHOWN]}") from None
    raise ValueError("its input schema is not valid in very many places")


def _taken_out(schema: dict[str, Any], path: list[Any]) -> bool:
    """Take the keyword out that a fault lies in, unless the schema would say something else without it."""
    where: Any = schema
    holder: tuple[Any, str] | None = None
    by_name = False
    for part in path:
        is_keyword = isinstance(where, dict) and not by_name
        if is_keyword:
            holder = None if part in _NEEDED else (where, part)
        by_name = is_keyword and part in _BY_NAME
        where = where[part]
    if holder is None:
        return False
    del holder[0][holder[1]]
    return True
