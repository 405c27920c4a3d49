"""What clients of OpenAI's API send, as requests for a backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request as HttpRequest

from gym_chat import responses_request
from gym_core import Request
from gym_core.responses import as_items
from gym_core.spi import BACKEND_FIELDS, sent_request, with_flat_tools
from gym_http.protocol.errors import ServeError, WireError
from gym_http.protocol.openai import ModelRequest
from gym_http.protocol.shapes import read
from gym_http.serve.json_body import read_object
from gym_http.serve.model.errors import InvalidRequest


async def read_body(kind: type[ModelRequest], request: HttpRequest) -> dict[str, Any]:
    """The body of a request as it came, once it has been read as a `kind`. Raises `InvalidRequest`."""
    try:
        body = await read_object(request)
        read(kind, body)
    except WireError as error:
        raise InvalidRequest(error.message, error.field) from None
    except ServeError as error:
        raise InvalidRequest(error.message) from None
    return body


def request_of(body: Mapping[str, Any]) -> Request:
    """A Responses body that has been read as a request for a backend."""
    fields = {name: value for name, value in body.items() if name not in BACKEND_FIELDS and value is not None}
    return sent_request(Request({**with_flat_tools(fields), "input": as_items(body["input"])}))


def from_chat(body: Mapping[str, Any]) -> dict[str, Any]:
    """A Chat Completions body that has been read as a Responses body. Raises `InvalidRequest`."""
    try:
        return responses_request(body)
    except (ValueError, TypeError, AttributeError, KeyError) as error:  # any shape may come from outside
        raise InvalidRequest(f"the request cannot be read: {error}") from None
