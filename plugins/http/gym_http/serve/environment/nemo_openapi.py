"""What the routes for NeMo Gym take and answer, for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gym_http.protocol.wire import ITEM_SCHEMA
from gym_http.serve.environment.openapi import row_schema
from gym_http.serve.environment.tokens import COOKIE
from gym_http.serve.openapi import answer, body, content, error, reference

_RESPONSE = {
    "type": "object",
    "required": ["output"],
    "properties": {"output": {"type": "array", "items": ITEM_SCHEMA}},
}
_FAILURES = {
    "410": error("The session is closed, or has expired."),
    "422": error("A field is wrong; `field` says which."),
    "429": error("Too many sessions are open."),
    "500": error("The environment failed."),
    "502": error("A model, or another server that the environment asked, failed."),
    "504": error("A time limit ran out."),
}
_COOKIE: list[dict[str, list[str]]] = [{"cookie": []}]


def openapi(tools: Sequence[str] | None = None, *, judges_rows: bool) -> dict[str, Any]:
    """The fragment. `tools`: see `row_schema`.

    `judges_rows`: `/verify` needs no session, since row and response are all that a verdict needs.
    """
    verified: dict[str, Any] = {"type": "object", "required": ["response"], "properties": {"response": _RESPONSE}}
    if judges_rows:
        verified["required"].append("responses_create_params")
        verified["properties"] |= {**row_schema(tools)["properties"], "response": _RESPONSE}
        for name in ("reward", "reward_components", "rollout"):  # passed over here
            del verified["properties"][name]
    return {
        "paths": {
            "/seed_session": {
                "post": {
                    "summary": f"Open a session for a row. The cookie {COOKIE} names it.",
                    "requestBody": body(reference("Row")),
                    "responses": {
                        "200": {
                            **answer("The session is open.", {"type": "object"}),
                            "headers": {"Set-Cookie": {"schema": {"type": "string"}}},
                        },
                        **_FAILURES,
                    },
                }
            },
            "/verify": {
                "post": {
                    "summary": "Judge the `response` of a row.",
                    "security": [*_COOKIE, {}] if judges_rows else _COOKIE,
                    "requestBody": body(verified),
                    "responses": {
                        "200": answer(
                            "The row with its reward.",
                            {
                                "type": "object",
                                "required": ["response", "reward", "reward_components"],
                                "properties": {
                                    "reward": {"type": "number"},
                                    "reward_components": {
                                        "type": "object",
                                        "additionalProperties": {"type": "number"},
                                    },
                                },
                            },
                        ),
                        **_FAILURES,
                    },
                }
            },
            "/aggregate_metrics": {
                "post": {
                    "summary": "Statistics over verified rows.",
                    "requestBody": body(
                        {
                            "type": "object",
                            "required": ["verify_responses"],
                            "properties": {"verify_responses": {"type": "array", "items": {"type": "object"}}},
                        }
                    ),
                    "responses": {
                        "200": answer(
                            "The statistics.",
                            {
                                "type": "object",
                                "required": ["group_level_metrics", "agent_metrics", "key_metrics"],
                                "properties": {
                                    "group_level_metrics": {"type": "array", "items": {"type": "object"}},
                                    "agent_metrics": {"type": "object"},
                                    "key_metrics": {"type": "object"},
                                },
                            },
                        ),
                        "422": _FAILURES["422"],
                    },
                }
            },
            "/{tool}": {
                "post": {
                    "summary": "Call a tool; the body is its arguments. A bad call is answered to the model.",
                    "security": _COOKIE,
                    "parameters": [
                        {
                            "name": "tool",
                            "in": "path",
                            "required": True,
                            "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
                        }
                    ],
                    "requestBody": {"required": False, "content": content({})},
                    "responses": {
                        "200": {
                            "description": "The output for the model.",
                            "content": {
                                **content({"type": "string"}, "text/plain"),
                                **content({"type": "array", "items": {"type": "object"}}),
                            },
                        },
                        **_FAILURES,
                    },
                }
            },
        }
    }
