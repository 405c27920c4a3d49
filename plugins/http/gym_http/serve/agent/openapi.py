"""What the routes of a served agent take and answer, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from gym_core import Status
from gym_core.spi import RESULT_FIELDS
from gym_http.serve.agent.rollouts import LARGEST_INDEX
from gym_http.serve.environment import nemo_openapi
from gym_http.serve.model.openapi import FAILURES, SCHEMAS, asking
from gym_http.serve.openapi import ERROR, answer, body, reference

_COUNT = {"type": ["integer", "null"], "minimum": 0, "maximum": LARGEST_INDEX}
_ITEMS = {"type": "array", "items": {"type": "object"}}
_RUN_ROW = {
    "type": "object",
    "description": "A task: the request to the model, and any fields that the environment reads.",
    "required": ["responses_create_params"],
    "properties": {
        "responses_create_params": {
            "type": "object",
            "required": ["input"],
            "properties": {
                "input": {"anyOf": [{"type": "string"}, _ITEMS]},
                "tools": {"anyOf": [_ITEMS, {"type": "null"}]},
            },
        },
        "_ng_task_index": _COUNT,
        "_ng_rollout_index": _COUNT,
        **dict.fromkeys(RESULT_FIELDS, False),
    },
}
_RESULT = {
    "type": "object",
    "required": ["responses_create_params", "task_id", "response", "reward", "reward_components", "rollout"],
    "properties": {
        "task_id": {"type": ["string", "integer"]},
        "response": {
            "type": "object",
            "required": ["output"],
            "properties": {"output": {"type": "array", "items": {"type": "object"}}},
        },
        "reward": {"type": ["number", "null"]},
        "reward_components": {"type": "object"},
        "rollout": {
            "type": "object",
            "required": ["status"],
            "properties": {"status": {"enum": [status.value for status in Status]}},
        },
    },
}
_FAILED = {**ERROR, "properties": {**ERROR["properties"], "row": reference("Result")}}  # type: ignore[dict-item]
_FAILURES = {
    "422": "The body is no row, or the row does not fit the environment.",
    "429": "Too many rollouts wait already.",
    "500": "Environment, verifier or agent failed.",
    "502": "The model failed.",
    "503": "The model is too busy, or the server is going down.",
    "504": "A time limit ran out.",
}


def openapi() -> dict[str, Any]:
    """The fragment of a served agent."""
    failed = {status: answer(words, reference("FailedRollout")) for status, words in _FAILURES.items()}
    not_offered = {"501": answer("The agent works on whole tasks only.", reference("ModelError"))}
    return {
        "paths": {
            "/run": {
                "post": {
                    "summary": "Run one rollout of a row.",
                    "requestBody": body(reference("RunRow")),
                    "responses": {"200": answer("The row with its result.", reference("Result")), **failed},
                }
            },
            "/v1/responses": asking(
                "Ask the agent as a model; its answer holds all items, tool outputs among them.",
                "ResponsesRequest",
                "Response",
                {**FAILURES, **not_offered},
            ),
            "/aggregate_metrics": nemo_openapi.openapi(judges_rows=False)["paths"]["/aggregate_metrics"],
        },
        "schemas": {
            **{name: SCHEMAS[name] for name in ("ModelError", "ResponsesRequest", "Response")},
            "RunRow": _RUN_ROW,
            "Result": _RESULT,
            "FailedRollout": _FAILED,
        },
    }
