"""Which rollouts a run consists of, in order: every task `repeats` times, without those that are done."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from dataclasses import dataclass

from gym_core.domain.blame import blaming
from gym_core.domain.task import Task
from gym_core.engine.tasks.prefetch import Prefetch
from gym_core.engine.tasks.source import FileSource, IterableSource

PASSED_AT_ONCE = 200
"""How many finished rollouts are passed over before others may go on."""
STREAMED_AHEAD = 200
"""How many rows of standard input wait to be taken."""


@dataclass(frozen=True, slots=True)
class Job:
    """One rollout to run. `attempt`: 1, or more where earlier attempts failed."""

    task: Task
    repeat: int
    attempt: int


class Plan:
    """Jobs, handed out one at a time. Repeats of a task follow each other.

    `attempts(task_id, repeat)`: the number of the next attempt, or 0 for a rollout that is not to run. What may have to
    be waited for, or passed over for long, is read in a thread, a little ahead.
    """

    def __init__(
        self,
        source: FileSource | IterableSource,
        *,
        repeats: int,
        limit: int | None,
        attempts: Callable[[str, int], int] | None = None,
    ) -> None:
        self._batches: AsyncIterator[list[Task]]
        self._source_name = source.info.name
        self._prefetch: Prefetch[list[Task]] | None = None
        if isinstance(source, FileSource) and source.checked and attempts is None:
            self._batches = _inline(source.batches(limit))
        elif isinstance(source, FileSource):
            ahead = STREAMED_AHEAD if source.streamed else 2
            self._batches = self._prefetch = Prefetch(source.batches(limit), ahead)
        else:
            self._batches = source.batches(limit)
        self._over = limit == 0
        self._repeats = repeats
        self._attempts = attempts
        self._ready: deque[Task] = deque()
        self._task: Task | None = None
        self._repeat = 0
        self._lock = asyncio.Lock()

    async def take(self) -> Job | None:
        """The next job, None after the last. Raises what the source of tasks raises."""
        passed = 0
        while True:
            task = self._task
            if task is None:
                if self._ready:
                    self._task, self._repeat = self._ready.popleft(), 0
                elif not await self._refill() and self._task is None:
                    return None  # else somebody else has begun the last one meanwhile
                continue
            repeat = self._repeat
            self._repeat += 1
            if self._repeat >= self._repeats:
                self._task = None
            attempt = 1 if self._attempts is None else self._attempts(task.task_id, repeat)
            if attempt:
                return Job(task, repeat, attempt)
            passed += 1
            if passed % PASSED_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _refill(self) -> bool:
        """Have a task ready that nobody has taken; False when there are no more."""
        async with self._lock:  # an asynchronous iterator can only be asked by one at a time
            if not self._ready and not self._over:
                with blaming(self._source_name, "its tasks cannot be listed"):
                    try:
                        self._ready.extend(await anext(self._batches))
                    except StopAsyncIteration:
                        self._over = True
        return bool(self._ready)

    def close(self) -> None:
        """Stop reading."""
        if self._prefetch is not None:
            self._prefetch.close()


async def _inline(batches: Iterable[list[Task]]) -> AsyncGenerator[list[Task], None]:
    """The tasks of a file that was looked through just now: a thread would cost more than reading them again."""
    for batch in batches:
        yield batch
