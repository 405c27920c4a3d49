"""What workers died with: which rollouts start again, which of them are to blame, and when enough is enough."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from gym_core import JsonError, Rollout, Status
from gym_core.errors import RunStopped
from gym_core.spi import Failure, Job, RolloutRun, error_json, unwritable
from gym_workers.worker_handle import Entry

DEATHS_PER_ROLLOUT = 3
"""So many workers may die with a rollout, the last one with it alone; then it is a failure."""
DEATHS_AT_LEAST = 8
DEATHS_PER_WORKER = 4
FINISHED_PER_DEATH = 20
"""A run stands one death per this many finished rollouts, and at least the sum of the two above."""
FAILED_STARTS = 2
"""As many deaths more than there are workers, all before they were ready, mean that none will be."""


class WorkerDied(RunStopped):
    """Worker processes died, or one rollout ended several of them."""


class WorkerFailures:
    """Keeps the rollouts that workers died with. `begin` makes the rollout of a job, for its row."""

    def __init__(self, begin: Callable[[Job], RolloutRun]) -> None:
        self._begin = begin
        self._again: deque[Entry] = deque()
        self._suspects: deque[Entry] = deque()
        self._failed_starts = 0
        self.deaths = 0
        self.finished = 0

    @property
    def waiting(self) -> int:
        """How many wait to be started again."""
        return len(self._again) + len(self._suspects)

    @property
    def suspects(self) -> int:
        """How many wait to be tried alone."""
        return len(self._suspects)

    def started(self) -> None:
        """A worker is ready: others can be."""
        self._failed_starts = 0

    def died(self, name: str, how: str, *, ready: bool, workers: int) -> RunStopped | None:
        """A worker died; returns what to stop the run with, if that is too many."""
        self.deaths += 1
        self._failed_starts += not ready
        if self._failed_starts >= FAILED_STARTS + workers:
            return WorkerDied(f"{self._failed_starts} workers died while they started, the last one, {name}: {how}")
        bound = DEATHS_AT_LEAST + DEATHS_PER_WORKER * workers + self.finished // FINISHED_PER_DEATH
        if self.deaths > bound:
            return WorkerDied(
                f"{self.deaths} workers have died, the last one, {name}: {how}",
                hint="look for what ends them (memory, a crash in native code), then `--resume`",
            )
        return None

    def add(self, entry: Entry) -> bool:
        """Keep a rollout to be started again; True if it has ended enough workers and is a failure."""
        entry.deaths += 1
        if entry.deaths >= DEATHS_PER_ROLLOUT:
            return True
        (self._suspects if entry.deaths == DEATHS_PER_ROLLOUT - 1 else self._again).append(entry)
        return False

    def put_back(self, entry: Entry) -> None:
        """Keep a rollout that nobody could take just now."""
        self._again.appendleft(entry)

    def next(self) -> Entry | None:
        """One to start again."""
        return self._again.popleft() if self._again else None

    def next_suspect(self) -> Entry | None:
        """One to try alone."""
        return self._suspects.popleft() if self._suspects else None

    def give_up(self) -> list[Entry]:
        """All that wait; they wait no longer."""
        entries = [*self._again, *self._suspects]
        self._again.clear()
        self._suspects.clear()
        return entries

    def cancelled(self, entry: Entry, reason: str, stop_reason: str | None) -> Rollout:
        """The row of a rollout that will not be started again."""
        return self._begin(entry.job).cancelled(reason, stop_reason)

    def killer(self, entry: Entry) -> Rollout:
        """The row of a rollout that has ended enough workers."""
        error = WorkerDied(f"{entry.deaths} workers died while they ran it, the last one with it alone")
        failure = Failure(Status.ENV_ERROR, error_json(error, "worker", retryable=True), cause=error)
        return self._begin(entry.job).failed(failure)

    def unwritable(self, entry: Entry, error: JsonError) -> Rollout:
        """The row of a rollout whose task is no JSON, so that it cannot be sent."""
        return unwritable(self._begin(entry.job).cancelled("it could not be sent to a worker"), error)
