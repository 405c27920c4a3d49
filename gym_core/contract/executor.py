"""Executors: who carries the rollouts of a run out, in its own process or elsewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from gym_core.contract.component import Component, OptionsT_co
from gym_core.domain.rollout import Rollout

JobT = TypeVar("JobT")


@dataclass(slots=True)
class Finished(Generic[JobT]):
    """A rollout that has ended, and the job that it was. `cause`: what failed it, if anything did."""

    job: JobT
    rollout: Rollout
    cause: BaseException | None = None


class RolloutExecutor(Protocol[JobT]):
    """Carries jobs out, as many at once as it was made for: `async for finished in executor.run(jobs)`."""

    def run(self, jobs: AsyncIterator[JobT]) -> AsyncGenerator[Finished[JobT], None]:
        """Take jobs as there is room for them, and hand out what ends as it ends.

        Every job that was begun comes back once, also after `end` or `let_go`. So it is when whoever waits for the next
        is cancelled: everything is ended, comes back, and only then the cancellation goes on. Raises, after the last
        one, what kept it from carrying out more, such as an error of `jobs`.
        """
        ...

    def end(self, reason: str, stop_reason: str | None = None, *, drain: bool = False) -> None:
        """Take nothing more. Rollouts under way are cancelled; with `drain` they may go on.

        `reason` and `stop_reason` stand in the rows of those that are cancelled.
        """
        ...

    def let_go(self, reason: str, stop_reason: str) -> None:
        """There are no more jobs: cancel those rollouts that are not finished yet."""
        ...

    @property
    def concurrency(self) -> int:
        """How many rollouts are under way at once, where there are enough."""
        ...

    def set_concurrency(self, concurrency: int) -> None:
        """Have as many under way from now on. Raises `UsageError` for fewer than can be."""
        ...

    def pause(self, paused: bool) -> None:
        """Begin nothing, for as long as it is paused, of what was taken and has not begun."""
        ...

    def under_way(self) -> Iterator[tuple[str, int]]:
        """The task and the repeat of what was taken and has not ended, the oldest first."""
        ...

    def cancel(self, task_id: str, repeat: int | None, reason: str) -> int:
        """Cancel the rollouts of a task that were taken and have not ended; with `repeat` that one. How many it were.

        `reason` stands in their rows.
        """
        ...

    def health(self) -> dict[str, Any]:
        """What the summary says of workers elsewhere, under `workers`; empty where there are none."""
        ...


class ExecutorProvider(Component[OptionsT_co], ABC):
    """Has the rollouts of a run carried out elsewhere. `--executor NAME` takes one; its options are given with `-X`.

    It is opened after all else of the run, and closed before it.
    """

    @abstractmethod
    async def executor(self, opened: Any, stage: Any) -> RolloutExecutor[Any]:
        """What carries the rollouts of a run out, at most `execution.workers` processes of it.

        `opened`: what the run is made of, a `gym_core.spi.Opened`, of which the models are closed again. `stage`: what
        its rollouts share here, a `gym_core.spi.Stage`. The jobs are those of `gym_core.spi.Job`. Raises `UsageError`
        where that cannot be.
        """
