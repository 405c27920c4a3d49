"""What the routes of a served model take and answer, for the OpenAPI document.

The shapes are OpenAI's; what stands here is what the server itself looks at. Every other field passes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gym_http.serve.openapi import answer, body, content, reference

_ITEMS = {"type": "array", "items": {"type": "object"}}
_NULL = {"type": "null"}
_STREAM = {
    "model": {"description": "Any name: there is one model, and it answers."},
    "stream": {"type": ["boolean", "null"]},
    "stream_options": {"type": ["object", "null"]},
    "tools": {"anyOf": [_ITEMS, _NULL]},
}
RESPONSES_REQUEST: Mapping[str, Any] = {
    "type": "object",
    "required": ["input"],
    "properties": {
        **_STREAM,
        "input": {"anyOf": [{"type": "string"}, _ITEMS]},
        "background": {"enum": [False, None]},
    },
}
RESPONSE: Mapping[str, Any] = {
    "type": "object",
    "required": ["id", "object", "created_at", "status", "model", "output", "tools", "tool_choice", "usage"],
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "response"},
        "created_at": {"type": "number"},
        "status": {"type": "string"},
        "model": {"type": "string"},
        "output": _ITEMS,
        "usage": {"type": ["object", "null"]},
    },
}
_FUNCTION = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
_TYPE = {"enum": ["function"]}
_CALL = {
    "type": "object",
    "required": ["id", "type", "function"],
    "properties": {"id": {"type": "string"}, "type": _TYPE, "function": _FUNCTION},
}
_TOOL = {"type": "object", "required": ["type", "function"], "properties": {"type": _TYPE, "function": _FUNCTION}}
_PART = {
    "type": "object",
    "required": ["type", "text"],
    "properties": {"type": {"enum": ["text"]}, "text": {"type": "string"}},
}
_MESSAGE = {
    "type": "object",
    "required": ["role"],
    "properties": {
        "role": {"type": "string", "not": {"const": "function"}},
        "content": {"anyOf": [{"type": "string"}, {"type": "array", "items": _PART}, _NULL]},
        "refusal": {"type": ["string", "null"]},
        "tool_call_id": {"type": ["string", "null"]},
        "tool_calls": {"anyOf": [{"type": "array", "items": _CALL}, _NULL]},
    },
}
_CHAT_REQUEST = {
    "type": "object",
    "required": ["messages"],
    "properties": {
        **_STREAM,
        "messages": {"type": "array", "items": _MESSAGE},
        "tools": {"anyOf": [{"type": "array", "items": _TOOL}, _NULL]},
        "background": {"enum": [False, None]},
    },
}
_COMPLETION = {
    "type": "object",
    "required": ["id", "object", "created", "model", "choices"],
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "chat.completion"},
        "created": {"type": "integer"},
        "model": {"type": "string"},
        "choices": {"type": "array", "items": {"type": "object", "required": ["index", "message", "finish_reason"]}},
    },
}
_MODEL = {
    "type": "object",
    "required": ["id", "object", "created", "owned_by"],
    "properties": {"id": {"type": "string"}, "object": {"const": "model"}, "created": {"type": "integer"}},
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "code", "class", "retryable"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "code": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "class": {"type": "string"},
                "retryable": {"type": "boolean"},
                "hint": {"type": "string"},
                "http_status": {"type": "integer"},
                "retry_after": {"type": "number"},
            },
        }
    },
}
_FAILURES = {
    "400": "The request is wrong (`param` says where), too long, or against the content policy.",
    "401": "No token or a wrong one, here or at the endpoint behind the model.",
    "404": "The endpoint behind the model does not serve it.",
    "409": "The endpoint behind the model failed.",
    "413": "The body is too long.",
    "422": "The answer cannot be said in the dialect that was asked in, or the endpoint refused the request.",
    "429": "Too many requests, or no credit left.",
    "500": "The model failed.",
    "502": "The endpoint behind the model cannot be reached, or its reply cannot be read.",
    "503": "The model is too busy, or the server is going down.",
    "504": "The model did not answer in time.",
}
FAILURES: Mapping[str, Any] = {status: answer(words, reference("ModelError")) for status, words in _FAILURES.items()}
SCHEMAS: Mapping[str, Any] = {
    "ModelError": _ERROR,
    "ResponsesRequest": RESPONSES_REQUEST,
    "Response": RESPONSE,
    "ChatRequest": _CHAT_REQUEST,
    "ChatCompletion": _COMPLETION,
    "Model": _MODEL,
}


def asking(summary: str, request: str, reply: str, failures: Mapping[str, Any] = FAILURES) -> dict[str, Any]:
    """The operation of a route that is asked in one of OpenAI's dialects; `request` and `reply` name schemas."""
    replied = answer("The answer; with `stream`, as server-sent events.", reference(reply))
    replied["content"].update(content({"type": "object"}, "text/event-stream"))
    responses = {"200": replied, **failures}
    return {"post": {"summary": summary, "requestBody": body(reference(request)), "responses": responses}}


def openapi() -> dict[str, Any]:
    """The fragment of a served model."""
    name = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
    return {
        "paths": {
            "/v1/responses": asking("Ask the model, in OpenAI's Responses API.", "ResponsesRequest", "Response"),
            "/v1/chat/completions": asking(
                "Ask the model, in OpenAI's Chat Completions API.", "ChatRequest", "ChatCompletion"
            ),
            "/v1/models": {
                "get": {
                    "summary": "The models that are served: this one.",
                    "responses": {
                        "200": answer(
                            "The list.",
                            {
                                "type": "object",
                                "required": ["object", "data"],
                                "properties": {"data": {"type": "array", "items": reference("Model")}},
                            },
                        )
                    },
                }
            },
            "/v1/models/{model}": {
                "get": {
                    "summary": "The model, by its name.",
                    "parameters": [name],
                    "responses": {
                        "200": answer("The model.", reference("Model")),
                        "404": answer("Another name.", reference("ModelError")),
                    },
                }
            },
        },
        "schemas": SCHEMAS,
    }
