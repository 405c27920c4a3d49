"""What starts the workers of a run: the executor that a user names. Who extends it says where a worker is started."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

from typing_extensions import TypeVar

from gym_core import ComponentContext, Options
from gym_core.spi import ExecutorProvider, Job, Opened, RolloutExecutor, Stage, beginning
from gym_workers.channel import Receive, WorkerChannel
from gym_workers.pool import PooledExecutor, tell
from gym_workers.settings import WorkerSettings
from gym_workers.shared_budget import SharedBudget
from gym_workers.shared_limits import SharedLimits
from gym_workers.worker_failures import WorkerFailures
from gym_workers.worker_reports import WorkerReports

OptionsT_co = TypeVar("OptionsT_co", bound=Options, covariant=True, default=Options)

CLOSE_SECONDS = 30.0
"""How long workers that were killed may take to be gone."""


class WorkerLauncher(ExecutorProvider[OptionsT_co]):
    """Starts the workers of a run.

    It restarts nothing by itself: what died is the pool's to judge. `inherits`: whether workers have this process's
    variables and import path, or are sent what they need. `flush_seconds`: how long results wait for others to share a
    frame: the longer, the more a frame costs.
    """

    inherits: ClassVar[bool] = False
    flush_seconds: ClassVar[float] = 0.05

    def __init__(self, options: OptionsT_co | None = None, context: ComponentContext | None = None) -> None:
        super().__init__(options, context)
        self._running: dict[WorkerChannel, asyncio.Future[None]] = {}

    async def executor(self, opened: Opened, stage: Stage) -> RolloutExecutor[Job]:
        """The rollouts of a run in workers of this launcher, and the account of them all here."""
        config, observers, budget = opened.config, opened.observers, opened.budget
        await self.prepare(config.execution.workers, opened.assembly.about.distributions)
        quotas = _quotas(config.execution.workers, config.execution.concurrency)
        settings = WorkerSettings.of(opened, stage.run_id, self.flush_seconds, inherits=self.inherits)
        settings.encode(1)  # what cannot be sent is found before anything starts
        return PooledExecutor(
            self.launch,
            quotas,
            settings.encode,
            failures=WorkerFailures(beginning(stage)),
            observers=WorkerReports(
                stage.gates, model_called=observers.model_called, tool_called=observers.tool_called
            ),
            shared_budget=SharedBudget(budget, tell, len(quotas)) if budget is not None else None,
            endpoints=SharedLimits(opened.limiters, tell),
            flush_seconds=self.flush_seconds,
            closing=stage.deadlines.close,
        )

    async def prepare(self, workers: int, distributions: Sequence[str]) -> None:
        """Get ready for so many workers, which need these distributions. Raises `UsageError` where that cannot be.

        Called once, after it was opened and before the first `launch`.
        """

    def launch(self, number: int, receive: Receive, gone: Callable[[str], None]) -> WorkerChannel:
        """Start a worker, as the pool does; what is left of them when the launcher is closed is ended then."""
        over = asyncio.get_running_loop().create_future()

        def left(how: str) -> None:
            over.set_result(None)
            gone(how)

        channel = self.start(number, receive, left)
        self._running[channel] = over
        over.add_done_callback(lambda _: self._running.pop(channel))
        return channel

    @abstractmethod
    def start(self, number: int, receive: Receive, gone: Callable[[str], None]) -> WorkerChannel:
        """Start a worker. `receive` is given its frames, `gone` is called once, with how it ended, after the last.

        Called in the event loop.
        """

    async def __aexit__(self, *error: object) -> None:
        """Kill what is left, and see it off."""
        left = dict(self._running)
        for channel in left:
            channel.kill()
        if left:
            await asyncio.wait(left.values(), timeout=CLOSE_SECONDS)


def _quotas(workers: int, concurrency: int) -> Sequence[int]:
    """How many rollouts each worker has at once; a worker that would have none is left out."""
    workers = min(workers, concurrency)
    least, more = divmod(concurrency, workers)
    return [least + (number < more) for number in range(workers)]
