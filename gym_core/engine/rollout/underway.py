"""A rollout under way: it ends when it is to, whether or not the code that works on it does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gym_core.domain.rollout import Rollout
from gym_core.engine.bounds.deadlines import DeadlineExceeded
from gym_core.engine.rollout.rollout_run import RolloutRun

CANCELLED = "the run was cancelled"
"""What rows say of rollouts that were ended for no other reason."""


class Underway:
    """A rollout in a task of its own. To be made in the event loop.

    `ended` is called with it once, when it has ended; `rollout` is there by then. `error`: a defect that kept it from
    being carried out. `given_up`: whether its task goes on all the same, and `closing` the closing of its session
    then, which may take longer.
    """

    __slots__ = ("_ended", "_reason", "_stop_reason", "_task", "closing", "error", "given_up", "rollout", "run")

    rollout: Rollout

    def __init__(self, run: RolloutRun, ended: Callable[[Underway], None]) -> None:
        self.run = run
        self.error: BaseException | None = None
        self.given_up = False
        self.closing: asyncio.Future[object] | None = None
        self._ended: Callable[[Underway], None] | None = ended
        self._reason = CANCELLED
        self._stop_reason: str | None = None
        run.given_up = self._give_up
        self._task = asyncio.get_running_loop().create_task(self._carry_out())

    def end(self, reason: str = CANCELLED, stop_reason: str | None = None) -> None:
        """Cancel it. It may take a moment, until `ended` is called; `reason` and `stop_reason` stand in its row."""
        self._reason, self._stop_reason = reason, stop_reason
        if not self.run.end():  # its task has not begun, and never will
            self._task.cancel()
            self._report(self._cancelled())

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._ended is None

    async def _carry_out(self) -> None:
        try:
            rollout = await self.run.run()
        except BaseException as error:  # somebody asked for the end; all else is in the row
            if isinstance(error, Exception):
                self.error = error
            self._report(self._cancelled())
            if not isinstance(error, Exception):
                raise
        else:
            self._report(rollout)

    def _give_up(self, run: RolloutRun, exceeded: DeadlineExceeded | None) -> None:
        """It ignores that it was cancelled: it is over, whatever its task does."""
        rollout = run.abandon(exceeded, self._reason, self._stop_reason)
        self.given_up, self.closing = True, run.closing
        self._report(rollout)

    def _cancelled(self) -> Rollout:
        return self.run.cancelled(self._reason, self._stop_reason)

    def _report(self, rollout: Rollout) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:  # else it was given up, and has ended after all
            self.run.given_up = None  # they hold each other
            self.rollout = rollout
            ended(self)


async def carry_out(run: RolloutRun) -> Rollout:
    """A rollout in a task of its own. It ends when it is to, whether or not the code that works on it does.

    Raises nothing but a cancellation from outside.
    """
    loop = asyncio.get_running_loop()
    waiting = loop.create_future()  # of its own: what is awaited is cancelled with who awaits it

    def end(underway: Underway) -> None:
        if not waiting.done():
            waiting.set_result(None)

    underway = Underway(run, end)
    try:
        await waiting
    except asyncio.CancelledError:
        waiting = loop.create_future()
        if not underway.over:
            underway.end()
        if not underway.over:
            await waiting
        raise
    if underway.error is not None:
        raise underway.error
    return underway.rollout
