"""What MCP servers answer, read leniently: what is wrong in one tool or one block of content costs that alone.

The `mcp` package checks each answer as a whole, and one that fails its models takes everything in it along; a line
that is no message is lost, and whoever waits for it waits until the time is up. So answers pass here on their way from
the wire to the package, and come out as its models want them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

from gym_core import JsonError, encode_json, parse_json
from gym_mcp.schemas import object_schema

if TYPE_CHECKING:
    from mcp.types import JSONRPCMessage

_SHOWN = 80
_WRAPPED = "gym/value"
"""Holds a result that is no object."""
_INTERNAL_ERROR = -32603
_OLDEST = "2024-11-05"


def readable_message(data: bytes | str) -> dict[str, Any] | None:
    """An answer as JSON-RPC has it; None for what is no message at all, such as a line of a log."""
    try:
        value = parse_json(data)
    except JsonError:
        return None
    return _as_message(value)


def _as_message(value: Any) -> dict[str, Any] | None:
    if not isinstance(value, dict):
        return None
    ident = value.get("id")
    if isinstance(ident, float) and ident.is_integer():
        ident = int(ident)
    if isinstance(ident, bool) or not isinstance(ident, int | str):
        return None
    head = {"jsonrpc": "2.0", "id": ident}
    error = value.get("error")
    if error:
        said = error if isinstance(error, dict) else {"message": error}
        code, message = said.get("code"), said.get("message") or error
        return head | {
            "error": {
                "code": code if type(code) is int else _INTERNAL_ERROR,
                "message": message if isinstance(message, str) else _json(message),
                **({"data": said["data"]} if "data" in said else {}),
            }
        }
    if "result" in value:
        result = value["result"]
        return head | {"result": result if isinstance(result, dict) else {_WRAPPED: result}}
    return None


class Inbox:
    """The stream of a server's messages, each made readable; and the names of the methods that answers belong to.

    `left_out`: the tools that cannot be offered, by their names, and why. `said`: told of what is no message.
    """

    def __init__(self, stream: Any, left_out: dict[str, str], said: Callable[[str], None]) -> None:
        self._stream = stream
        self._methods: dict[str, str] = {}
        self._left_out = left_out
        self._said = said

    def asked(self, ident: Any, method: str) -> None:
        """Note what a request asked for."""
        if method in _READERS:
            self._methods[str(ident)] = method

    @property
    def last_context(self) -> Any:
        """The sender's context, which the package looks for."""
        return getattr(self._stream, "last_context", None)

    async def receive(self) -> Any:
        """The next message."""
        while True:
            message = self._readable(await self._stream.receive())
            if message is not None:
                return message

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        while True:
            message = self._readable(await self._stream.__anext__())
            if message is not None:
                return message

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *cause: Any) -> Any:
        return await self._stream.__aexit__(*cause)

    def _readable(self, message: Any) -> Any:
        """The message as the package takes it; None for what is passed over."""
        from mcp.shared.message import SessionMessage
        from mcp.types import JSONRPCResponse
        from pydantic import ValidationError

        if isinstance(message, ValidationError):
            fixed = self._rescued(message)
            if fixed is None:
                return None
            message = SessionMessage(fixed)
        answer = getattr(message, "message", None)
        if isinstance(answer, JSONRPCResponse):
            method = self._methods.pop(str(answer.id), None)
            if method is not None:
                answer.result = _READERS[method](answer.result, self._left_out)
        return message

    def _rescued(self, error: Any) -> JSONRPCMessage | None:
        """The message in what the package could not read, of which its error holds the text or the object."""
        from mcp.types import jsonrpc_message_adapter

        for problem in error.errors(include_url=False, include_context=False):
            found = problem["input"]
            fixed = readable_message(found) if isinstance(found, str | bytes) else _as_message(found)
            if fixed is not None:
                return jsonrpc_message_adapter.validate_python(fixed, by_name=False)
            if isinstance(found, str) and found.strip():
                self._said(found.strip()[:_SHOWN])
                return None
        return None


