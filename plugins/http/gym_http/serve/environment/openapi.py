"""What the routes under `/v1` take and answer, for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gym_http.protocol.sessions import (
    CallsAnswer,
    GroupAnswer,
    GroupRequest,
    OpenSession,
    ReplyAnswer,
    ReplyRequest,
    Session,
    TaskRequest,
    ToolAnswerBody,
    ToolCall,
    ToolList,
    VerdictBody,
    VerifyRequest,
)
from gym_http.serve.environment.tasks import CURSOR_HEADER, DEFAULT_LIMIT, LAST, MEDIA_TYPE, MOST
from gym_http.serve.openapi import answer, error, operation, schema_of, text

_ENVIRONMENT = {
    "500": error("The environment failed."),
    "502": error("A model, or another server that the environment asked, failed."),
    "504": error("A time limit ran out."),
}
INVALID = {"422": error("A field is wrong; `field` says which.")}
ASKED = {**INVALID, "410": error("The session is closed, or has expired."), **_ENVIRONMENT}
OPENING = {**INVALID, "429": error("Too many sessions are open."), **_ENVIRONMENT}
_ID = text("path", "id", minLength=1)
_SECRETS: list[dict[str, list[str]]] = [{"session": []}]


def openapi(tools: Sequence[str] | None) -> dict[str, Any]:
    """The fragment. `tools`: the only functions that a row may name, None where that is not known."""
    return {"schemas": {} if tools is None else {TaskRequest.__name__: _naming(tools)}, "paths": _PATHS}


def _naming(tools: Sequence[str]) -> dict[str, Any]:
    schema = schema_of(TaskRequest)
    schema["properties"]["tools"]["anyOf"][0]["items"]["anyOf"] = [
        {"required": ["name"], "properties": {"name": {"enum": list(tools)}}},
        {"required": ["type"], "properties": {"type": {"not": {"const": "function"}}}},
    ]
    return schema


def _about_session(summary: str, asked: Any, answers: dict[str, Any], *parameters: Any) -> dict[str, Any]:
    return operation(summary, {**answers, **ASKED}, asked, security=_SECRETS, parameters=[_ID, *parameters])


_CURSOR = {
    "description": "Where the next page begins; absent on the last.",
    "required": False,
    "schema": {"type": "string"},
}
_LIMIT = {"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT_LIMIT}
_START = {
    "type": "integer",
    "minimum": 0,
    "maximum": LAST,
    "default": 0,
    "description": "The index to begin at, without a cursor.",
}
TASKS: dict[str, Any] = {
    "/v1/tasks": {
        "get": operation(
            "The tasks that the environment ships, a page at a time.",
            {
                "200": {**answer("One row per line.", str, MEDIA_TYPE), "headers": {CURSOR_HEADER: _CURSOR}},
                "404": error("There are fewer tasks, or the cursor is of another server."),
                **INVALID,
                "500": error("The environment cannot list its tasks."),
            },
            parameters=[
                text("query", "cursor", minLength=1),
                {"name": "start", "in": "query", "required": False, "schema": _START},
                {"name": "limit", "in": "query", "required": False, "schema": _LIMIT},
            ],
        )
    },
}
_PATHS: dict[str, Any] = {
    "/v1/sessions": {
        "post": operation(
            "Open a session and set it up.",
            {"201": answer("The session and its tokens.", Session), **OPENING},
            OpenSession,
        )
    },
    "/v1/sessions/{id}": {
        "delete": operation(
            "Close a session. Asked again it is closed all the same.",
            {"204": {"description": "It is closed."}},
            security=_SECRETS,
            parameters=[_ID],
        )
    },
    "/v1/sessions/{id}/tools/{name}": {
        "post": _about_session(
            "Call a tool. A bad call is an answer, too, with `error`.",
            ToolCall,
            {"200": answer("What the model is told.", ToolAnswerBody)},
            text("path", "name", minLength=1),
        )
    },
    "/v1/sessions/{id}/answer_calls": {
        "post": _about_session(
            "Show the environment a response before its calls run.",
            ReplyRequest,
            {"200": answer("What answers the calls, or that they are to run.", CallsAnswer)},
        ),
    },
    "/v1/sessions/{id}/reply": {
        "post": _about_session(
            "Have the environment answer a response without calls.",
            ReplyRequest,
            {"200": answer("Items for the model, or that the episode is over.", ReplyAnswer)},
        )
    },
    "/v1/sessions/{id}/verify": {
        "post": _about_session(
            "Judge a trajectory. Takes the owner's token; may be asked again.",
            VerifyRequest,
            {"200": answer("The verdict.", VerdictBody)},
        )
    },
    "/v1/score_group": {
        "post": operation(
            "Judge all rollouts of one task together, where the environment does that.",
            {
                "200": answer("A verdict for each.", GroupAnswer),
                "404": error("The environment scores no groups."),
                **INVALID,
                **_ENVIRONMENT,
            },
            GroupRequest,
        )
    },
    **TASKS,
    "/v1/tools": {"get": operation("The tools of all sessions.", {"200": answer("The tools.", ToolList)})},
}
