"""Rollouts in this process: each worker is a task that takes one job after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from gym_core.engine.bounds.deadlines import DeadlineExceeded
from gym_core.engine.executors.interface import Host
from gym_core.engine.metrics.progress import Progress
from gym_core.engine.plan import Job
from gym_core.engine.rollout.episode import RolloutRun


class InlineExecutor:
    """Runs `concurrency` rollouts at once in the running event loop.

    `begin` makes the rollout of a job. `progress` is told how many are in flight.
    """

    def __init__(self, begin: Callable[[Job], RolloutRun], progress: Progress, *, concurrency: int) -> None:
        self._begin = begin
        self._progress = progress
        self._concurrency = concurrency
        self._host: Host
        self._workers: set[asyncio.Task[None]] = set()
        self._busy: dict[asyncio.Task[Any] | None, RolloutRun] = {}
        self._closing: set[asyncio.Future[Any]] = set()
        self._idle = asyncio.Event()
        self._over = False
        self._ending: tuple[str, str | None] = ("the run was cancelled", None)

    @property
    def busy(self) -> int:
        """Rollouts under way."""
        return len(self._busy)

    def start(self, host: Host) -> None:
        """Take jobs from now on."""
        self._host = host
        self._spawn()

    def end(self, reason: str, stop_reason: str | None = None, *, drain: bool = False) -> None:
        """Take nothing more; with `drain` what is under way may go on."""
        self._over = True
        self._ending = (reason, stop_reason)
        current = asyncio.current_task()
        for worker in self._workers:
            run = self._busy.get(worker)
            if worker is current or (drain and run is not None):
                continue
            if run is None or not run.end():
                worker.cancel()

    def let_go(self, reason: str, stop_reason: str) -> None:
        """Cancel what is under way."""
        self._ending = (reason, stop_reason)
        for run in self._busy.values():
            run.end()

    async def wait(self) -> None:
        """Wait until all is reported."""
        await self._idle.wait()
        if self._closing:  # each within its own bound
            await asyncio.wait(self._closing)

    def health(self) -> dict[str, Any]:
        """There are no other workers."""
        return {}

    def _spawn(self) -> None:
        worker = asyncio.create_task(self._work())
        self._workers.add(worker)
        worker.add_done_callback(self._left)

    def _left(self, worker: asyncio.Task[None]) -> None:
        if worker not in self._workers:  # it was given up, and has ended after all
            return
        self._workers.discard(worker)
        error = None if worker.cancelled() else worker.exception()
        if error is not None:
            self._host.broken(error)
        elif worker.cancelling() and not self._over:  # the code of a rollout has done that
            self._spawn()
        if not self._workers:
            self._idle.set()

    async def _work(self) -> None:
        """Take jobs until there are none. The first job of a worker makes room for the next worker."""
        first = True
        worker = asyncio.current_task()  # once: finding it asks the system
        assert worker is not None
        while not self._over:
            job = await self._host.take()
            if job is None:
                return
            if first:
                first = False
                if len(self._workers) < self._concurrency and not self._over:
                    self._spawn()
            await self._rollout(job, worker)
            if worker not in self._workers or worker.cancelling():
                return

    async def _rollout(self, job: Job, worker: asyncio.Task[Any]) -> None:
        run = self._begin(job)
        run.given_up = self._give_up
        self._busy[worker] = run
        self._progress.in_flight += 1
        try:
            rollout = await run.run()
        except BaseException:  # somebody asked for the end; all else is in the row
            if self._release(worker):
                self._host.finished(run.cancelled(*self._ending))
            raise
        if self._release(worker):
            self._host.finished(rollout, run.failure.cause if run.failure is not None else None)

    def _release(self, worker: asyncio.Task[Any] | None) -> bool:
        """Note that a worker's rollout is over; False where that is known, because it was given up."""
        if self._busy.pop(worker, None) is None:
            return False
        self._progress.in_flight -= 1
        return True

    def _give_up(self, run: RolloutRun, exceeded: DeadlineExceeded | None) -> None:
        """A rollout ignores that it was cancelled: report it without its worker, and let another take its place."""
        worker = run.worker
        if not self._release(worker):
            return
        rollout = run.abandon(exceeded, *self._ending)
        if run.closing is not None:
            self._closing.add(run.closing)
            run.closing.add_done_callback(self._closing.discard)
        try:
            self._host.finished(rollout, run.failure.cause if run.failure is not None else None)
        except Exception as error:
            self._host.broken(error)
        self._workers.discard(worker)
        if not self._over:
            self._spawn()
        elif not self._workers:
            self._idle.set()