class Outbox:
    """The stream of messages to a server; tells the inbox what is asked."""

    def __init__(self, stream: Any, inbox: Inbox) -> None:
        self._stream = stream
        self._inbox = inbox

    async def send(self, item: Any) -> None:
        """Send a message."""
        message = item.message
        if (ident := getattr(message, "id", None)) is not None and (method := getattr(message, "method", None)):
            self._inbox.asked(ident, method)
        await self._stream.send(item)

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *cause: Any) -> Any:
        return await self._stream.__aexit__(*cause)


def _greeting(result: dict[str, Any], left_out: dict[str, str]) -> dict[str, Any]:
    server = result.get("serverInfo")
    server = server if isinstance(server, Mapping) else {}
    return {
        "protocolVersion": str(result.get("protocolVersion") or _OLDEST),
        "capabilities": _object(result.get("capabilities")) or {"tools": {}},
        "serverInfo": {"name": str(server.get("name") or ""), "version": str(server.get("version") or "")},
    }


def _tool_list(result: dict[str, Any], left_out: dict[str, str]) -> dict[str, Any]:
    listed = result.get("tools", result.get(_WRAPPED))
    tools: list[dict[str, Any]] = []
    for tool in listed if isinstance(listed, list) else ():
        name = tool.get("name") if isinstance(tool, dict) else None
        if not isinstance(name, str) or not name.strip():
            left_out.setdefault(_json(tool)[:_SHOWN], "it has no name")
            continue
        try:
            schema = object_schema(tool.get("inputSchema"))
        except ValueError as error:
            left_out.setdefault(name, str(error))
            continue
        told = {field: tool[field] for field in ("title", "description") if isinstance(tool.get(field), str)}
        # Its output schema is left out: what a tool says is for the model, whether or not it keeps to that.
        tools.append({"name": name, "inputSchema": schema, **told})
    cursor = result.get("nextCursor")
    rest = {name: value for name, value in result.items() if name not in ("tools", "nextCursor", _WRAPPED)}
    return {**rest, "tools": tools, **({} if cursor is None or cursor is False else {"nextCursor": str(cursor)})}


def _call_result(result: dict[str, Any], left_out: dict[str, str]) -> dict[str, Any]:
    if result.get("resultType", "complete") != "complete":
        return result
    content = result.get("content", result.get(_WRAPPED))
    blocks = content if isinstance(content, list) else [] if content is None else [content]
    made: dict[str, Any] = {"content": [_block(block) for block in blocks], "isError": _is_true(result.get("isError"))}
    structured = result.get("structuredContent")
    if isinstance(structured, dict):
        made["structuredContent"] = structured
    elif structured is not None and not blocks:
        made["content"] = [_text(structured)]
    if "resultType" in result:
        made["resultType"] = "complete"
    return made


_READERS = {"initialize": _greeting, "tools/list": _tool_list, "tools/call": _call_result}


def _block(block: Any) -> dict[str, Any]:
    """A block of content as the protocol has it; what is none becomes text."""
    if isinstance(block, dict) and block.get("type") == "text" and not isinstance(block.get("text"), str):
        return _text(block.get("text"))
    if isinstance(block, dict):
        known = {name: value for name, value in block.items() if name not in ("annotations", "_meta")}
        try:
            _blocks().validate_python(known, by_name=False)
        except ValueError:
            return _text(known)
        return known
    return _text(block)


@functools.cache
def _blocks() -> Any:
    from mcp.types import ContentBlock
    from pydantic import TypeAdapter

    return TypeAdapter(ContentBlock)


def _text(value: Any) -> dict[str, Any]:
    text = value if isinstance(value, str) else "" if value is None else _json(value)
    return {"type": "text", "text": text}


def _is_true(value: Any) -> bool:
    return value.strip().lower() == "true" if isinstance(value, str) else bool(value)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _json(value: Any) -> str:
    try:
        return encode_json(value).decode()
    except JsonError:
        return repr(value)
