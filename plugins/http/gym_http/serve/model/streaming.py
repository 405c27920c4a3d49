"""Finished answers as streams of server-sent events.

A backend answers whole, so a stream begins when the answer is there, and what goes wrong before is an error status
like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from starlette.responses import Response

from gym_core import encode_json
from gym_http.serve.model.response_events import response_events

_EVERY_CHUNK = ("id", "created", "model", "service_tier", "system_fingerprint")
_HEADERS = {"cache-control": "no-store"}


def response_stream(body: Mapping[str, Any]) -> Response:
    """A whole Responses body as a stream that a client of `POST /v1/responses` reads."""
    events = response_events(body)
    lines = [f"event: {event['type']}\ndata: ".encode() + _json(event) + b"\n\n" for event in events]
    return Response(b"".join(lines), headers=_HEADERS, media_type="text/event-stream")


def chat_stream(completion: Mapping[str, Any], *, include_usage: bool) -> Response:
    """A chat completion as a stream that a client of `POST /v1/chat/completions` reads."""
    chunks = chat_chunks(completion, include_usage=include_usage)
    lines = [b"data: " + _json(chunk) + b"\n\n" for chunk in chunks]
    return Response(b"".join([*lines, b"data: [DONE]\n\n"]), headers=_HEADERS, media_type="text/event-stream")


def chat_chunks(completion: Mapping[str, Any], *, include_usage: bool) -> Iterator[dict[str, Any]]:
    """The chunks of a chat completion: role, reasoning, content, calls and the finish, of each choice.

    Fields that only some servers know come with the part of the answer that they belong to: those of a message in a
    delta, those of a choice with its finish, those of the completion with its first chunk.
    """
    base: dict[str, Any] = {name: completion[name] for name in _EVERY_CHUNK if completion.get(name) is not None}
    base["object"] = "chat.completion.chunk"
    if include_usage:
        base["usage"] = None
    known = {*base, "choices", "usage"}
    first = {name: value for name, value in completion.items() if name not in known}
    for choice in completion["choices"]:
        for piece in _pieces(choice):
            yield {**base, **first, "choices": [{"index": choice["index"], **piece}]}
            first = {}
    if include_usage:
        yield {**base, "choices": [], "usage": completion.get("usage")}


def _pieces(choice: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    message = dict(choice["message"])
    calls = message.pop("tool_calls", None) or ()
    content, refusal = message.pop("content", None), message.pop("refusal", None)
    role = message.pop("role", None) or "assistant"
    logprobs = choice.get("logprobs")
    yield _piece({"role": role, "content": "" if content is not None else None})
    rest = {name: value for name, value in message.items() if value is not None}
    if rest:
        yield _piece(rest)
    if content is not None:
        yield {**_piece({"content": content}), "logprobs": logprobs}
        logprobs = None
    if refusal is not None:
        yield _piece({"refusal": refusal})
    for index, call in enumerate(calls):
        yield _piece({"tool_calls": [{"index": index, **call}]})
    shown = ("index", "message", "logprobs", "finish_reason")
    extra = {name: value for name, value in choice.items() if name not in shown}
    yield {**_piece({}, choice.get("finish_reason") or "stop"), "logprobs": logprobs, **extra}


def _piece(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {"delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _json(value: Any) -> bytes:
    return encode_json(value)
