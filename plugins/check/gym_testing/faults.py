"""Everything that endpoints do wrong, as replies for a script.

Wordings and codes are those that OpenAI sends, where it sends any.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from email.utils import formatdate
from typing import Any

import orjson

from gym_testing.replies import Delivery, Reply, answer

PAGE = "<!DOCTYPE html>\n<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"


def error(
    status: int,
    message: str = "",
    *,
    code: str | None = None,
    kind: str = "invalid_request_error",
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """An error in the shape that OpenAI gives it."""
    said = {"message": message or f"Something is wrong ({status}).", "type": kind, "param": param, "code": code}
    return Reply({"error": said}, status, headers or {}, name=f"{status} {code or ''}".strip())


def wrong_key(status: int = 401) -> Reply:
    """The key is refused: 401, or 403 where it lacks a permission."""
    return error(status, "Incorrect API key provided.", code="invalid_api_key")


def model_not_found(model: str = "fake-model") -> Reply:
    """The model is not served."""
    message = f"The model `{model}` does not exist or you do not have access to it."
    return error(404, message, code="model_not_found")


def rate_limited(
    *, retry_after: float | str | None = None, in_seconds: float | None = None, retry_after_ms: float | None = None
) -> Reply:
    """Too many requests. `retry_after`: the header as it is; `in_seconds`: the header as a date so far from now."""
    headers: dict[str, str] = {}
    if retry_after is not None:
        headers["Retry-After"] = f"{retry_after:g}" if isinstance(retry_after, float | int) else retry_after
    if in_seconds is not None:
        now = time.time()
        headers |= {"Date": formatdate(now, usegmt=True), "Retry-After": formatdate(now + in_seconds, usegmt=True)}
    if retry_after_ms is not None:
        headers["retry-after-ms"] = f"{retry_after_ms:g}"
    made = error(429, "Rate limit reached for requests.", code="rate_limit_exceeded", kind="requests", headers=headers)
    return replace(made, name="429")


def no_quota() -> Reply:
    """The account has no credit left."""
    message = "You exceeded your current quota, please check your plan and billing details."
    return error(429, message, code="insufficient_quota", kind="insufficient_quota")


def server_error(status: int = 500) -> Reply:
    """The server fails (500, 502, 504), or is overloaded (503, 529)."""
    return error(status, "The server had an error while processing your request.", kind="server_error")


def bad_request(message: str = "Unsupported parameter: 'temperature'.", *, param: str | None = "temperature") -> Reply:
    """The request is refused for good."""
    return error(400, message, param=param)


def context_length(limit: int = 8192, tokens: int = 9000) -> Reply:
    """The conversation is longer than the model's context."""
    message = (
        f"This model's maximum context length is {limit} tokens. However, your messages resulted in {tokens} tokens. "
        "Please reduce the length of the messages."
    )
    return error(400, message, code="context_length_exceeded", param="input")


def content_filter() -> Reply:
    """The endpoint's policy refuses the request."""
    message = "The response was filtered due to the prompt triggering the content management policy."
    return error(400, message, code="content_filter", param="prompt")


def html(status: int = 200, title: str = "Welcome to nginx!") -> Reply:
    """A web page."""
    page = PAGE.format(title=title)
    return Reply(page, status, {"Content-Type": "text/html; charset=utf-8"}, name=f"{status} html")


def broken_json() -> Reply:
    """Half of a body, and the connection thinks that this is all."""
    return Reply('{"id": "resp_1", "object": "response", "output": [{"type": "mess', name="broken json")


def wrong_shape(body: Mapping[str, Any] | None = None) -> Reply:
    """JSON that is no reply of a model: without `output` or `choices`, unless it is told otherwise."""
    content = body if body is not None else {"id": "resp_1", "object": "response", "status": "completed"}
    return Reply(orjson.dumps(content), name="wrong shape")


def failed(code: str = "server_error", message: str = "The model failed.") -> Reply:
    """A response that says, with status 200, that it failed. Responses dialect only."""
    body = {"id": "resp_1", "object": "response", "status": "failed", "output": []}
    return Reply(orjson.dumps({**body, "error": {"code": code, "message": message}}), name=f"failed {code}")


def drop_before() -> Reply:
    """The connection is closed before the first byte of the reply."""
    return Reply("", delivery=Delivery.DROP_BEFORE, name="drop before")


def drop_inside(reply: Reply | None = None) -> Reply:
    """The connection is closed in the middle of the body."""
    return replace(reply or answer("Half of this"), delivery=Delivery.DROP_INSIDE, name="drop inside")


def drop_after(reply: Reply | None = None) -> Reply:
    """A whole reply that promises to keep the connection, which is closed then."""
    return replace(reply or answer("done"), delivery=Delivery.DROP_AFTER, name="drop after")


def hang() -> Reply:
    """Never answers."""
    return Reply("", delivery=Delivery.HANG, name="hang")


def slow(reply: Reply | None = None, *, seconds: float = 0.05) -> Reply:
    """A reply whose body comes in pieces, over so many seconds."""
    return replace(reply or answer("done"), delivery=Delivery.SLOW, seconds=seconds, name="slow")


def wrong_length(by: int, reply: Reply | None = None) -> Reply:
    """A reply whose `Content-Length` is off: below 0 it leaves bytes over, above 0 it ends too soon."""
    return replace(reply or answer("done"), length_error=by, name=f"length {by:+d}")


def huge(size: int = 20_000_000) -> Reply:
    """An answer with so many bytes of text."""
    return replace(answer("x" * size), name=f"huge {size}")
