"""What the routes under `/v1` take and answer, for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gym_http.protocol.wire import ITEM_SCHEMA, LARGEST
from gym_http.serve.environment.tasks import CURSOR_HEADER, DEFAULT_LIMIT, MEDIA_TYPE, MOST
from gym_http.serve.openapi import answer, body, error, reference

_ITEMS = {"type": "array", "items": ITEM_SCHEMA}
_COUNT = {"type": ["integer", "null"], "minimum": 0, "maximum": LARGEST}
_NAMES = {"type": "array", "items": {"type": "string"}}
_SECRETS: list[dict[str, list[str]]] = [{"session": []}]


def row_schema(tools: Sequence[str] | None) -> dict[str, Any]:
    """A task's row. `tools`: the only functions that a row may name, None where that is not known."""
    tool: dict[str, Any] = {"type": "object"}
    if tools is not None:
        tool["anyOf"] = [
            {"required": ["name"], "properties": {"name": {"enum": list(tools)}}},
            {"required": ["type"], "properties": {"type": {"not": {"const": "function"}}}},
        ]
    return {
        "type": "object",
        "description": "A task: the request to the model, and any fields that the environment reads.",
        "required": ["responses_create_params"],
        "properties": {
            "responses_create_params": {
                "type": "object",
                "required": ["input"],
                "properties": {
                    "input": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]},
                    "tools": {"type": ["array", "null"], "items": tool},
                },
            },
            "response": False,
            "reward": False,
            "reward_components": False,
            "rollout": False,
        },
    }


_TRAJECTORY = {
    "type": "object",
    "required": ["input", "items"],
    "properties": {
        "input": {**_ITEMS, "description": "The items that the task opened with."},
        "items": {**_ITEMS, "description": "All that came after them."},
        "stop_reason": {"type": "string"},
        "model_calls": {
            "type": ["array", "null"],
            "items": {
                "type": "object",
                "properties": {
                    "input": {"type": "array"},
                    "output": {"type": "array"},
                    "usage": {"type": ["object", "null"]},
                    "params": {"type": ["object", "null"]},
                    "latency": {"type": "number"},
                    "waited": {"type": "number"},
                    "attempts": {"type": "number"},
                    "cost": {"type": ["number", "null"]},
                },
            },
        },
    },
}
_CAPABILITIES = {
    "type": "object",
    "required": ["roles", "open_tools", "concurrent_tools", "judges_trajectory"],
    "properties": {
        "roles": {**_NAMES, "description": "Models that whoever opens a session has to give."},
        "open_tools": {"type": "boolean"},
        "concurrent_tools": {"type": "boolean"},
        "judges_trajectory": {"type": "boolean"},
        "replies": {
            "type": "boolean",
            "description": "Whether it answers responses without calls; where it does not, such a response ends it.",
        },
    },
}
_OPENED = {
    "type": "object",
    "required": ["id", "token", "tool_token", "opening", "tools", "capabilities", "expires_in", "idle_seconds"],
    "properties": {
        "id": {"type": "string"},
        "token": {"type": "string", "description": "Opens all of the session."},
        "tool_token": {"type": "string", "description": "Opens its tools and replies only."},
        "opening": {"type": ["array", "null"], "items": ITEM_SCHEMA},
        "tools": _ITEMS,
        "capabilities": _CAPABILITIES,
        "expires_in": {"type": "number"},
        "idle_seconds": {"type": "number"},
    },
}
_DONE = {
    "type": ["object", "null"],
    "required": ["reason"],
    "properties": {"reason": {"type": "string"}, "output": {"type": "string"}},
}
_ANSWERED = {
    "type": "object",
    "required": ["output", "error", "done"],
    "properties": {
        "output": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]},
        "error": {"enum": [None, "bad_json", "bad_arguments", "unknown_tool", "raised"]},
        "done": _DONE,
    },
}
_VERDICT = {
    "type": "object",
    "required": ["reward", "components", "info"],
    "properties": {
        "reward": {"type": "number"},
        "components": {"type": "object", "additionalProperties": {"type": "number"}},
        "info": {"type": "object"},
    },
}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


def _text(place: str, name: str) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": {"type": "string", "minLength": 1}}


