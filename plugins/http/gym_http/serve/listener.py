"""An application on a port or a socket file, in the event loop that is running."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Self

from gym_core import UsageError
from gym_http.serve.connections import ConnectionLimits, Connections

BACKLOG = 4096
KEEP_ALIVE = 75
"""Seconds an idle connection is kept: longer than clients do, so that none is closed while its next request comes."""
_OWNER_ONLY = 0o600
_ACCEPTED_AT_ONCE = 64
"""So many connections are accepted before the first of them is counted."""
_LAST_WORDS = 1.0
"""Seconds that requests have to answer that they were cut off."""


class Listener:
    """Serves an ASGI application while it is entered.

    `host` and `port`, where port 0 takes a free one, or `uds`: the path of a socket file, which only the user who owns
    the process may open. `url`: how to reach it, once entered. `grace`: seconds that requests may take when it is left.
    `limits`: of its connections. Entering raises `UsageError` where the address cannot be had.
    """

    def __init__(
        self,
        app: Any,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        uds: str | os.PathLike[str] | None = None,
        grace: float = 5.0,
        limits: ConnectionLimits | None = None,
    ) -> None:
        self.url = ""
        self._app = app
        self._host = host
        self._port = port
        self._uds = os.fspath(uds) if uds is not None else None
        self._grace = grace
        self._limits = limits or ConnectionLimits()
        self._connections: Connections | None = None
        self._socket: socket.socket | None = None
        self._server: Any = None
        self._serving: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        sock = self._socket = self._bind()
        try:
            await self._start(sock)
        except BaseException:
            sock.close()
            self._remove_file()
            raise
        return self

    async def _start(self, sock: socket.socket) -> None:
        import uvicorn

        from gym_http.serve.http_protocol import BoundedConnection

        connections = self._connections = Connections(self._limits)
        up = asyncio.Event()

        class Server(uvicorn.Server):
            """Without its signal handlers: whoever runs the event loop decides about signals."""

            @contextlib.contextmanager
            def capture_signals(self) -> Iterator[None]:
                yield

            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                sock.listen(BACKLOG)
                connections.start()
                up.set()

        config = uvicorn.Config(
            self._app,
            http=partial(BoundedConnection, connections),  # type: ignore[arg-type]  # all that is asked of it
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=_ACCEPTED_AT_ONCE,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=max(1, round(self._grace)),
        )
        self._server = Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[sock]))
        waiting = asyncio.create_task(up.wait())
        await asyncio.wait([self._serving, waiting], return_when=asyncio.FIRST_COMPLETED)
        if not up.is_set():
            waiting.cancel()
            await self._serving  # raises what kept it from starting

    async def __aexit__(self, *error: object) -> None:
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving
        if cut_off := set(self._server.server_state.tasks):
            await asyncio.wait(cut_off, timeout=_LAST_WORDS)
        if self._connections is not None:
            self._connections.stop()
        self._remove_file()

    def _bind(self) -> socket.socket:
        if self._uds is not None:
            return self._bind_file(self._uds)
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            sock = socket.socket(family, kind, protocol)
        except OSError as error:
            raise UsageError(f"{self._host} is no address to serve on: {error.strerror or error}") from None
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
        except OSError as error:
            sock.close()
            raise UsageError(
                f"{self._host}:{self._port} cannot be served on: {error.strerror or error}",
                hint="--port 0 takes a free port",
            ) from None
        host, port = sock.getsockname()[:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        return sock

    def _bind_file(self, path: str) -> socket.socket:
        if not hasattr(socket, "AF_UNIX"):
            raise UsageError("this system has no socket files", hint="serve on a port")
        _remove_stale(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)  # nobody else may connect, not even before its mode is set
        try:
            sock.bind(path)
        except OSError as error:
            sock.close()
            raise UsageError(
                f"{path} cannot be served on: {error.strerror or error}",
                hint="the folder must exist, and the path have fewer than 104 bytes",
            ) from None
        finally:
            os.umask(before)
        os.chmod(path, _OWNER_ONLY)
        self.url = f"unix:{path}"
        return sock

    def _remove_file(self) -> None:
        if self._uds is not None:
            Path(self._uds).unlink(missing_ok=True)


def _remove_stale(path: str) -> None:
    """Remove a socket file that nobody serves any more. Raises `UsageError` for anything else at its path."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(mode):
        raise UsageError(f"{path} exists and is no socket", hint="choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            Path(path).unlink(missing_ok=True)
        else:
            raise UsageError(f"{path} is served on already", hint="choose another path, or end the other server")
