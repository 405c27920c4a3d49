"""HTTP/1.1 as far as a scripted endpoint needs it: one request at a time per connection, and bad manners on demand.

RFC 9112. Requests with a chunked body are refused: clients of model endpoints know how long theirs are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, cast

import orjson

from gym_testing.replies import Delivery, Reply

_PIECES = 5
_END = b"\r\n\r\n"


@dataclass(slots=True)
class Received:
    """A request as it came.

    `headers`: by lower-case name. `data`: the bytes of the body. `number`: counts the model calls, from 0. `in_flight`:
    how many model calls were open when it came, this one among them. `cancelled`: the client closed the connection
    before the reply was complete.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    data: bytes = field(repr=False)
    number: int = 0
    in_flight: int = 0
    cancelled: bool = False

    @property
    def body(self) -> Any:
        """The body, read as JSON; None where there is none."""
        return orjson.loads(self.data) if self.data else None

    @property
    def items(self) -> list[dict[str, Any]]:
        """The conversation in the words of the dialect: `input` as a list, or `messages`."""
        body = self.body
        given = body.get("messages", body.get("input", []))
        return [{"role": "user", "content": given}] if isinstance(given, str) else given

    @property
    def tool_outputs(self) -> list[Any]:
        """The outputs of tools in the conversation."""
        outputs = [item.get("output") for item in self.items if item.get("type") == "function_call_output"]
        return outputs + [message.get("content") for message in self.items if message.get("role") == "tool"]


class Connection(asyncio.Protocol):
    """One connection of a client. `handle` answers each request through `send`.

    `left` is called with the request that was open when the client closed the connection.
    """

    def __init__(
        self,
        handle: Callable[[Connection, Received], Coroutine[Any, Any, None]],
        left: Callable[[Connection, Received | None], None],
    ) -> None:
        self._handle = handle
        self._left = left
        self._buffer = bytearray()
        self._open: Received | None = None
        self._task: asyncio.Task[None] | None = None
        self._made = self._closing = False
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.Transport, transport)
        self._made = True
        if self._closing:  # the loop makes a connection a turn after it has asked for one like this
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._buffer += data
        self._take()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._writable.set()

    def connection_lost(self, error: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._writable.set()
        if self._task is not None:
            self._task.cancel()
        self._left(self, None if self._closing else self._open)

    def close(self) -> None:
        """Let go of the client, whatever it waits for."""
        self._closing = True
        if self._made:
            self._transport.abort()

    def _take(self) -> None:
        """Begin with the next request, if it is whole and nothing is open."""
        end = self._buffer.find(_END)
        if self._task is not None or end < 0:
            return
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ", 2)
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if "transfer-encoding" in headers:
            self._transport.write(b"HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self.close()
            return
        start = end + len(_END)
        length = int(headers.get("content-length", 0))
        if len(self._buffer) < start + length:
            return
        data = bytes(self._buffer[start : start + length])
        del self._buffer[: start + length]
        self._open = Received(method, path, headers, data)
        self._task = asyncio.get_running_loop().create_task(self._serve(self._open))

    async def _serve(self, request: Received) -> None:
        try:
            await self._handle(self, request)
        except Exception:
            self.close()  # a script that raises must not leave its client waiting
            raise
        self._open = self._task = None
        if self._buffer and not self._transport.is_closing():
            self._take()

    async def send(self, reply: Reply, content: bytes) -> None:
        """Send a reply the way it wants to travel. Returns when all of it is with the operating system."""
        delivery = reply.delivery
        if delivery is Delivery.HANG:
            await asyncio.Event().wait()
        if delivery is Delivery.DROP_BEFORE:
            self.close()
            return
        head = _head(reply, len(content) + reply.length_error)
        if delivery is Delivery.DROP_INSIDE:
            await self._write(head + content[: len(content) // 2])
        elif delivery is Delivery.SLOW:
            await self._write(head)
            size = len(content) // _PIECES + 1
            for start in range(0, len(content), size):
                await asyncio.sleep(reply.seconds / _PIECES)
                await self._write(content[start : start + size])
        else:
            await self._write(head + content)
        if delivery in (Delivery.DROP_INSIDE, Delivery.DROP_AFTER) or reply.length_error > 0:
            self._closing = True
            self._transport.close()

    async def _write(self, data: bytes) -> None:
        self._transport.write(data)
        await self._writable.wait()


def _head(reply: Reply, length: int) -> bytes:
    try:
        phrase = HTTPStatus(reply.status).phrase
    except ValueError:
        phrase = "Unknown"
    headers = {"Content-Type": "application/json", "Content-Length": str(length), **reply.headers}
    lines = [f"HTTP/1.1 {reply.status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines)).encode("latin-1") + _END
