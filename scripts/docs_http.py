"""The HTTP API as Markdown: the OpenAPI documents that `gym serve` answers, put into one page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from docs_markdown import code, first_upper, table

from gym_http.serve import whole_tasks
from gym_http.serve.agent import episodes
from gym_http.serve.agent import openapi as agent
from gym_http.serve.environment import nemo_openapi as nemo
from gym_http.serve.environment import openapi as environment
from gym_http.serve.model import openapi as model
from gym_http.serve.openapi import document

SERVERS: Mapping[str, list[Any]] = {
    "Every server": [],
    "An environment": [environment.openapi(None)],
    "An environment, as NeMo Gym asks it": [nemo.openapi(judges_rows=False)],
    "A model": [model.openapi()],
    "An agent with its model and its environment": [agent.openapi()],
    "An agent, for the runs of others": [episodes.OPENAPI],
    "A runner, or an environment with one of its own": [whole_tasks.OPENAPI],
}
"""Chapters of the page, each with the fragments of the routes that it describes."""

_ABOUT = {"name": "", "kind": "", "gym_core": "1"}
_TOKENS = {
    "server": "the server's token",
    "session": "a token of the session",
    "cookie": "the session's cookie",
}
_METHODS = ("get", "post", "put", "delete")


def http_api() -> str:
    """Every route with what it takes and answers, and every body."""
    every = document(_ABOUT, [], secured=True)
    common = {
        status: one["description"]
        for status, one in every["paths"]["/health"]["get"]["responses"].items()
        if status != "200"
    }
    parts: list[str] = []
    bodies: dict[str, Any] = {}
    for chapter, fragments in SERVERS.items():
        whole = document(_ABOUT, fragments, secured=True)
        for name, schema in whole["components"]["schemas"].items():
            if bodies.setdefault(name, schema) != schema:
                raise SystemExit(f"two bodies are called {name}: give one of the types another name")
        parts.append(f"## {chapter}")
        parts += _routes(
            {path: one for path, one in whole["paths"].items() if not fragments or path not in every["paths"]}, common
        )
        if not fragments:
            parts += ["Whatever is asked, the answer may also be:", _answers(common)]
    parts.append("## Bodies")
    for name in sorted(bodies):
        parts += _body(name, bodies[name])
    return "\n\n".join(parts)


def _routes(paths: Mapping[str, Any], common: Mapping[str, str]) -> Iterator[str]:
    for path, operations in paths.items():
        for method in _METHODS:
            if method in operations:
                yield f"### `{method.upper()} {path}`"
                yield from _operation(operations[method], common)


def _operation(operation: Mapping[str, Any], common: Mapping[str, str]) -> Iterator[str]:
    yield f"{operation['summary']} {_opened_by(operation.get('security', [{'server': []}]))}"
    if operation.get("parameters"):
        yield table(
            ("parameter", "in", "type"),
            (
                (code(one["name"]) + ("" if one.get("required") else ", optional"), one["in"], _type(one["schema"]))
                for one in operation["parameters"]
            ),
        )
    asked = operation.get("requestBody")
    if asked is not None:
        yield f"Body{'' if asked.get('required') else ', optional'}: {_content(asked['content'])}."
    own = {
        status: answer
        for status, answer in operation["responses"].items()
        if common.get(status) != answer["description"]
    }
    yield table(("status", "answer", "body"), (_answer(status, own[status]) for status in sorted(own)))


def _opened_by(security: list[Mapping[str, Any]]) -> str:
    if not security:
        return "Needs no token."
    ways = [" and ".join(_TOKENS[name] for name in way) for way in security]
    return f"Needs {', or '.join(ways)}."


def _answer(status: str, answer: Mapping[str, Any]) -> tuple[str, str, str]:
    words = answer["description"]
    for header, about in answer.get("headers", {}).items():
        words += f" Header {code(header)}." + (f" {about['description']}" if about.get("description") else "")
    return status, words, _content(answer.get("content", {}))


def _answers(common: Mapping[str, str]) -> str:
    rows = ((status, words) for status, words in sorted(common.items()) if status != "default")
    return table(("status", "answer"), rows) + f"\n\nThe body of an error is always {_link('ErrorBody')}."


def _content(content: Mapping[str, Any]) -> str:
    return " or ".join(
        _type(body["schema"]) + ("" if media == "application/json" else f" ({code(media)})")
        for media, body in content.items()
    )


def _body(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {name} {{#body-{name.lower()}}}"
    if schema.get("description"):
        yield " ".join(schema["description"].split("\n\n")[0].split())
    fields = schema.get("properties")
    if fields is None:
        yield first_upper(_type(schema)) + "."
        return
    required = schema.get("required", ())
    yield table(
        ("field", "type", "meaning"),
        (
            (code(field) + ("" if field in required else ", optional"), _type(one), _meaning(one))
            for field, one in fields.items()
            if one is not False
        ),
    )
    refused = [code(field) for field, one in fields.items() if one is False]
    if refused:
        yield f"Refused: {', '.join(refused)}."
    if schema.get("additionalProperties") is False:
        yield "No other fields."


def _meaning(schema: Any) -> str:
    return "" if schema is True else str(schema.get("description", ""))


def _link(name: str) -> str:
    return f"[{name}](#body-{name.lower()})"


def _type(schema: Any) -> str:
    """A schema in words."""
    if schema is True or not schema:
        return "anything"
    if "$ref" in schema:
        return _link(schema["$ref"].rpartition("/")[2])
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(map(_type, schema[several])))
    if "allOf" in schema:
        return " and ".join(dict.fromkeys(map(_type, schema["allOf"])))
    if "enum" in schema:
        return " or ".join(code(json.dumps(value)) for value in schema["enum"])
    if "const" in schema:
        return code(json.dumps(schema["const"]))
    kind = schema.get("type", "anything")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array":
        inner = schema.get("items", {})
        return f"list of {_type(inner)}" if inner else "list"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {_type(schema['additionalProperties'])}"
    if kind == "object" and schema.get("properties"):
        return "object with " + ", ".join(map(code, schema["properties"]))
    return kind + _bounds(schema)


def _bounds(schema: Mapping[str, Any]) -> str:
    facts = [
        f"{word} {schema[bound]}"
        for bound, word in (
            ("minimum", "from"),
            ("exclusiveMinimum", "above"),
            ("maximum", "to"),
            ("default", "default"),
        )
        if bound in schema
    ]
    return f", {', '.join(facts)}" if facts else ""
