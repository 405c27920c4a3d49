"""The OpenAPI document of a server, put together from what its route modules say of their routes.

A fragment is a mapping with `paths` and `schemas`, both as OpenAPI 3.1 writes them, but that a body's schema is the
type by which it is read. An operation lists its own answers; what every one may answer is added here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from gym_http.protocol.errors import ErrorBody
from gym_http.protocol.shapes import adapter

_ERRORS = {
    "401": "No token, or a wrong one.",
    "403": "The token is not for this; without one, the request comes from a web page.",
    "404": "There is no such thing.",
    "405": "Another method.",
    "408": "The body did not come in time.",
    "413": "The body is too long.",
    "415": "The body is compressed, or, without a token, not said to be JSON.",
    "431": "The headers are too long, or too many.",
    "503": "The server is going down, or has no room for another connection.",
}


def content(kind: Any, media_type: str = "application/json") -> dict[str, Any]:
    """The `content` of a body or an answer; `kind`: its type, or its schema."""
    return {media_type: {"schema": kind}}


def body(kind: Any) -> dict[str, Any]:
    """A required JSON body."""
    return {"required": True, "content": content(kind)}


def answer(description: str, kind: Any, media_type: str = "application/json") -> dict[str, Any]:
    """One answer of an operation."""
    return {"description": description, "content": content(kind, media_type)}


def operation(summary: str, answers: Mapping[str, Any], asked: Any = None, **more: Any) -> dict[str, Any]:
    """One operation. `answers`: by status. `asked`: the type of its body. `more`: `security` and `parameters`."""
    return {"summary": summary, **more, **({} if asked is None else {"requestBody": body(asked)}), "responses": answers}


def text(place: str, name: str, **schema: Any) -> dict[str, Any]:
    """A parameter that is a text, in the `path` or the `query`."""
    return {"name": name, "in": place, "required": place == "path", "schema": {"type": "string", **schema}}


def error(description: str) -> dict[str, Any]:
    """An answer that is an error."""
    return answer(description, ErrorBody)


_STATUS = {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}
_ALIVE = {"200": answer("The server is there.", _STATUS)}
_COMPONENT = {
    "type": "object",
    "required": ["protocol", "kind", "name", "doc", "options_schema", "options", "capabilities", "gym_core"],
    "properties": {
        "protocol": {"const": 1},
        "kind": {"enum": ["resource_server", "model", "agent"]},
        "name": {"type": "string"},
        "doc": {"type": "string"},
        "distribution": {"type": "string"},
        "version": {"type": "string"},
        "gym_core": {"type": "string"},
        "options_schema": {"type": "object"},
        "options": {"type": "object"},
        "capabilities": {"type": "object"},
    },
}
_OWN: Mapping[str, Any] = {
    "/": {"get": {"summary": "Whether the server is there.", "security": [], "responses": _ALIVE}},
    "/health": {"get": {"summary": "Whether the process is alive.", "security": [], "responses": _ALIVE}},
    "/ready": {
        "get": {
            "summary": "Whether the server takes work.",
            "security": [],
            "responses": {**_ALIVE, "503": answer("It is full, or going down.", _STATUS)},
        }
    },
    "/openapi.json": {"get": {"summary": "This document.", "responses": {"200": answer("It.", {"type": "object"})}}},
    "/v1/component": {
        "get": {"summary": "What is served.", "responses": {"200": answer("The component.", _COMPONENT)}}
    },
}


def document(about: Mapping[str, Any], fragments: Sequence[Mapping[str, Any]], *, secured: bool) -> dict[str, Any]:
    """The whole document. `about`: what `/v1/component` answers. `secured`: the server wants a token."""
    paths: dict[str, dict[str, Any]] = {}
    said: dict[str, Any] = {}
    for fragment in ({"paths": _OWN}, *fragments):
        said.update(fragment.get("schemas", {}))
        for path, operations in fragment.get("paths", {}).items():
            paths[path] = {
                method: _whole(operation, secured) if method in ("get", "post", "put", "delete") else operation
                for method, operation in operations.items()
            }
    references, schemas = _schemas({id(kind): kind for kind in _kinds(paths)})
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"{about['name']} ({about['kind']})",
            "version": str(about.get("version") or about["gym_core"]),
            "description": about.get("doc", ""),
        },
        "security": [{"server": []}] if secured else [],
        "paths": _filled(paths, references),
        "components": {
            "schemas": {**schemas, **said},
            "securitySchemes": {
                "server": {"type": "http", "scheme": "bearer", "description": "The token of the server."},
                "session": {"type": "http", "scheme": "bearer", "description": "A session's own token."},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "gym_session", "description": "A session."},
            },
        },
    }


def _whole(operation: Mapping[str, Any], secured: bool) -> dict[str, Any]:
    common = {status: error(words) for status, words in _ERRORS.items()}
    whole = {**operation, "responses": {**common, **operation["responses"], "default": error("Another failure.")}}
    if secured and any("cookie" in wanted for wanted in operation.get("security", ())):
        whole["security"] = [{"server": [], **wanted} for wanted in operation["security"]]
    return whole


class _Untitled(GenerateJsonSchema):
    """Without a title for each field, which would say its name again."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schema_of(kind: Any) -> dict[str, Any]:
    """The schema of a type by itself, for a document that says more of it."""
    schema: dict[str, Any] = adapter(kind).json_schema(schema_generator=_Untitled, ref_template=_REFERENCE)
    schema.pop("$defs", None)
    return schema


_REFERENCE = "#/components/schemas/{model}"


def _schemas(kinds: Mapping[int, Any]) -> tuple[dict[int, Any], dict[str, Any]]:
    """References to types by their ids, and the schemas that they refer to by name."""
    wanted = [(key, "validation", adapter(kind)) for key, kind in kinds.items()]
    named, whole = TypeAdapter.json_schemas(wanted, schema_generator=_Untitled, ref_template=_REFERENCE)  # type: ignore[arg-type]
    return {key: schema for (key, _), schema in named.items()}, whole.get("$defs", {})


def _kinds(value: Any) -> Iterator[Any]:
    """The types in a fragment: whatever is nothing of JSON."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for inner in value:
            yield from _kinds(inner)
    elif not isinstance(value, str | int | float | None):
        yield value


def _filled(value: Any, references: Mapping[int, Any]) -> Any:
    if isinstance(value, Mapping):
        return {name: _filled(inner, references) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(inner, references) for inner in value]
    return references.get(id(value), value)
