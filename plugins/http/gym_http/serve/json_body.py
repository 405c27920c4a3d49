"""The JSON body of a request, and what is read from it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.requests import Request
from starlette.types import Receive

from gym_core import JsonError, parse_json
from gym_http.protocol.errors import ServeError
from gym_http.protocol.shapes import Kind, read

DEEPEST = 500
"""Levels of a body. What has to be written again, or walked through by a verifier, must leave some of Python's."""


async def read_object(request: Request) -> dict[str, Any]:
    """The body of a request as a JSON object. Raises `ServeError` (422) for anything else."""
    return parse_object(await request.body())


async def read_as(kind: type[Kind], request: Request) -> Kind:
    """The body of a request as its type. Raises `ServeError` for what is no JSON object, and `WireError` as `read`."""
    return read(kind, await read_object(request))


async def read_body(receive: Receive) -> bytes:
    """The bytes of a request's body. Raises `ConnectionResetError` when the client leaves before its end."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message.get("body", b"")
        return body
    parts: list[bytes] = []
    while message["type"] == "http.request":
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)
        message = await receive()
    raise ConnectionResetError("the client left")


def parse_object(body: bytes) -> dict[str, Any]:
    """Bytes as a JSON object. Raises `ServeError` (422) for anything else."""
    try:
        value = parse_body(body)
    except JsonError as error:
        raise ServeError(422, f"the body cannot be read: {error}", field="body") from None
    if not isinstance(value, dict):
        raise ServeError(422, "the body must be a JSON object", field="body")
    return value


def parse_body(body: bytes) -> Any:
    """The value of a body. Raises `JsonError` as `parse_json` does, and for what nests deeper than `DEEPEST`."""
    value = parse_json(body)
    if body.count(b"[") + body.count(b"{") > DEEPEST:
        inner = [value]
        for _ in range(DEEPEST):
            inner = [each for outer in inner for each in _inside(outer) if isinstance(each, dict | list)]
        if inner:
            raise JsonError(f"it nests deeper than {DEEPEST} levels")
    return value


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
