"""Rollouts on demand, so many at a time; what is asked for together stands in line together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from gym_core.domain.abandoned import end
from gym_core.domain.errors import UsageError
from gym_core.domain.group import Group
from gym_core.domain.rollout import Rollout
from gym_core.engine.rollout.group import cancelled_group, is_scored, stage_group
from gym_core.engine.rollout.rollout_run import RolloutRun
from gym_core.engine.rollout.stage import Stage
from gym_core.engine.staging import beginning

AT_ONCE = 16
"""Begun in one turn of the event loop: thousands that begin together stay in step, and leave each other no cache."""
CALLER_CANCELLED = "whoever asked for it was cancelled"


Ended: TypeAlias = Callable[[RolloutRun, Rollout], None]


def _nobody(run: RolloutRun, rollout: Rollout) -> None:
    """Hears of a rollout."""


class Batch:
    """Rollouts that were asked for together, in order. `ended` hears of each of them that has ended.

    `epoch`: that of `Rollouts` when the first of them began, None before. `error`: the first that `ended` has raised,
    or that kept a rollout from being carried out.
    """

    __slots__ = ("_done", "_ended", "_rollouts", "_runs", "epoch", "error", "open", "waiting")

    def __init__(self, runs: Sequence[RolloutRun], ended: Ended) -> None:
        self._runs = runs
        self._rollouts: dict[RolloutRun, Rollout] = {}
        self._done: asyncio.Future[None] | None = None
        self._ended = ended
        self.waiting = deque(runs)
        self.open: set[RolloutRun] = set()
        self.epoch: int | None = None
        self.error: BaseException | None = None

    @property
    def over(self) -> bool:
        """Whether all of them have ended."""
        return not self.waiting and not self.open

    @property
    def rollouts(self) -> list[Rollout]:
        """All of them, once they are over."""
        return [self._rollouts[run] for run in self._runs]

    def note(self, run: RolloutRun, rollout: Rollout, error: BaseException | None = None) -> None:
        """One has ended. `error`: a defect that kept it from being carried out."""
        try:
            self._ended(run, rollout)
        except Exception as raised:
            error = raised
        self.error = self.error or error
        self._rollouts[run] = rollout
        if self._done is not None and self.over and not self._done.done():
            self._done.set_result(None)

    async def wait(self) -> None:
        """Wait until all of them have ended."""
        if not self.over:
            self._done = asyncio.get_running_loop().create_future()
            await self._done


class Rollouts:
    """Runs rollouts on a stage, `concurrency` at a time; the others wait in line.

    `epoch`: a number that says since when a batch has been under way; who counts it up is others' business.
    """

    def __init__(self, stage: Stage, *, concurrency: int) -> None:
        self.stage = stage
        self.begin = beginning(stage)
        """What makes the rollout of a job."""
        self.epoch = 0
        self.batches: set[Batch] = set()
        """Those that are not over."""
        self._free = concurrency
        self._turn = AT_ONCE
        self._line: deque[Batch] = deque()
        self._scoring: set[asyncio.Future[Group]] = set()
        self.closed = ""
        """Why nothing is carried out any more; empty while it is open."""
        self._idle: asyncio.Future[None] | None = None
        self._closing: set[asyncio.Future[Any]] = set()
        self.running = 0
        """How many run now."""
        self.waiting = 0
        """How many wait for their turn."""

    @property
    def full(self) -> bool:
        """Whether one more would have to wait."""
        return not self._free

    async def carry_out(self, runs: Sequence[RolloutRun], ended: Ended = _nobody) -> list[Rollout]:
        """Carry rollouts out, which begin in order, each in its turn; returns them in order, failures among them.

        Cancelling it ends them, and waits for that. Raises what `ended` raises, once all of them have ended, and
        `UsageError` after `close`.
        """
        if self.closed:
            raise UsageError("the gym is closed", hint="ask for rollouts within its `async with` block")
        batch = Batch(runs, ended)
        self.batches.add(batch)
        self.waiting += len(runs)
        self._line.append(batch)
        self._next()
        try:
            await batch.wait()
        except asyncio.CancelledError:
            self.end(batch, CALLER_CANCELLED)
            await batch.wait()
            raise
        finally:
            self.batches.discard(batch)
        if batch.error is not None:
            raise batch.error
        return batch.rollouts

    def end(self, batch: Batch, reason: str, stop_reason: str | None = None) -> int:
        """End what is left of a batch, in a moment; returns how many those were.

        Their rows are those of cancelled rollouts, with the reason and the stop reason.
        """
        ended = len(batch.waiting) + len(batch.open)
        self.waiting -= len(batch.waiting)
        while batch.waiting:
            run = batch.waiting.popleft()
            batch.note(run, run.cancelled(reason, stop_reason))
        for run in [*batch.open]:
            run.end(reason, stop_reason)
        return ended

    async def score(self, rollouts: Sequence[Rollout]) -> Group:
        """Rollouts of one task, in order, as a group: see `score_group`.

        Scoring that `close` has ended, or that comes after it, is the group's error.
        """
        task_id = rollouts[0].task_id
        if self.closed and is_scored(self.stage.server, rollouts):
            return cancelled_group(task_id, rollouts, self.closed)
        scoring = asyncio.ensure_future(stage_group(self.stage, task_id, rollouts))
        self._scoring.add(scoring)
        scoring.add_done_callback(self._scoring.discard)
        try:
            return await scoring
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self.closed or (task is not None and task.cancelling()):
                raise
            return cancelled_group(task_id, rollouts, self.closed)

    async def close(self, reason: str) -> None:
        """End everything, and wait for it; nothing is carried out any more."""
        self.closed = reason
        for batch in [*self.batches]:
            self.end(batch, reason)
        if self._scoring:
            await end(self._scoring, "the scoring of a group")
        if self.running:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle
        if self._closing:  # each within its own bound
            await asyncio.wait(self._closing)

    def _next(self) -> None:
        """Begin what there is room for, and at most `AT_ONCE` in one turn of the event loop."""
        line = self._line
        while self._free and line and self._turn:
            batch = line[0]
            if not batch.waiting:
                line.popleft()
                continue
            run = batch.waiting.popleft()
            self._free -= 1
            self._turn -= 1
            if not self._turn:
                asyncio.get_running_loop().call_soon(self._next_turn)
            self.waiting -= 1
            self.running += 1
            if batch.epoch is None:
                batch.epoch = self.epoch
            batch.open.add(run)
            run.start(partial(self._ended, batch))

    def _next_turn(self) -> None:
        self._turn = AT_ONCE
        self._next()

    def _ended(self, batch: Batch, run: RolloutRun) -> None:
        self._free += 1
        self.running -= 1
        closing = run.closing
        if closing is not None:
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        batch.open.discard(run)
        batch.note(run, run.rollout, run.error)
        if self._line:
            self._next()
        if self._idle is not None and not self.running and not self._idle.done():
            self._idle.set_result(None)