_ENVIRONMENT = {
    "500": error("The environment failed."),
    "502": error("A model, or another server that the environment asked, failed."),
    "504": error("A time limit ran out."),
}
_SESSION = {"410": error("The session is closed, or has expired."), **_ENVIRONMENT}
_INVALID = {"422": error("A field is wrong; `field` says which.")}
_OPEN = _object(
    ["task"],
    task={
        "type": "object",
        "required": ["row"],
        "properties": {
            "row": reference("Row"),
            "task_id": {"type": "string"},
            "index": {"type": "integer", "minimum": 0, "maximum": LARGEST},
        },
    },
    seed=_COUNT,
    repeat=_COUNT,
    models={
        "type": ["object", "null"],
        "description": "Models that the environment asks, by role.",
        "additionalProperties": {
            "type": "object",
            "required": ["base_url"],
            "properties": {
                "base_url": {"type": "string", "format": "uri"},
                "token": {"type": "string", "pattern": "^[ -~]*$"},
            },
        },
    },
)
_ID = _text("path", "id")


def openapi(tools: Sequence[str] | None) -> dict[str, Any]:
    """The fragment. `tools`: see `row_schema`."""
    return {"schemas": {"Row": row_schema(tools), "Trajectory": _TRAJECTORY}, "paths": _PATHS}


_PATHS: dict[str, Any] = {
    "/v1/sessions": {
        "post": {
            "summary": "Open a session and set it up.",
            "requestBody": body(_OPEN),
            "responses": {
                "201": answer("The session and its tokens.", _OPENED),
                "429": error("Too many sessions are open."),
                **_INVALID,
                **_ENVIRONMENT,
            },
        }
    },
    "/v1/sessions/{id}": {
        "delete": {
            "summary": "Close a session. Asked again it is closed all the same.",
            "security": _SECRETS,
            "parameters": [_ID],
            "responses": {"204": {"description": "It is closed."}},
        }
    },
    "/v1/sessions/{id}/tools/{name}": {
        "post": {
            "summary": "Call a tool. A bad call is an answer, too, with `error`.",
            "security": _SECRETS,
            "parameters": [_ID, _text("path", "name")],
            "requestBody": body(
                _object(
                    ["arguments"],
                    arguments={"description": "JSON as the model wrote it, as text, or the object that it is."},
                    call_id={},
                )
            ),
            "responses": {"200": answer("What the model is told.", _ANSWERED), **_INVALID, **_SESSION},
        }
    },
    "/v1/sessions/{id}/reply": {
        "post": {
            "summary": "Have the environment answer a response without calls.",
            "security": _SECRETS,
            "parameters": [_ID],
            "requestBody": body(
                _object(
                    ["response"],
                    response={"type": "object", "required": ["output"], "properties": {"output": _ITEMS}},
                )
            ),
            "responses": {
                "200": answer(
                    "Items for the model, or that the episode is over.",
                    {
                        "type": "object",
                        "required": ["items", "done"],
                        "properties": {"items": _ITEMS, "done": _DONE},
                    },
                ),
                **_INVALID,
                **_SESSION,
            },
        }
    },
    "/v1/sessions/{id}/verify": {
        "post": {
            "summary": "Judge a trajectory. Takes the owner's token; may be asked again.",
            "security": _SECRETS,
            "parameters": [_ID],
            "requestBody": body(_object(["trajectory"], trajectory=reference("Trajectory"))),
            "responses": {"200": answer("The verdict.", _VERDICT), **_INVALID, **_SESSION},
        }
    },
    "/v1/tasks": {
        "get": {
            "summary": "The tasks that the environment ships, a page at a time.",
            "parameters": [
                _text("query", "cursor"),
                {
                    "name": "limit",
                    "in": "query",
                    "required": False,
                    "schema": {"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT_LIMIT},
                },
            ],
            "responses": {
                "200": {
                    **answer("One row per line.", {"type": "string"}, MEDIA_TYPE),
                    "headers": {
                        CURSOR_HEADER: {
                            "description": "Where the next page begins; absent on the last.",
                            "required": False,
                            "schema": {"type": "string"},
                        }
                    },
                },
                **_INVALID,
                "500": error("The environment cannot list its tasks."),
            },
        }
    },
    "/v1/tools": {
        "get": {
            "summary": "The tools of all sessions.",
            "responses": {
                "200": answer(
                    "The tools, null where they depend on the task.",
                    {
                        "type": "object",
                        "required": ["tools"],
                        "properties": {"tools": {"type": ["array", "null"], "items": {"type": "object"}}},
                    },
                )
            },
        }
    },
}
