"""A worker as a process of this machine. Its requests and its replies are one socket to the coordinator."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from typing import IO, cast

from gym_core.spi import leave, print_plainly, run_loop, when_let_go
from gym_workers.frames import FrameReader
from gym_workers.worker import Worker


class _Connection(asyncio.Protocol):
    """The worker's end of the socket."""

    reader: FrameReader
    worker: Worker

    def __init__(self) -> None:
        self._lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass of it
        self._transport.set_write_buffer_limits(1 << 22)

    def send(self, data: bytes) -> None:
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        self.reader.feed(data)

    def pause_writing(self) -> None:
        self.worker.pause()

    def resume_writing(self) -> None:
        self.worker.proceed()

    def connection_lost(self, error: Exception | None) -> None:
        self._lost.set()
        self.worker.proceed()
        self.worker.close()

    async def flush(self) -> None:
        """Wait until all is sent, and close."""
        self._transport.close()
        await self._lost.wait()


async def _serve(channel: socket.socket, grace: float) -> None:
    connection = _Connection()
    worker = connection.worker = Worker(connection.send)
    connection.reader = FrameReader(worker.receive)
    loop = asyncio.get_running_loop()
    await loop.create_unix_connection(lambda: connection, sock=channel)
    # seen by a thread even while a function holds the event loop
    when_let_go(channel.fileno(), grace, lambda: loop.call_soon_threadsafe(worker.close))
    await worker.ended.wait()
    await connection.flush()


def work(requests: IO[bytes], replies: IO[bytes], grace: float) -> None:
    """Serve until the coordinator has had enough, or has gone; sessions have `grace` seconds for closing then."""
    signal.signal(signal.SIGTERM, lambda *_: None)  # the coordinator's business; programs started here get it
    replies.close()
    channel = socket.socket(fileno=os.dup(requests.fileno()))
    requests.close()
    channel.setblocking(False)
    print_plainly()
    run_loop(_serve(channel, grace))
    leave(0)
