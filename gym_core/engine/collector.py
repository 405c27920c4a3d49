"""Many rollouts: each ends as one line on disk, and nothing stops the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from gym_core.domain.blame import described
from gym_core.domain.errors import BudgetExceeded, ModelError
from gym_core.domain.json_text import JsonError
from gym_core.domain.responses import BUDGET
from gym_core.domain.rollout import Rollout
from gym_core.engine.early_stop import Absence, Suspicion
from gym_core.engine.executors.interface import CANCELLED, RolloutExecutor
from gym_core.engine.metrics.progress import Progress
from gym_core.engine.observers.extensions import Room
from gym_core.engine.plan import Job, Plan
from gym_core.engine.rollout.row import unwritable

FINISH_AT = "finish_at"
"""The stop reason of a rollout that was let go."""


class Collector:
    """Has the jobs of a plan carried out.

    `write` puts a rollout on disk; when it returned, the rollout is counted and announced. While `room` is not set
    nothing new is started. `finish_at`: with this share of all rollouts finished and no job left, the others are let
    go. `stop` ends the run early.
    """

    def __init__(
        self,
        executor: RolloutExecutor[Job],
        plan: Plan,
        progress: Progress,
        *,
        write: Callable[[Rollout], None],
        announce: Callable[[Rollout], None] = lambda rollout: None,
        room: Room | None = None,
        finish_at: float | None = None,
    ) -> None:
        self._executor = executor
        self._plan = plan
        self._progress = progress
        self._write = write
        self._announce = announce
        self._room = room
        self._finish_at = finish_at
        self._exhausted = False
        self._letting_go = False
        self._suspicion = Suspicion()
        self._absence = Absence()
        self._stopping = False
        self._draining = False
        self.reason = ""
        self.error: BaseException | None = None

    async def run(self) -> None:
        """Run until all jobs are done or `stop` was called. What stopped it is in `error` then."""
        try:
            async with aclosing(self._jobs()) as jobs:
                async for finished in self._executor.run(jobs):
                    self._progress.in_flight -= 1
                    self._keep(finished.rollout, finished.cause)
        except asyncio.CancelledError:
            self.stop(CANCELLED)
            raise
        except Exception as error:
            self._broken(error)
        finally:
            self._progress.in_flight = 0  # what was never begun is over, too
            for evidence in (self._suspicion, self._absence):
                self._release(evidence)

    def stop(self, reason: str, error: BaseException | None = None, *, drain: bool = False) -> None:
        """Start nothing more and end what is under way; every open rollout is recorded as cancelled.

        `drain`: open rollouts may go on to their end; another stop ends them, too.
        """
        if self._stopping and (drain or not self._draining):
            return
        if not self._stopping or error is not None:
            self.reason = reason
            self.error = error
        self._stopping, self._draining = True, drain
        spent = isinstance(self.error, BudgetExceeded)
        self._executor.end(self.reason or CANCELLED, BUDGET if spent else None, drain=drain)

    def fail(self, error: BaseException) -> None:
        """Note what went wrong after the last rollout; an earlier error stands."""
        self.stop(str(error), error)
        if self.error is None:
            self.error = error

    @property
    def stopped(self) -> bool:
        """Whether the run was ended early."""
        return self._stopping

    async def _jobs(self) -> AsyncGenerator[Job, None]:
        """The jobs of the plan, each as soon as there is room for it."""
        while True:
            if self._room is not None and not self._room.is_set():
                await self._room.wait()
            try:
                job = await self._plan.take()
            except Exception as error:
                self._broken(error)
                return
            if job is None:
                break
            self._progress.in_flight += 1
            yield job
        self._exhausted = True
        self._let_go()

    def _keep(self, rollout: Rollout, cause: BaseException | None) -> None:
        try:
            self._finished(rollout, cause)
        except Exception as error:  # its row could not be written
            self._broken(error)

    def _finished(self, rollout: Rollout, cause: BaseException | None) -> None:
        """Keep a rollout, and see whether what failed it stops the run."""
        if isinstance(cause, ModelError):
            if self._suspicion.hold(rollout, cause):
                self._conclude(self._suspicion)
                return
            if cause.fatal:
                self._finish(rollout)
                # What needs no further call has been paid for: it may end.
                self.stop(cause.message, cause, drain=isinstance(cause, BudgetExceeded))
                return
            rollout = self._suspicion.corrected(rollout, cause)
        elif self._absence.hold(rollout, cause):
            self._conclude(self._absence)
            return
        elif rollout.reward is not None:
            self._release(self._suspicion)
        if self._absence.held and self._absence.disproved(rollout, cause):
            self._release(self._absence)
        self._finish(rollout)

    def _broken(self, error: BaseException) -> None:
        """Stop for an error that is no rollout's own."""
        self.stop(described(error), error)

    def _conclude(self, evidence: Suspicion | Absence) -> None:
        """Stop the run once the failures that are held back are enough to."""
        stop = evidence.convinced
        if stop is not None:
            self._release(evidence, as_cancelled=True)
            self.stop(stop.message, stop)

    def _release(self, evidence: Suspicion | Absence, *, as_cancelled: bool = False) -> None:
        for held in evidence.release(as_cancelled=as_cancelled):
            self._finish(held)

    def _finish(self, rollout: Rollout) -> None:
        try:
            self._write(rollout)
        except JsonError as error:  # something in it is no JSON: that is this rollout's failure and nobody else's
            rollout = unwritable(rollout, error)
            self._write(rollout)
        self._progress.add(rollout)
        self._announce(rollout)
        if self._exhausted:
            self._let_go()

    def _let_go(self) -> None:
        """Cancel the stragglers, once there are few enough of them and nothing else is to do."""
        finished, left = self._progress.finished, self._progress.in_flight
        if self._finish_at is None or self._letting_go or self._stopping or not left:
            return
        if finished >= self._finish_at * (finished + left + self._suspicion.held + self._absence.held):
            self._letting_go = True
            self._executor.let_go(f"{self._finish_at:.0%} of the rollouts had finished (--finish-at)", FINISH_AT)
