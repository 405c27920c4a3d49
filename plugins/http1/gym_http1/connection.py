"""One HTTP/1.1 connection on the event loop: asyncio's sockets, and the parser of httptools (llhttp).

It does as little as a small call needs: one request at a time, a body that is there already, a reply read whole.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httptools

from gym_http1.encoding import decoded
from gym_http1.reply import LENIENT, HttpReply, ReplyHeaders, TooLong

NEVER = float("inf")
_HEAD_LIMIT = 1 << 18
"""The most bytes a reply's head may have."""
_EMPTY_LINES = re.compile(rb"[\r\n]*")
_ENCODED = b"content-encoding"
_GOOD = b"HTTP/1.1 2"
_TRANSFERRED = b"transfer-encoding"
_TRANSFERS = ("chunked", "identity", "")
_AS_CHUNKS = b"\ntransfer-encoding: chunked\r\n"
_SWITCHED = 101
_FIELDS = (
    rb"(?:(?!content-(?!type:)|transfer-|upgrade|connection(?!: keep-alive\r))"
    rb"[!#$%&'*+.^_`|~0-9a-z-]+:[^\r\n\0]*\r\n)*"
)
_usual_head = re.compile(
    rb"HTTP/1\.1 200 [^\r\n\0]*\r\n" + _FIELDS + rb"content-length: ?([0-9]{1,15})\r\n" + _FIELDS + rb"\r\n",
    re.IGNORECASE,
).match
"""The head of nearly every reply: its body is as long as it says, is not coded, and the connection stays."""


def _end_of_head(data: bytes, start: int) -> int:
    """Where the first empty line after `start` ends, with or without its carriage return; 0 where there is none."""
    end = data.find(b"\n\r\n", start) + 3
    bare = data.find(b"\n\n", start, end if end > 2 else len(data)) + 2
    return bare if bare > 1 else end if end > 2 else 0


def _refuse_codings(headers: ReplyHeaders) -> None:
    """Raise `BrokenHttp` for a transfer coding but chunks: nobody asked for one, and what is coded is not the body."""
    codings = ",".join(headers.getall("transfer-encoding")).lower().split(",")
    for coding in codings:
        if coding.strip() not in _TRANSFERS:
            raise BrokenHttp(f"its transfer coding {coding.strip()[:20]!r} was not asked for")


class ConnectionDropped(Exception):
    """The connection ended before the reply did."""


class BrokenHttp(Exception):
    """What came is no HTTP."""


