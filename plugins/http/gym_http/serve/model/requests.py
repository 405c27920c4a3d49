"""What clients of OpenAI's API send, read and checked as far as the conversion and the engine count on it.

Fields that nobody here knows pass on to the backend. A request's `model` does not choose: the one that is served
answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request as HttpRequest

from gym_core import JsonError, Request
from gym_core.chat import responses_request
from gym_core.responses import as_items
from gym_core.spi import BACKEND_FIELDS, sent_request, with_flat_tools
from gym_http.serve.json_body import parse_body
from gym_http.serve.model.errors import InvalidRequest


async def read_body(request: HttpRequest) -> dict[str, Any]:
    """The body of a request as a JSON object. Raises `InvalidRequest`."""
    try:
        body = parse_body(await request.body())
    except JsonError as error:
        raise InvalidRequest(f"the body cannot be read: {error}") from None
    if not isinstance(body, dict):
        raise InvalidRequest("the body must be a JSON object")
    if not isinstance(body.get("stream"), bool | None):
        raise InvalidRequest("`stream` must be true or false", "stream")
    if not isinstance(body.get("stream_options"), dict | None):
        raise InvalidRequest("`stream_options` must be an object", "stream_options")
    return body


def request_of(body: Mapping[str, Any]) -> Request:
    """A Responses body as a request for a backend. Raises `InvalidRequest`."""
    if "input" not in body:
        raise InvalidRequest("`input` is missing", "input")
    try:
        items = as_items(body["input"])
    except ValueError as error:
        raise InvalidRequest(str(error), "input") from None
    _check_tools(body)
    if body.get("background") is not None and body["background"] is not False:
        raise InvalidRequest("answers are given at once: `background` is not offered", "background")
    fields = {name: value for name, value in body.items() if name not in BACKEND_FIELDS and value is not None}
    return sent_request(Request({**with_flat_tools(fields), "input": items}))


def from_chat(body: Mapping[str, Any]) -> dict[str, Any]:
    """A Chat Completions body as a Responses body. Raises `InvalidRequest`."""
    if "messages" not in body:
        raise InvalidRequest("`messages` is missing", "messages")
    messages = body["messages"]
    if not isinstance(messages, list):
        raise InvalidRequest("`messages` must be a list", "messages")
    for place, message in enumerate(messages):
        _check_message(message, f"messages.{place}")
    _check_tools(body)
    try:
        return responses_request(body)
    except (ValueError, TypeError, AttributeError, KeyError) as error:  # any shape may come from outside
        raise InvalidRequest(f"the request cannot be read: {error}") from None


def _check_message(message: Any, place: str) -> None:
    if not isinstance(message, dict):
        raise InvalidRequest(f"`{place}` must be an object", place)
    if not isinstance(message.get("role"), str):
        raise InvalidRequest(f"`{place}.role` must be a string", f"{place}.role")
    content = message.get("content")
    parts = isinstance(content, list) and all(isinstance(part, dict) for part in content)
    if not (content is None or isinstance(content, str) or parts):
        raise InvalidRequest(f"`{place}.content` must be a string or a list of parts", f"{place}.content")


def _check_tools(body: Mapping[str, Any]) -> None:
    tools = body.get("tools")
    if tools is not None and not (isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools)):
        raise InvalidRequest("`tools` must be a list of objects", "tools")
