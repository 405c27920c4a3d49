"""Telling a slow answer from a server that answers nothing any more."""

from __future__ import annotations

import asyncio

from gym_http.protocol.client import Client
from gym_http.protocol.errors import RemoteError


class Pulse:
    """Ends requests that wait for a server that has stalled.

    A tool may take its time, and how much is the business of the run's deadlines. So while a request has been waiting
    for `seconds`, the server is asked for its health; any answer will do. When none comes within `seconds` either, all
    requests that wait since before it was asked end with `TimeoutError`.
    """

    def __init__(self, client: Client, seconds: float, path: str = "/health") -> None:
        self.seconds = seconds
        self._client = client
        self._path = path
        self._waiting: dict[asyncio.Timeout, float] = {}
        self._task: asyncio.Task[None] | None = None

    def watch(self, bound: asyncio.Timeout) -> None:
        """Look after a request that starts now; `bound` is what ends it."""
        self._waiting[bound] = asyncio.get_running_loop().time()
        if self._task is None:
            self._task = asyncio.create_task(self._look())

    def forget(self, bound: asyncio.Timeout) -> None:
        """The request has ended."""
        self._waiting.pop(bound, None)

    async def stop(self) -> None:
        """Look no longer."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                await asyncio.sleep(self.seconds)
                asked = loop.time()
                if any(since <= asked - self.seconds for since in self._waiting.values()) and not await self._alive():
                    for bound, since in list(self._waiting.items()):
                        if since <= asked:
                            self.forget(bound)
                            bound.reschedule(loop.time())
        finally:
            self._task = None

    async def _alive(self) -> bool:
        try:
            await self._client.get(self._path, timeout=self.seconds)
        except RemoteError:
            return False
        return True
