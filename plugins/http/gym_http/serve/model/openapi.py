"""What the routes of a served model take and answer, for the OpenAPI document.

The shapes are OpenAI's; what stands in them is what the server itself looks at. Every other field passes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gym_http.protocol.openai import (
    ChatCompletion,
    ChatRequest,
    FirstLook,
    Model,
    ModelList,
    ResponseAnswer,
    ResponsesRequest,
)
from gym_http.serve.openapi import answer, content, error, operation, text

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
FAILURES: Mapping[str, Any] = {status: error(words) for status, words in _FAILURES.items()}


def asking(summary: str, asked: Any, replied: Any, failures: Mapping[str, Any] = FAILURES) -> dict[str, Any]:
    """The operation of a route that is asked in one of OpenAI's dialects."""
    reply = answer("The answer; with `stream`, as server-sent events.", replied)
    reply["content"].update(content(dict, "text/event-stream"))
    return {"post": operation(summary, {"200": reply, **failures}, asked)}


def openapi() -> dict[str, Any]:
    """The fragment of a served model."""
    return {"paths": _PATHS}


_PATHS: Mapping[str, Any] = {
    "/v1/responses": asking("Ask the model, in OpenAI's Responses API.", ResponsesRequest, ResponseAnswer),
    "/v1/chat/completions": asking("Ask the model, in OpenAI's Chat Completions API.", ChatRequest, ChatCompletion),
    "/v1/check": {
        "get": operation(
            "Have the model look at its endpoint, as a run does before its first rollout.",
            {"200": answer("Nothing that would fail every call.", FirstLook), **FAILURES},
        )
    },
    "/v1/models": {"get": operation("The models that are served: this one.", {"200": answer("The list.", ModelList)})},
    "/v1/models/{model}": {
        "get": operation(
            "The model, by its name.",
            {"200": answer("The model.", Model), "404": error("Another name.")},
            parameters=[text("path", "model")],
        )
    },
}
