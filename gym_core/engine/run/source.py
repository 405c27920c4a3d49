"""Where the jobs of a run come from: every task `repeats` times, without those that are done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import Protocol, TypeVar

from gym_core.domain.blame import blaming
from gym_core.domain.errors import InputError
from gym_core.domain.task import Task
from gym_core.engine.storage.resume import Finished
from gym_core.engine.tasks.check import SourceInfo
from gym_core.engine.tasks.job import Job
from gym_core.engine.tasks.prefetch import Prefetch, inline
from gym_core.engine.tasks.read_source import ReadSource
from gym_core.engine.tasks.source import FileSource, IterableSource

PASSED_AT_ONCE = 200
"""How many finished rollouts are passed over before others may go on."""
STRETCH = 2_000
"""How many tasks from Python all run once before the first of them runs again."""
STREAMED_AHEAD = 200
"""How many rows of standard input wait to be taken."""

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


@dataclass(slots=True)
class TaskSource:
    """Jobs of tasks: all tasks once, then all again, so that a run that is cut off has tried as many as it could.

    No more tasks are kept than `STRETCH`. So the tasks of a longer file are read again for each repeat; those of an
    iterable are repeated a stretch at a time. Of standard input and of an asynchronous iterable, where the next task
    may come late or never, the repeats of a task follow each other; and with `group` they do so always, `passed` being
    told of each task of which nothing is left to run.

    `limit`: how many tasks; `finished`: the rollouts that are not to run again; `expected`: the SHA-256 that a long
    input had when the run began. What may have to be waited for, or passed over for long, is read in a thread, a little
    ahead.
    """

    tasks: FileSource | ReadSource | IterableSource
    _: KW_ONLY
    repeats: int
    limit: int | None = None
    finished: Finished | None = None
    expected: str | None = None
    group: bool = False
    passed: Callable[[str], Awaitable[None]] | None = None
    _prefetch: Prefetch[list[Task]] | None = field(init=False, default=None)
    _looked_through: bool = field(init=False)

    def __post_init__(self) -> None:
        self._looked_through = isinstance(self.tasks, FileSource) and self.tasks.checked

    @property
    def info(self) -> SourceInfo:
        """What is known of the tasks."""
        return self.tasks.info

    @property
    def planned(self) -> int | None:
        """How many rollouts there will be, with those that are done; None as long as that is not known."""
        tasks, limit = self.info.tasks, self.limit
        if tasks is None:
            return None if limit is None else limit * self.repeats
        return (tasks if limit is None else min(tasks, limit)) * self.repeats

    async def jobs(self) -> AsyncGenerator[Job, None]:
        """All that are to run. Raises what the tasks raise."""
        attempts = self.finished.attempt if self.finished is not None else None
        passed = 0
        async with aclosing(self._turns()) as turns:
            async for tasks, repeats in turns:
                left = False
                for repeat in repeats:
                    for task in tasks:
                        attempt = 1 if attempts is None else attempts(task.task_id, repeat)
                        if attempt:
                            left = True
                            yield Job(task, repeat, attempt)
                            continue
                        passed += 1
                        if passed % PASSED_AT_ONCE == 0:
                            await asyncio.sleep(0)
                if not left and self.passed is not None:
                    await self.passed(tasks[0].task_id)

    async def _turns(self) -> AsyncGenerator[tuple[list[Task], range], None]:
        """Tasks whose turn it is, and which repeats of them are to run: all of them once, then all again.

        With `group` each task has a turn of its own.
        """
        tasks, repeats = self.tasks, range(self.repeats)
        turns, later = [repeats[:1]], repeats[1:]
        if self.group or tasks.streamed:
            turns, later = [repeats], repeats[:0]
        elif isinstance(tasks, FileSource) and not tasks.is_short(STRETCH):
            turns, later = [repeats[repeat : repeat + 1] for repeat in repeats], repeats[:0]
        for turn in turns:
            if turn.start and isinstance(tasks, FileSource):
                await asyncio.to_thread(tasks.refuse_changed)
            stretch: list[Task] = []
            async with aclosing(self.batches()) as batches:
                async for batch in batches:
                    for part in ([task] for task in batch) if self.group else (batch,):
                        yield part, turn
                    if later:
                        stretch += batch
                        if len(stretch) >= STRETCH:
                            yield stretch, later
                            stretch = []
            if stretch:
                yield stretch, later

    async def batches(self) -> AsyncGenerator[list[Task], None]:
        """The tasks in order, some at a time, whatever is done. Raises what they raise."""
        if self.limit == 0:
            return
        batches = self._read()
        while True:
            with blaming(self.info.name, "its tasks cannot be listed"):
                try:
                    batch = await anext(batches)
                except StopAsyncIteration:
                    return
            yield batch

    def _read(self) -> AsyncIterator[list[Task]]:
        tasks = self.tasks
        if isinstance(tasks, IterableSource):
            return tasks.batches(self.limit)
        if self._looked_through and self.finished is None:
            # of a file that was looked through just now: a thread would cost more than reading it again
            return inline(tasks.batches(self.limit))
        self._prefetch = Prefetch(tasks.batches(self.limit), STREAMED_AHEAD if tasks.streamed else 2)
        return self._prefetch

    @property
    def known(self) -> bool:
        """Whether nothing of the input is left to be looked at."""
        return not isinstance(self.tasks, FileSource) or self.tasks.checked

    def look_through(self) -> asyncio.Future[None] | None:
        """Look through a long input, ahead of those who run its tasks."""
        tasks, finished, repeats = self.tasks, self.finished, self.repeats
        if not isinstance(tasks, FileSource) or tasks.streamed or tasks.checked:
            return None
        loop = asyncio.get_running_loop()
        known: asyncio.Future[None] = loop.create_future()

        def conclude(error: InputError | None) -> None:
            error = error or self._unexpected()
            if error is None:
                known.set_result(None)
            else:
                known.set_exception(error)

        def ended(error: InputError | None) -> None:
            with suppress(RuntimeError):  # the loop is closed: the run was over before the check
                loop.call_soon_threadsafe(conclude, error)

        complete = None
        if finished is not None and len(finished) >= repeats:
            complete = partial(finished.complete, repeats=repeats)
        tasks.start(ended, complete)
        return known

    def _unexpected(self) -> InputError | None:
        if self.expected in (None, self.info.sha256):
            return None
        return InputError(
            f"{self.info.name} is not what the run began with: its SHA-256 was {self.expected}",
            hint="restore it, or go on with `--resume --accept-changes`",
        )

    def close(self) -> None:
        """Stop reading."""
        if self._prefetch is not None:
            self._prefetch.close()
        if isinstance(self.tasks, FileSource):
            self.tasks.close()
