"""A worker as a process of this machine: `worker_process.py CONTROL LIFELINE`, both numbers of open files.

CONTROL is a socket to the coordinator. The first thing it says is its `sys.path`, so that this file needs nothing but
the standard library until then. LIFELINE is a pipe that nobody writes to: it ends when the coordinator has gone, which
a thread sees even while a function holds the event loop.
"""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import signal
import socket
import struct
import sys
import threading
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from gym_core.engine.executors.frames import FrameReader
    from gym_core.engine.executors.worker import Worker

LENGTH = struct.Struct("<I")
GRACE = 3.0
"""Seconds that sessions have for closing once the coordinator has gone."""


def send_path(channel: socket.socket) -> None:
    """The coordinator's first words."""
    path = pickle.dumps([os.path.abspath(entry) for entry in sys.path])
    channel.sendall(LENGTH.pack(len(path)) + path)


def _receive_path(channel: socket.socket) -> list[str]:
    size = LENGTH.unpack(_exactly(channel, LENGTH.size))[0]
    path: list[str] = pickle.loads(_exactly(channel, size))
    return path


def _exactly(channel: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = channel.recv(size - len(data))
        if not part:
            os._exit(1)
        data += part
    return data


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


async def _serve(channel: socket.socket, lifeline: int) -> None:
    from gym_core.engine.executors.frames import FrameReader
    from gym_core.engine.executors.worker import Worker

    connection = _Connection()
    worker = connection.worker = Worker(connection.send)
    connection.reader = FrameReader(worker.receive)
    loop = asyncio.get_running_loop()
    await loop.create_unix_connection(lambda: connection, sock=channel)

    def watch() -> None:
        while os.read(lifeline, 1):
            pass
        if not loop.is_closed():
            loop.call_soon_threadsafe(worker.close)
        threading.Event().wait(GRACE)
        os._exit(1)

    threading.Thread(target=watch, name="gym-lifeline", daemon=True).start()
    await worker.ended.wait()
    await connection.flush()


def main() -> None:
    """Serve until the coordinator has had enough, or has gone."""
    control, lifeline = int(sys.argv[1]), int(sys.argv[2])
    for number in (control, lifeline):
        os.set_inheritable(number, False)
    for stop in (signal.SIGINT, signal.SIGTERM):  # they are the coordinator's business; programs started here get them
        signal.signal(stop, lambda *_: None)
    channel = socket.socket(fileno=control)
    sys.path[:] = _receive_path(channel)
    channel.setblocking(False)
    gc.set_threshold(50_000, 20, 50)
    from gym_core.engine.exit import leave
    from gym_core.engine.loops import run_loop
    from gym_core.engine.standard_streams import print_plainly

    print_plainly()
    run_loop(_serve(channel, lifeline))
    leave(0)


if __name__ == "__main__":
    main()
