"""A whole answer as the reply to whoever asked, in the dialect and the form that was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from gym_http.serve.json_reply import json_reply
from gym_http.serve.model.bodies import whole_completion
from gym_http.serve.model.errors import InvalidRequest
from gym_http.serve.model.streaming import chat_stream, response_stream


def responses_reply(whole: Mapping[str, Any], asked: Mapping[str, Any]) -> Response:
    """A whole Responses body to a client of the Responses API. `asked`: the body of its request."""
    return response_stream(whole) if asked.get("stream") else json_reply(whole)


def chat_reply(whole: Mapping[str, Any], asked: Mapping[str, Any], name: str) -> Response:
    """The same to a client of Chat Completions. Raises `InvalidRequest` (422) for what cannot be said there."""
    try:
        completion = whole_completion(whole, name)
    except ValueError as error:
        raise InvalidRequest(
            f"the model's answer cannot be said in Chat Completions: {error}; ask POST /v1/responses", status=422
        ) from None
    if not asked.get("stream"):
        return json_reply(completion)
    options = asked.get("stream_options")
    return chat_stream(completion, include_usage=isinstance(options, dict) and bool(options.get("include_usage")))
