"""Finished rollouts on their way from those who carry them out to whoever reads them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Generic

from gym_core.contract.executor import Finished, JobT
from gym_core.engine.rollout.rollout_run import CANCELLED


class Results(Generic[JobT]):
    """A queue with one reader and an end."""

    def __init__(self) -> None:
        self._waiting: deque[Finished[JobT]] = deque()
        self._news: asyncio.Future[None] | None = None
        self._over = False

    def put(self, finished: Finished[JobT]) -> None:
        """Hand one out."""
        self._waiting.append(finished)
        if self._news is not None:
            self._tell(self._news)

    def close(self) -> None:
        """Nothing more comes."""
        self._over = True
        if self._news is not None:
            self._tell(self._news)

    def _tell(self, news: asyncio.Future[None]) -> None:
        self._news = None
        if not news.done():
            news.set_result(None)

    async def read(self, end: Callable[[str], None]) -> AsyncGenerator[Finished[JobT], None]:
        """All of them, as they come.

        A row is owed for each rollout under way, so a cancellation of the reader waits: `end` is called, with the
        reason, and what remains is handed out first. A second one is obeyed at once.
        """
        cancellation: asyncio.CancelledError | None = None
        loop = asyncio.get_running_loop()
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            if self._over:
                break
            self._news = loop.create_future()
            try:
                await self._news
            except asyncio.CancelledError as error:
                if cancellation is not None:
                    raise
                cancellation = error
                end(CANCELLED)
        if cancellation is not None:
            raise cancellation
