"""Steering a run that is going on, from another thread: what extensions are given that ask for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from gym_core.domain.errors import RunStopped, UsageError
from gym_core.engine.open_files import allow_open_files

if TYPE_CHECKING:
    from gym_core.engine.run.run import Run

Result = TypeVar("Result")

PATIENCE = 5.0
"""Seconds in which the event loop has to answer."""
SHOWN = 100
"""So many of the rollouts under way are named."""


class Control:
    """A run that is going on, see `RunControl`. To be made in the event loop. `unpaused` is set while it may begin."""

    def __init__(self, run: Run[Any]) -> None:
        self.unpaused = asyncio.Event()
        self.unpaused.set()
        self._run = run
        self._executor = run.executor
        self._loop = asyncio.get_running_loop()

    def state(self) -> Mapping[str, Any]:
        """How the run is doing."""
        return self._ask(self._state)

    def pause(self) -> None:
        """Start no new rollouts."""

        def pause() -> None:
            self.unpaused.clear()
            self._executor.pause(True)

        self._ask(pause)

    def resume(self) -> None:
        """Start new rollouts again."""

        def resume() -> None:
            self._executor.pause(False)
            self.unpaused.set()

        self._ask(resume)

    def cancel(self, task_id: str, repeat: int | None = None) -> int:
        """End the rollouts of a task that are under way."""
        return self._ask(lambda: self._executor.cancel(task_id, repeat, "the rollout was cancelled by hand"))

    def set_concurrency(self, concurrency: int) -> str | None:
        """Have as many rollouts under way from now on."""

        def change() -> str | None:
            if concurrency < 1:
                raise UsageError(f"a concurrency of {concurrency}: at least one rollout is under way at once")
            self._executor.set_concurrency(concurrency)
            return allow_open_files(concurrency)

        return self._ask(change)

    def stop(self, reason: str) -> None:
        """End the run."""
        self._ask(lambda: self._run.stop(reason, RunStopped(reason)))

    def _state(self) -> Mapping[str, Any]:
        run, executor, record = self._run, self._executor, self._run.record
        progress = run.progress
        state: Mapping[str, Any] = record.masked(
            {
                "run_id": record.manifest.run_id,
                "output": record.output,
                "state": "running" if self.unpaused.is_set() else "paused",
                "concurrency": executor.concurrency,
                "rollouts": {
                    "total": progress.total,
                    "done": progress.done,
                    "failed": progress.failed,
                    "in_flight": progress.in_flight,
                },
                "reward": progress.rewards.running_mean,
                "tokens": progress.usage.total_tokens,
                "cost": progress.cost,
                "seconds": round(progress.seconds, 3),
                "waiting": run.waiting(),
                "under_way": [
                    {"task_id": task_id, "repeat": repeat} for task_id, repeat in islice(executor.under_way(), SHOWN)
                ],
            }
        )
        return state

    def _ask(self, act: Callable[[], Result]) -> Result:
        """Have it done by the event loop, and wait. Raises what it raises, and `UsageError`."""
        answer: Future[Result] = Future()

        def carry_out() -> None:
            if not answer.set_running_or_notify_cancel():
                return  # nobody waits any more
            try:
                if self._run.over:
                    raise UsageError("the run has ended")
                answer.set_result(act())
            except Exception as error:
                answer.set_exception(error)

        try:
            self._loop.call_soon_threadsafe(carry_out)
        except RuntimeError:  # the loop is closed
            raise UsageError("the run has ended") from None
        try:
            return answer.result(PATIENCE)
        except TimeoutError:
            answer.cancel()
            raise UsageError(f"the run has not answered in {PATIENCE:g} s: a function holds its event loop") from None
