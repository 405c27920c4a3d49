"""Rollouts in this process, each in a task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, Generic

from gym_core.domain.blame import described
from gym_core.domain.rollout import Rollout
from gym_core.engine.bounds.deadlines import DeadlineExceeded
from gym_core.engine.executors.interface import CANCELLED, Finished, JobT
from gym_core.engine.executors.results import Results
from gym_core.engine.rollout.failure import Failure
from gym_core.engine.rollout.rollout_run import RolloutRun

AT_ONCE = 16
"""Begun in one turn of the event loop: thousands would hold it, and have their sessions before any of them is done."""


class InlineExecutor(Generic[JobT]):
    """Runs `concurrency` rollouts at once in the running event loop. `begin` makes the rollout of a job."""

    def __init__(self, begin: Callable[[JobT], RolloutRun], *, concurrency: int) -> None:
        self._begin = begin
        self._slots = concurrency
        """How many more may be under way."""
        self._room: asyncio.Future[None] | None = None
        """Done when there is a slot again, where one is waited for."""
        self._open: dict[RolloutRun, tuple[JobT, asyncio.Task[None]]] = {}
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
            async for finished in self._results.read(lambda: self.end(CANCELLED)):
                yield finished
                self._slots += 1
                if self._room is not None and not self._room.done():
                    self._room.set_result(None)
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

    def health(self) -> dict[str, Any]:
        """There are no other workers."""
        return {}

    async def _feed(self, jobs: AsyncIterator[JobT]) -> None:
        loop, begun = asyncio.get_running_loop(), 0
        async for job in jobs:
            run = self._begin(job)
            run.given_up = self._give_up
            self._open[run] = job, loop.create_task(self._carry_out(run))
            self._slots -= 1
            begun += 1
            if not self._slots:
                self._room = loop.create_future()
                await self._room
            elif begun % AT_ONCE == 0:
                await asyncio.sleep(0)

    def _fed(self, feeding: asyncio.Task[None]) -> None:
        error = None if feeding.cancelled() else feeding.exception()
        if error is not None:
            self._break(error)
        self._look()

    async def _carry_out(self, run: RolloutRun) -> None:
        try:
            rollout = await run.run()
        except BaseException as error:  # somebody asked for the end; all else is in the row
            self._report(run, run.cancelled(*self._ending))
            if not isinstance(error, Exception):
                raise
            self._break(error)
        else:
            self._report(run, rollout, run.failure)

    def _give_up(self, run: RolloutRun, exceeded: DeadlineExceeded | None) -> None:
        """A rollout ignores that it was cancelled: it is over, whatever its task does."""
        rollout = run.abandon(exceeded, *self._ending)
        if run.closing is not None:
            self._closing.add(run.closing)
            run.closing.add_done_callback(self._closing.discard)
        self._report(run, rollout, run.failure)

    def _cancel(self) -> None:
        for run, (_, task) in [*self._open.items()]:
            if not run.end():  # its task has not begun, and never will
                task.cancel()
                self._report(run, run.cancelled(*self._ending))

    def _report(self, run: RolloutRun, rollout: Rollout, failure: Failure | None = None) -> None:
        opened = self._open.pop(run, None)
        if opened is not None:  # else it was given up, and has ended after all
            self._results.put(Finished(opened[0], rollout, failure.cause if failure is not None else None))
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
