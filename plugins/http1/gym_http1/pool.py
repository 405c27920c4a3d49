"""Connections to any number of servers, kept for the next request."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import aiohappyeyeballs

from gym_http1.connection import BrokenHttp, Connection, ConnectionDropped
from gym_http1.failure import Failure, connect_failure
from gym_http1.reply import MAX_REPLY_MB, MEGABYTE, HttpReply, TooLong, too_long
from gym_http1.request import Place

_NAMES_KEPT_SECONDS = 10.0
_HAPPY_EYEBALLS_SECONDS = 0.25
_TICK = 0.5
"""Seconds between two looks at what is due: one timer for all calls costs nothing, one for each a hundredth of it."""
_EXACT = 10.0
"""A shorter timeout has a timer of its own."""


@dataclass(slots=True, eq=False)
class Server:
    """Where connections lead, and those that wait for a request: the one used last is taken first.

    `path`: of a Unix socket, in place of host and port.
    """

    host: str = ""
    port: int = 0
    tls: bool = False
    path: str | None = None
    idle: deque[tuple[float, Connection]] = field(default_factory=deque, repr=False)
    addresses: Sequence[tuple[int, int, int, str, tuple[Any, ...]]] = ()
    known_until: float = 0.0


class Pool:
    """Sends requests, each over a connection of its own while it lasts. It must be made on the event loop that uses it.

    `failed` makes the exception for a call that got no reply, from the failure and from what the call said it was
    about. `ssl_context` gives what https needs, when it is needed: to read the authorities of a system takes 20 ms.
    `connecting`: so many connections are opened at a time; the clock of each, of
    `connect_timeout` seconds, starts when its turn comes: else thousands of handshakes that start together run into
    the timeout of a healthy server. A connection that waits for longer than `keepalive` seconds is closed. A reply
    whose body is longer than `max_reply` bytes, as it comes or decompressed, is given up as `too_long`.

    An idle connection that the server has closed is replaced. When the server closes it in the very moment in which
    the request is sent, the call fails as `dropped`. Nothing is sent twice.
    """

    def __init__(
        self,
        *,
        failed: Callable[[Failure, str], Exception],
        ssl_context: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        connect_timeout: float = 30.0,
        keepalive: float = 30.0,
        connecting: int = 512,
        max_reply: int = MAX_REPLY_MB * MEGABYTE,
    ) -> None:
        self._failed = failed
        self._ssl_context = cache(ssl_context)
        self._connect_timeout = connect_timeout
        self._keepalive = keepalive
        self._max_reply = max_reply
        self._loop = asyncio.get_running_loop()
        self._turn = asyncio.Semaphore(connecting)
        self._servers: dict[tuple[str, int, bool], Server] = {}
        self._open: set[Connection] = set()
        self._sweeping: asyncio.TimerHandle | None = None
        self._closed = False

    def server(self, place: Place) -> Server:
        """The server that a URL leads to."""
        key = (place.host, place.port, place.tls)
        return self._servers.get(key) or self._servers.setdefault(key, Server(*key))

    def unix_server(self, path: str) -> Server:
        """The server that listens at a path."""
        key = (path, 0, False)
        return self._servers.get(key) or self._servers.setdefault(key, Server(path=path))

    async def send(self, server: Server, request: bytes, seconds: float, about: str) -> HttpReply:
        """Send a request, head and body, and read its reply. Any method but HEAD.

        `seconds`: for all of it, connecting included; infinity sets no bound. Cancelling it closes the connection, so
        that the server sees it. Raises what `failed` makes of a failure, with `about`.
        """
        now = self._loop.time()
        due = now + seconds
        connection = self._waiting(server, now)
        if connection is None:
            connection = await self._connect(server, seconds, about)
            now = self._loop.time()
        timer = None
        if due - now < _EXACT:
            timer = self._loop.call_at(max(due, now), connection.expire)
        else:
            connection.due = due
        try:
            reply = await connection.send(request)
        except (ConnectionDropped, BrokenHttp, TooLong, TimeoutError, OSError, RuntimeError) as error:
            connection.close()
            raise self._failed(self._unanswered(error, seconds), about) from None
        except asyncio.CancelledError:
            connection.close()  # the server sees it, and can stop
            raise
        finally:
            if timer is not None:
                timer.cancel()
        if connection.alive:
            server.idle.append((self._loop.time(), connection))
        return reply

    def _waiting(self, server: Server, now: float) -> Connection | None:
        """A connection that waits for a request, if there is one that can be used."""
        idle = server.idle
        while idle:
            since, connection = idle.pop()
            if now - since < self._keepalive and connection.usable:
                return connection
            connection.close()
        return None

    async def _connect(self, server: Server, seconds: float, about: str) -> Connection:
        """A new connection, within the time for one and the time of the call."""
        if self._closed:
            raise self._failed(Failure("closed", sent=False), about)
        allowed = min(self._connect_timeout, seconds)
        try:
            async with self._turn, asyncio.timeout(allowed):
                connection = await (self._over_tcp(server) if server.path is None else self._over_unix(server.path))
        except TimeoutError:
            late = Failure("connect_timeout" if allowed == self._connect_timeout else "timeout", False, None, seconds)
            raise self._failed(late, about) from None
        except (OSError, ssl.SSLError, RuntimeError, ValueError) as error:
            kind, reason = connect_failure(error)
            raise self._failed(Failure(kind, False, reason), about) from None
        if self._closed:
            connection.close()
            raise self._failed(Failure("closed", sent=False), about)
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(_TICK, self._sweep)
        return connection

    def _connection(self) -> Connection:
        return Connection(self._loop, self._open, self._max_reply)

    async def _over_tcp(self, server: Server) -> Connection:
        if server.known_until < time.monotonic():
            server.addresses = await self._loop.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
            server.known_until = time.monotonic() + _NAMES_KEPT_SECONDS
        secured: dict[str, Any] = {"ssl": self._ssl_context(), "server_hostname": server.host} if server.tls else {}
        if len(server.addresses) == 1:  # there is nothing to choose, and the event loop alone is a sixth of the cost
            family, _, protocol, _, address = server.addresses[0]
            _, connection = await self._loop.create_connection(
                self._connection, address[0], address[1], family=family, proto=protocol, **secured
            )
            return connection
        opened = await self._socket(server)
        try:
            _, connection = await self._loop.create_connection(self._connection, sock=opened, **secured)
        except BaseException:
            opened.close()
            raise
        return connection

    async def _over_unix(self, path: str) -> Connection:
        _, connection = await self._loop.create_unix_connection(self._connection, path)
        return connection

    async def _socket(self, server: Server) -> socket.socket:
        """A connected socket to the address that answers first."""
        opened = await aiohappyeyeballs.start_connection(
            server.addresses, happy_eyeballs_delay=_HAPPY_EYEBALLS_SECONDS, interleave=1, loop=self._loop
        )
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened

    def _sweep(self) -> None:
        """Close what nobody has used for a while, and what should have answered by now."""
        now = self._loop.time()
        for server in self._servers.values():
            while server.idle and server.idle[0][0] <= now - self._keepalive:
                server.idle.popleft()[1].close()
        for connection in [connection for connection in self._open if connection.due <= now]:
            connection.expire()
        self._sweeping = self._loop.call_later(_TICK, self._sweep) if self._open else None

    def _unanswered(self, error: Exception, seconds: float) -> Failure:
        """Why a request that was sent got no reply."""
        if isinstance(error, TimeoutError):
            return Failure("timeout", True, None, seconds)
        if isinstance(error, BrokenHttp):
            return Failure("broken", True, str(error))
        if isinstance(error, TooLong):
            return Failure("too_long", True, too_long(self._max_reply))
        return Failure("closed" if self._closed else "dropped", True)

    async def aclose(self) -> None:
        """Close every connection; open calls fail. Calling it again does nothing."""
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        connections = list(self._open)
        for connection in connections:
            connection.close()
        for server in self._servers.values():
            server.idle.clear()
        if connections:
            await asyncio.sleep(0)  # the event loop closes what was aborted in its next turn
