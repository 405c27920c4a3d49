"""The other end: `python -m gym_ssh.worker` reads frames from standard input and writes frames to standard output."""

from __future__ import annotations

import asyncio
import os
import sys

from gym_workers import FrameReader, Worker

CHUNK = 1 << 16


async def serve(channel: int) -> None:
    """Work until there is nothing left to do, or until the input ends. `channel`: where frames go, an open file."""
    loop = asyncio.get_running_loop()
    frames = os.fdopen(channel, "wb", buffering=0)
    worker = Worker(lambda frame: _write(frames.fileno(), frame))
    reader = FrameReader(worker.receive)
    stream = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), sys.stdin)

    async def read() -> None:
        while data := await stream.read(CHUNK):
            reader.feed(data)
        worker.close()

    reading = asyncio.create_task(read())
    await worker.ended.wait()
    reading.cancel()


def _write(channel: int, frame: bytes) -> None:
    # the pipe is read by a process that does little else: writing to it waits for nothing worth a thread
    rest = memoryview(frame)
    while rest:
        rest = rest[os.write(channel, rest) :]


def main() -> None:
    """Keep standard output for frames: whatever plugins print goes to standard error."""
    channel = os.dup(1)
    os.dup2(2, 1)
    asyncio.run(serve(channel))


if __name__ == "__main__":
    main()
