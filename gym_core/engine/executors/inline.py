"""Rollouts in this process, each in a task of its own.

Every job that was begun comes back once, whoever ends it: cancelled rollouts have rows, too. A job that had not begun
when the end came has none, so that `--resume` runs it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Any, Generic

from gym_core.contract.executor import Finished, JobT
from gym_core.domain.blame import described
from gym_core.engine.rollout.rollout_run import CANCELLED, RolloutRun

AT_ONCE = 16
"""Begun in one turn of the event loop: thousands would hold it, and have their sessions before any of them is done."""


class InlineExecutor(Generic[JobT]):
    """Runs `concurrency` rollouts at once in the running event loop. `begin` makes the rollout of a job."""

    def __init__(self, begin: Callable[[JobT], RolloutRun], *, concurrency: int) -> None:
        self._begin = begin
        self.concurrency = concurrency
        self._slots = concurrency
        """How many more may be under way; below 0 where there were to be more when they began."""
        self._room: asyncio.Future[None] | None = None
        """Done when there is a slot again, where one is waited for."""
        self._open: dict[RolloutRun, JobT] = {}
        self._results: Results[JobT] = Results()
        self._feeding: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Future[Any]] = set()
        self._over = False
        self._ending: tuple[str, str | None] = (CANCELLED, None)
        self._error: BaseException | None = None

    async def run(self, jobs: AsyncIterator[JobT]) -> AsyncGenerator[Finished[JobT], None]:
        """Hand out what ends. A slot is free again once the reader has dealt with what came from it."""
        if self._over:
            return
        self._feeding = asyncio.create_task(self._feed(jobs))
        self._feeding.add_done_callback(self._fed)
        try:
            async for finished in self._results.read(self.end):
                yield finished
                self._slots += 1
                self._make_room()
        finally:
            if self._closing:  # each within its own bound
                await asyncio.wait(self._closing)
        if self._error is not None:
            raise self._error

    def end(self, reason: str, stop_reason: str | None = None, *, drain: bool = False) -> None:
        """Take nothing more; with `drain` what is under way may go on."""
        self._over = True
        if self._feeding is not None:
            self._feeding.cancel()
        self._ending = (reason, stop_reason)
        if not drain:
            self._cancel()

    def let_go(self, reason: str, stop_reason: str) -> None:
        """Cancel what is under way."""
        self._ending = (reason, stop_reason)
        self._cancel()

    def set_concurrency(self, concurrency: int) -> None:
        """Have as many under way from now on."""
        self._slots += concurrency - self.concurrency
        self.concurrency = concurrency
        self._make_room()

    def pause(self, paused: bool) -> None:
        """What is taken begins at once: who gives it out pauses."""

    def under_way(self) -> Iterator[tuple[str, int]]:
        """The task and the repeat of each rollout."""
        return ((run.task.task_id, run.repeat) for run in self._open)

    def cancel(self, task_id: str, repeat: int | None, reason: str) -> int:
        """Cancel the rollouts of a task."""
        runs = [run for run in self._open if run.task.task_id == task_id and repeat in (None, run.repeat)]
        for run in runs:
            run.end(reason)
        return len(runs)

    def health(self) -> dict[str, Any]:
        """There are no other workers."""
        return {}

    async def _feed(self, jobs: AsyncIterator[JobT]) -> None:
        loop, begun = asyncio.get_running_loop(), 0
        async for job in jobs:
            run = self._begin(job)
            self._open[run] = job
            run.start(self._ended)
            self._slots -= 1
            begun += 1
            if self._slots <= 0:
                while self._slots <= 0:
                    self._room = loop.create_future()
                    await self._room
            elif begun % AT_ONCE == 0:
                await asyncio.sleep(0)

    def _make_room(self) -> None:
        if self._slots > 0 and self._room is not None and not self._room.done():
            self._room.set_result(None)

    def _fed(self, feeding: asyncio.Task[None]) -> None:
        error = None if feeding.cancelled() else feeding.exception()
        if error is not None:
            self._break(error)
        self._look()

    def _cancel(self) -> None:
        for run in [*self._open]:
            run.end(*self._ending)

    def _ended(self, run: RolloutRun) -> None:
        closing = run.closing
        if closing is not None:
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        cause = run.failure.cause if run.failure is not None else None
        self._results.put(Finished(self._open.pop(run), run.rollout, cause))
        if run.error is not None:
            self._break(run.error)
        self._look()

    def _break(self, error: BaseException) -> None:
        """Nothing more can be carried out."""
        if self._error is None:
            self._error = error
            self.end(described(error))

    def _look(self) -> None:
        """Whether everything is done."""
        if not self._open and self._feeding is not None and self._feeding.done():
            self._results.close()


class Results(Generic[JobT]):
    """Finished rollouts on their way to whoever reads them: a queue with one reader and an end."""

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
