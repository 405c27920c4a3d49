"""A worker as an asynchronous actor of Ray. Ray imports this module where it places the worker."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

from gym_workers import FrameReader, Worker

UNREAD_BYTES = 1 << 22
"""So much may wait to be fetched before the worker starts nothing new."""


class RayWorker:
    """The actor. Frames come in through `receive`; those that go out are what `frames` yields."""

    def __init__(self) -> None:
        self._worker: Worker | None = None
        self._reader: FrameReader
        self._expected = 0
        self._early: dict[int, bytes] = {}
        self._unread: list[bytes] = []
        self._size = 0
        self._there: asyncio.Event

    async def frames(self) -> AsyncIterator[bytes]:
        """Everything that the worker sends, in order, until it has ended."""
        self._there = asyncio.Event()
        worker = self._worker = Worker(self._send)
        self._reader = FrameReader(worker.receive)
        ended = asyncio.create_task(worker.ended.wait())
        ended.add_done_callback(lambda _: self._there.set())
        self._feed()
        while not ended.done() or self._unread:
            await self._there.wait()
            self._there.clear()
            if self._unread:
                unread, self._unread, self._size = self._unread, [], 0
                worker.proceed()
                yield b"".join(unread)

    async def receive(self, number: int, data: bytes) -> None:
        """Take what the coordinator sends. Calls may overtake each other; `number` says in which order they belong."""
        self._early[number] = data
        self._feed()

    async def process(self) -> int:
        """Which process this is."""
        return os.getpid()

    def _feed(self) -> None:
        while self._worker is not None and (data := self._early.pop(self._expected, None)) is not None:
            self._expected += 1
            self._reader.feed(data)

    def _send(self, frame: bytes) -> None:
        self._unread.append(frame)
        self._size += len(frame)
        if self._size > UNREAD_BYTES and self._worker is not None:
            self._worker.pause()
        self._there.set()
