"""Workers as processes of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable
from typing import Any, cast

from gym_core import ComponentContext, UsageError
from gym_core.spi import ChildProcess, write_message
from gym_workers.channel import Receive, WorkerChannel
from gym_workers.frames import FrameReader
from gym_workers.launcher import WorkerLauncher

GRACE = 3.0
"""Seconds that sessions have for closing once the coordinator has gone."""
LINGER = 1.0
"""Seconds that a dead worker's last words are waited for, where a process that it started keeps its socket open."""


class ProcessLauncher(WorkerLauncher):
    """Workers are processes of this machine. They end when this one does, however that comes about."""

    inherits = True
    flush_seconds = 0.01

    def __init__(self, options: Any = None, context: ComponentContext | None = None) -> None:
        super().__init__(options, context)
        if sys.platform == "win32":
            raise UsageError(
                "processes that share a run need a system with Unix sockets", hint="leave it out, or use --executor ray"
            )

    def start(self, number: int, receive: Receive, gone: Callable[[str], None]) -> WorkerChannel:
        """Start a worker process."""
        ours, theirs = socket.socketpair()
        try:
            # no group of its own: a terminal stops and continues all of a run
            work = "gym_workers.worker_process:work"
            child = ChildProcess(work, grace=GRACE, group=False, stdin=theirs, stdout=theirs)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        with contextlib.suppress(OSError), ours.makefile("wb") as stream:  # dead already? noticed in the usual way
            write_message(stream, child.first_message)
        return _ProcessChannel(number, child, ours, receive, gone)


class _ProcessChannel(asyncio.Protocol):
    """One process. `over`: done once it has ended and its last frame was received."""

    def __init__(
        self,
        number: int,
        child: ChildProcess,
        channel: socket.socket,
        receive: Receive,
        gone: Callable[[str], None],
    ) -> None:
        self.name = f"worker {number} (process {child.pid})"
        self.kill = child.kill
        self._child = child
        self._reader = FrameReader(receive)
        self._gone = gone
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._closed = asyncio.Event()
        channel.setblocking(False)
        self.over: asyncio.Task[None] = asyncio.create_task(self._live(channel))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ready."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass of it
        for frame in self._early:
            self._transport.write(frame)
        self._early.clear()

    def data_received(self, data: bytes) -> None:
        """Bytes of the worker."""
        self._reader.feed(data)

    def connection_lost(self, error: Exception | None) -> None:
        """The worker has closed its end, or has ended."""
        self._closed.set()

    def send(self, frame: bytes) -> None:
        """Send a frame."""
        if self._transport is None:
            self._early.append(frame)
        elif not self._transport.is_closing():
            self._transport.write(frame)

    async def _live(self, channel: socket.socket) -> None:
        exited = self._child.ended()
        await self._loop.create_unix_connection(lambda: self, sock=channel)
        closed = asyncio.create_task(self._closed.wait())
        either: list[asyncio.Future[Any]] = [exited, closed]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not closed.done():
            await asyncio.wait([closed], timeout=LINGER)
        assert self._transport is not None
        self._transport.abort()
        await closed
        if not exited.done():
            await asyncio.wait([exited], timeout=LINGER)
            self.kill()  # one that nobody can talk to must not go on
        self._gone(await exited)
