"""Workers as processes of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, cast

from gym_core.contract.component import ComponentContext
from gym_core.contract.executor import Receive, WorkerChannel, WorkerLauncher
from gym_core.domain.errors import UsageError
from gym_core.engine.executors import worker_process
from gym_core.engine.executors.frames import FrameReader
from gym_core.engine.standard_streams import open_missing

LINGER = 1.0
"""Seconds that a dead worker's last words are waited for, where a process that it started keeps its socket open."""


class ProcessLauncher(WorkerLauncher):
    """Workers are processes of this machine. They end when this one does, however that comes about."""

    inherits = True
    flush_seconds = 0.01

    def __init__(self, options: Any = None, context: ComponentContext | None = None) -> None:
        super().__init__(options, context)
        if sys.platform == "win32":
            raise UsageError("--workers needs a system with Unix sockets", hint="leave it out, or use --executor ray")
        open_missing()
        self._lifeline, self._held = os.pipe()
        self._channels: set[_ProcessChannel] = set()
        self._closed = False

    def launch(self, number: int, receive: Receive, gone: Callable[[str], None]) -> WorkerChannel:
        """Start a worker process."""
        ours, theirs = socket.socketpair()
        try:
            numbers = [theirs.fileno(), self._lifeline]
            child = subprocess.Popen(
                [sys.executable, "-P", worker_process.__file__, *map(str, numbers)],
                stdin=subprocess.DEVNULL,
                pass_fds=numbers,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        with contextlib.suppress(OSError):  # it is dead already; its end is noticed in the usual way
            worker_process.send_path(ours)
        channel = _ProcessChannel(number, child, ours, receive, gone)
        self._channels.add(channel)
        channel.over.add_done_callback(lambda over: self._channels.discard(channel))
        return channel

    async def __aexit__(self, *error: object) -> None:
        """Kill what is left, and see it off."""
        channels = list(self._channels)
        for channel in channels:
            channel.kill()
        if channels:
            await asyncio.wait([channel.over for channel in channels])
        if not self._closed:
            self._closed = True
            os.close(self._held)
            os.close(self._lifeline)


class _ProcessChannel(asyncio.Protocol):
    """One process. `over`: done once it has ended and its last frame was received."""

    def __init__(
        self,
        number: int,
        child: subprocess.Popen[bytes],
        channel: socket.socket,
        receive: Receive,
        gone: Callable[[str], None],
    ) -> None:
        self.name = f"worker {number} (process {child.pid})"
        self._child = child
        self._reader = FrameReader(receive)
        self._gone = gone
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._closed = asyncio.Event()
        self._exited = asyncio.Event()
        channel.setblocking(False)
        self.over: asyncio.Task[None] = asyncio.create_task(self._live(channel))
        threading.Thread(target=self._wait, name=f"gym-worker-{number}", daemon=True).start()

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

    def kill(self) -> None:
        """End the process at once."""
        self._child.kill()

    async def _live(self, channel: socket.socket) -> None:
        await self._loop.create_unix_connection(lambda: self, sock=channel)
        exited = asyncio.create_task(self._exited.wait())
        closed = asyncio.create_task(self._closed.wait())
        await asyncio.wait([exited, closed], return_when=asyncio.FIRST_COMPLETED)
        if not closed.done():
            await asyncio.wait([closed], timeout=LINGER)
        assert self._transport is not None
        self._transport.abort()
        await closed
        if not exited.done():
            await asyncio.wait([exited], timeout=LINGER)
            self.kill()  # one that nobody can talk to must not go on
        await exited
        self._gone(_ended(self._child.returncode))

    def _wait(self) -> None:
        self._child.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._exited.set)


def _ended(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"
