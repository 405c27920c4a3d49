"""HTTP on a connection: uvicorn's, with bounds on what a client may send before and beside what it asks.

What is wrong with the HTTP itself is answered here, in the shape that all errors have.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gym_core import encode_json
from gym_http.protocol.errors import ServeError, error_to_wire
from gym_http.serve.connections import NEVER, SLOWEST, Connections, client_of

MOST_HEAD = 65_536
"""Bytes of request line and headers. They are kept in memory before anybody can ask for a token."""
MOST_HEADERS = 256
_FED = -1
"""In place of a count: the bytes that came just now were of a body."""


class _NoTrailers(list[tuple[bytes, bytes]]):
    """Takes the headers that come after a chunked body, and keeps none of them."""

    def append(self, header: tuple[bytes, bytes]) -> None:
        """Drop a header."""


class _TooManyHeaders(Exception):
    """Ends the parsing of a head."""


class BoundedConnection(HttpToolsProtocol):
    """One connection. What its client owes has until `_due`, what it has to read until `_read_due`."""

    def __init__(self, keeper: Connections, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._keeper = keeper
        self.address = ""
        self.since = keeper.now
        self._due = self._read_due = NEVER
        self._in_head = self._in_body = False
        self._head = 0
        self._moved = 0
        self._unread = 0

    @property
    def waiting(self) -> bool:
        """Whether nothing is asked on it just now."""
        return self.cycle is None or self.cycle.response_complete

    # What uvicorn and its parser call

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """It is there."""
        super().connection_made(transport)
        self.address = client_of(transport.get_extra_info("peername"))
        self._due = self._keeper.now + self._keeper.seconds
        if not self._keeper.admit(self):
            self._refuse(503, "too many connections are open", "too_many_connections", b"retry-after: 1\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._keeper.forget(self)
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """The head of a request begins."""
        super().on_message_begin()
        self._in_head = True
        self._head = 0
        self._due = self._keeper.now + self._keeper.seconds

    def on_headers_complete(self) -> None:
        """The head has ended."""
        if len(self.headers) > MOST_HEADERS:
            raise _TooManyHeaders
        self._in_head, self._in_body = False, True
        self._head = self._moved = 0
        super().on_headers_complete()
        self.headers = _NoTrailers()

    def on_body(self, body: bytes) -> None:
        """Some of the body is there."""
        self._head = _FED
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._in_body = False
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Some bytes came."""
        super().data_received(data)
        if self._in_head or self._in_body:
            self._moved += len(data)
            self._head = 0 if self._head == _FED else self._head + len(data)
            if self._head > MOST_HEAD and not self.transport.is_closing():
                if self._in_head:
                    self._refuse(431, f"the headers are longer than {MOST_HEAD} bytes", "too_large")
                else:
                    self._refuse(400, "what stands around the body is longer than it may be")
        elif not self.waiting:
            self._due = NEVER  # the next word is the server's
        elif self._due == NEVER:  # empty lines, say
            self._due = self._keeper.now + self._keeper.seconds

    def on_response_complete(self) -> None:
        """An answer is on its way."""
        self.since = self._keeper.now
        super().on_response_complete()

    def pause_writing(self) -> None:
        """The client does not read as fast as it is answered."""
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        """It has read."""
        super().resume_writing()
        self._read_due = NEVER

    def send_400_response(self, msg: str) -> None:
        """What was sent is no HTTP."""
        if not self.transport.is_closing():
            if self._in_head and self.headers is not None and len(self.headers) > MOST_HEADERS:
                self._refuse(431, f"there are more than {MOST_HEADERS} headers", "too_large")
            else:
                self._refuse(400, "this is no valid HTTP request")

    # What the keeper of all connections calls

    def look(self, now: float) -> None:
        """End it if something has not come in time."""
        if self._due <= now:
            self._late()
        if self._read_due <= now:
            self._unread_still()
        elif self._read_due == NEVER and self.transport.is_closing():
            self._expect_reading()

    def end(self) -> None:
        """Close it; what the client has not read by now is lost."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    def _late(self) -> None:
        keeper = self._keeper
        if not self.waiting and (
            not self._in_body  # the client waits for its answer
            or self.flow.read_paused  # and here for the server to read on
            or self._moved >= SLOWEST * keeper.seconds
        ):
            self._moved = 0
            self._due = keeper.now + keeper.seconds
        elif self._in_head or not self.waiting:
            self._refuse(408, f"the request did not come within {keeper.seconds:g} s", "request_timeout")
        else:
            self.end()

    def _expect_reading(self) -> None:
        self._unread = self.transport.get_write_buffer_size()
        self._read_due = self._keeper.now + self._keeper.seconds

    def _unread_still(self) -> None:
        left = self.transport.get_write_buffer_size()
        if self._unread - left >= SLOWEST * self._keeper.seconds:
            self._expect_reading()
        else:
            self.transport.abort()

    def _refuse(self, status: int, message: str, code: str = "", headers: bytes = b"") -> None:
        """Answer with an error that no application has seen, unless another answer has begun, and close."""
        if not self.waiting and self.cycle.response_started:
            self.end()
            return
        content = encode_json(error_to_wire(ServeError(status, message, code=code))[1])
        head = b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\nconnection: close\r\n%bcontent-length: %d\r\n\r\n"
        phrase = HTTPStatus(status).phrase.encode()
        self.transport.write(head % (status, phrase, headers, len(content)) + content)
        self.transport.close()
