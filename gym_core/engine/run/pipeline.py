"""Source, executor, sink: jobs are carried out, and nothing that happens to one stops the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Generic, Protocol, TypeVar

from gym_core.contract.executor import Finished, JobT, RolloutExecutor
from gym_core.domain.blame import described
from gym_core.domain.errors import BudgetExceeded
from gym_core.domain.json_text import JsonError
from gym_core.domain.rollout import Rollout
from gym_core.domain.stop_reasons import BUDGET, FINISH_AT
from gym_core.engine.metrics.progress import Progress
from gym_core.engine.observers.extensions import Room
from gym_core.engine.rollout.rollout_run import CANCELLED
from gym_core.engine.rollout.row import unwritable
from gym_core.engine.run.early_stop import EarlyStop, Judge
from gym_core.engine.run.groups import Groups
from gym_core.engine.storage.encoded import FreshRollout, counted
from gym_core.engine.storage.store import ResultStore
from gym_core.engine.tasks.check import SourceInfo

NewJobT = TypeVar("NewJobT", covariant=True)


class Source(Protocol[NewJobT]):
    """Where the jobs of a run come from."""

    @property
    def info(self) -> SourceInfo:
        """What is known of the tasks."""
        ...

    @property
    def planned(self) -> int | None:
        """How many rollouts the run has, those among them that are done; None as long as that is not known."""
        ...

    @property
    def known(self) -> bool:
        """Whether there is no task left to be looked at."""
        ...

    def look_through(self) -> asyncio.Future[None] | None:
        """Look for what is wrong with the tasks while they run; None where all of them are known.

        Done once they are. Fails with `InputError`.
        """
        ...

    def jobs(self) -> AsyncGenerator[NewJobT, None]:
        """All jobs in order. Raises what is wrong with where they come from."""
        ...


class Pipeline(Generic[JobT]):
    """The jobs of a source, carried out by an executor, and put together in `groups`, where there are any.

    `finish_at`: with this share of all rollouts finished and no job left, the others are let go. `stop` ends the run
    early; why it ended is in `reason`, and what went wrong in `error`.
    """

    def __init__(
        self,
        source: Source[JobT],
        executor: RolloutExecutor[JobT],
        progress: Progress,
        *,
        groups: Groups | None = None,
        finish_at: float | None = None,
    ) -> None:
        self._source = source
        self._executor = executor
        self._progress = progress
        self._groups = groups
        self._finish_at = finish_at
        self._exhausted = False
        self._draining = False
        self.stopped = False
        self.reason = ""
        self.error: BaseException | None = None

    async def run(self, sink: Sink, room: Room | None = None) -> None:
        """Run until all jobs are done or `stop` was called. While `room` is not set nothing new is started."""
        try:
            async with aclosing(self._jobs(sink, room)) as jobs:
                async for finished in self._executor.run(jobs):
                    self._take(finished, sink)
        except Exception as error:
            self.stop(described(error), error)
        finally:
            self._progress.in_flight = 0  # what was handed over and never begun is over, too
            sink.close()

    def stop(self, reason: str, error: BaseException | None = None, *, drain: bool = False) -> None:
        """Start nothing more and end what is under way; every open rollout is recorded as cancelled, no group scored.

        `drain`: what is open may go on to its end; another stop ends it, too.
        """
        if self.stopped and (drain or not self._draining):
            return
        if not self.stopped or error is not None:
            self.reason = reason
            self.error = error
        self.stopped, self._draining = True, drain
        spent = isinstance(self.error, BudgetExceeded)
        self._executor.end(self.reason or CANCELLED, BUDGET if spent else None, drain=drain)
        if self._groups is not None and not drain:
            self._groups.end()

    def fail(self, error: BaseException) -> None:
        """Note what went wrong after the last rollout; an earlier error stands."""
        self.stop(str(error), error)
        if self.error is None:
            self.error = error

    async def _jobs(self, sink: Sink, room: Room | None) -> AsyncGenerator[JobT, None]:
        """The jobs of the source, each as soon as there is room for it."""
        async with aclosing(self._source.jobs()) as jobs:
            while True:
                if room is not None and not room.is_set():
                    await room.wait()
                try:
                    job = await anext(jobs)
                except StopAsyncIteration:
                    break
                except Exception as error:
                    self.stop(described(error), error)
                    return
                self._progress.in_flight += 1
                yield job
        self._exhausted = True
        self._let_go(sink)

    def _take(self, finished: Finished[JobT], sink: Sink) -> None:
        self._progress.in_flight -= 1
        try:
            early = sink.take(finished.rollout, finished.cause)
        except Exception as error:  # its row could not be written
            self.stop(described(error), error)
            return
        if early is not None:
            self.stop(early.error.message, early.error, drain=early.drain)
        if self._exhausted:
            self._let_go(sink)

    def _let_go(self, sink: Sink) -> None:
        """Cancel the stragglers, once there are few enough of them and nothing else is to do."""
        finished, left = self._progress.finished, self._progress.in_flight
        if self._finish_at is None or self.stopped or not left:
            return
        if finished >= self._finish_at * (finished + left + sink.held):
            share, self._finish_at = self._finish_at, None
            self._executor.let_go(f"{share:.0%} of the rollouts had finished (--finish-at)", FINISH_AT)


class Sink:
    """Puts rollouts on disk, where there is a `store`; only when one is there it is counted and announced."""

    def __init__(self, store: ResultStore | None, progress: Progress, announce: Callable[[Rollout], None]) -> None:
        self._store = store
        self._progress = progress
        self._announce = announce
        self._judge = Judge()

    @property
    def held(self) -> int:
        """How many failures are held back until it is clear what they mean."""
        return self._judge.held

    def take(self, rollout: Rollout, cause: BaseException | None) -> EarlyStop | None:
        """Keep a rollout; returns whether what failed it, `cause`, ends the run. Raises `StoreError`."""
        if self._store is not None and isinstance(rollout, FreshRollout):
            self._store.cite(rollout.cited)  # before any row that cites it, also where this one is held back
        if cause is None and self._judge.settled:
            self._keep(rollout)
            return None
        kept, stop = self._judge.judge(rollout, cause)
        for each in kept:
            self._keep(each)
        return stop

    def close(self) -> None:
        """Keep what was held back. Raises `StoreError`."""
        for rollout in self._judge.release():
            self._keep(rollout)

    def _keep(self, rollout: Rollout) -> None:
        if self._store is not None:
            try:
                self._store.write(rollout)
            except JsonError as error:  # something in it is no JSON: that is this rollout's failure and nobody else's
                rollout = unwritable(rollout, error)
                self._store.write(rollout)
        self._progress.add(counted(rollout))
        self._announce(rollout)