class Connection(asyncio.Protocol):
    """A connection to one server. `alive`: whether another request may be sent on it after this one.

    `most`: bytes that are read of a reply's body. `due`: when the reply under way is given up, on the event loop's
    clock. It is in the set `opened` from when it is made until it is lost.
    """

    __slots__ = (
        "_body",
        "_complete",
        "_head",
        "_keep",
        "_left",
        "_loop",
        "_most",
        "_opened",
        "_parser",
        "_status",
        "_waiter",
        "alive",
        "due",
        "transport",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, opened: set[Connection], most: int) -> None:
        self._loop = loop
        self._most = most
        self._left = 0
        self._opened = opened
        self._waiter: asyncio.Future[HttpReply] | None = None
        self._parser: Any = None
        self._head = b""
        self._body: list[bytes] = []
        self._complete = self._keep = False
        self._status = 0
        self.alive = True
        self.due = NEVER
        self.transport: Any = None

    def send(self, data: bytes) -> asyncio.Future[HttpReply]:
        """Send a request, head and body; the future is its reply.

        It fails with `ConnectionDropped`, `BrokenHttp` or `TooLong`. Nobody else may be waiting for a reply.
        """
        waiter = self._waiter = self._loop.create_future()
        self._parser = None
        self._status = 0
        self.transport.write(data)
        return waiter

    @property
    def usable(self) -> bool:
        """Whether a request can be sent now."""
        return self.alive and not self.transport.is_closing()

    def expire(self) -> None:
        """Give the reply up: whoever waits for it meets a `TimeoutError`."""
        self._fail(TimeoutError())

    def close(self) -> None:
        """End the connection at once, whatever is under way."""
        self.alive = False
        if self.transport is not None:
            self.transport.abort()

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self.transport = transport
        self._opened.add(self)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._waiter is None:  # nobody asked: whatever it is, the next reply would be mistaken for it
            self.close()
            return
        if self._parser is None:
            head = _usual_head(data)  # the parser takes three times as long for what one look can tell
            if head is not None:
                end = head.end()
                if len(data) - end == int(head[1]) <= self._most and end <= _HEAD_LIMIT:
                    waiter = self._answered(True)
                    if waiter is not None:
                        waiter.set_result(HttpReply(200, ReplyHeaders(head[0]), data[end:]))
                    return
            self._left = self._most + _HEAD_LIMIT
            self._parser = httptools.HttpResponseParser(self)
            self._parser.set_dangerous_leniencies(**LENIENT)
            self._head = b""
            self._body = []
            self._complete = False
        self._left -= len(data)  # interim replies, extensions of chunks and trailers are counted, too
        if self._left < 0:
            self._fail(TooLong())
            return
        try:
            self._feed(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._complete:
                self._fail(BrokenHttp(str(error)))
                return
            self._keep = False  # something after the reply
        if len(self._head) > _HEAD_LIMIT:
            self._fail(BrokenHttp(f"its head is longer than {_HEAD_LIMIT} bytes"))
        elif self._complete:
            self._finish(self._keep)

    def _feed(self, data: bytes) -> None:
        # Each head goes to the parser by itself: so it is known which bytes it is, also after an interim reply. Nothing
        # that is left is copied on the way: there may be thousands of interim replies, or empty lines.
        if data.startswith(_GOOD) and not self._head:  # nearly always: one whole reply
            end = _end_of_head(data, 0)
            if end:
                self._head = data[:end]
                self._parser.feed_data(data)
                return
        known = at = 0
        if self._head and not self._status:
            known = len(self._head)
            data = self._head + data
        while at < len(data) and not self._status:
            if not known and data[at] in b"\r\n":
                at = _EMPTY_LINES.match(data, at).end()  # type: ignore[union-attr]  # it matches anything
                continue
            searched = at + max(0, known - 3)
            end = _end_of_head(data, searched) or len(data)
            self._head = data[at:end]
            self._parser.feed_data(data[at + known : end])
            known, at = 0, end
        if at < len(data):
            self._parser.feed_data(data[at:])

    def eof_received(self) -> bool:
        """See `asyncio.Protocol`: the connection is closed, then."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.alive = False
        self._opened.discard(self)
        if self._waiter is None:
            return
        if error is None and self._status >= 200 and not self._framed():
            self._finish(False)  # a body that ends with its connection
        else:
            self._fail(ConnectionDropped())

    # Called by the parser

    def on_message_begin(self) -> None:
        """A reply begins."""
        if self._complete:
            self._keep = False  # another reply, for which nobody asked

    def on_headers_complete(self) -> None:
        """The head is there."""
        if not self._complete:
            self._status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        """Some of the body is there."""
        if not self._complete:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """The whole reply is there, or an interim one such as 100 Continue."""
        if self._complete:
            return
        if 100 <= self._status < 200 and self._status != _SWITCHED:
            self._status = 0
            self._head = b""
        else:
            self._complete = True
            self._keep = self._parser.should_keep_alive()

    def _framed(self) -> bool:
        """Whether the head says where the body ends."""
        headers = ReplyHeaders(self._head)
        codings = ",".join(headers.getall("transfer-encoding"))
        if codings:
            return codings.rpartition(",")[2].strip().lower() == "chunked"
        return "content-length" in headers

    def _answered(self, keep: bool) -> asyncio.Future[HttpReply] | None:
        """The reply under way has come to its end; returns who waits for it, if anybody still does."""
        waiter, self._waiter = self._waiter, None
        self.due = NEVER
        # Answered before all of the request was out: the rest of it would go ahead of the next one.
        if not keep or self.transport.get_write_buffer_size():
            self.close()
        assert waiter is not None
        return None if waiter.done() else waiter  # cancelled, and the connection is being closed for that

    def _finish(self, keep: bool) -> None:
        waiter = self._answered(keep)
        if waiter is None:
            return
        try:
            waiter.set_result(self._reply())
        except (BrokenHttp, TooLong) as error:
            waiter.set_exception(error)

    def _reply(self) -> HttpReply:
        """The reply that is there. Raises `BrokenHttp`, `TooLong`."""
        if self._status < 200:
            raise BrokenHttp(f"status {self._status}, which nothing was asked for that it answers")
        if b"\0" in self._head:
            raise BrokenHttp("its head holds a null byte")
        parts = self._body
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        if len(body) > self._most:
            raise TooLong
        headers = ReplyHeaders(self._head)
        head = self._head.lower()
        if _TRANSFERRED in head and head.count(_TRANSFERRED) != head.count(_AS_CHUNKS):
            _refuse_codings(headers)
        if _ENCODED in head:
            try:
                body = decoded(body, headers.getall("content-encoding"), self._most)
            except ValueError as error:
                raise BrokenHttp(str(error)) from None
        return HttpReply(self._status, headers, body)

    def _fail(self, error: Exception) -> None:
        waiter, self._waiter = self._waiter, None
        self.due = NEVER
        self.close()
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
