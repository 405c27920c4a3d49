"""The tasks of an open engine by their index: read as they are asked for, and kept for the next time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from contextlib import aclosing, suppress

from gym_core.domain.abandoned import background, end
from gym_core.domain.blame import blaming
from gym_core.domain.errors import GymError, InputError, UsageError
from gym_core.domain.task import Task
from gym_core.engine.run.source import TaskSource
from gym_core.engine.tasks.check import SourceInfo
from gym_core.engine.tasks.read_source import ReadSource
from gym_core.engine.tasks.source import FileSource, IterableSource


class Dataset:
    """Tasks in order. One that is broken costs itself alone: asking for it raises what is wrong with it.

    `limit`: how many there are at most. `skip_invalid`: broken ones are left out. What was read is kept, since the next
    epoch asks for it again.
    """

    def __init__(
        self, source: FileSource | ReadSource | IterableSource, *, limit: int | None = None, skip_invalid: bool = False
    ) -> None:
        self._source = source
        self._limit = limit
        self._skips = skip_invalid
        self._known: list[Task | InputError] = []
        self._over = False
        self._failed: GymError | None = None
        self._reading: asyncio.Future[None] | None = None
        self._inline = isinstance(source, IterableSource) and not source.streamed
        self._unread = self._read()

    @property
    def info(self) -> SourceInfo:
        """What is known of the tasks."""
        return self._source.info

    async def task(self, index: int) -> Task:
        """The task at an index, from 0. Raises `UsageError` where there is none, `InputError` for a broken one."""
        if type(index) is not int or index < 0:
            raise UsageError(f"the index of a task must be a whole number of at least 0, not {index!r:.80}")
        found = await self.at(index)
        if found is None:
            raise UsageError(f"{self.info.name} has {len(self._known)} tasks, and none at the index {index}")
        if isinstance(found, InputError):
            raise found
        return found

    async def at(self, index: int) -> Task | InputError | None:
        """What is at an index; None behind the last. Raises what has ended the reading, whoever asks."""
        while index >= len(self._known):
            if self._failed is not None:
                raise self._failed
            if self._over:
                return None
            if self._inline:  # where nothing is waited for
                await self._read_on()
                continue
            if self._reading is None:
                # In a task of its own: a generator ends with the task that it is read in, and who has asked first may
                # be cancelled while others wait for the same.
                self._reading = background(self._read_on())
            await asyncio.wait([self._reading])
        return self._known[index]

    async def _read_on(self) -> None:
        read: Sequence[Task | InputError] = []
        try:
            with blaming(self.info.name, "its tasks cannot be listed"):
                read = await anext(self._unread, [])
        except GymError as error:
            self._failed = error
        self._known += read
        self._over = not read
        self._reading = None

    async def close(self) -> None:
        """Read no more."""
        self._over = True
        if self._reading is not None:
            await end([self._reading], "the listing of tasks")
        with suppress(RuntimeError):  # it ignores its end
            await self._unread.aclose()

    async def _read(self) -> AsyncGenerator[Sequence[Task | InputError], None]:
        """All tasks, some at a time."""
        source = self._source
        if self._limit == 0:
            return
        if isinstance(source, IterableSource):
            many = 0
            async with aclosing(source.each()) as each:
                async for task in each:
                    if isinstance(task, InputError) and self._skips:
                        self.info.skipped += 1
                        continue
                    yield [task]
                    many += 1
                    if many == self._limit:
                        return
            return
        tasks = TaskSource(source, repeats=1, limit=self._limit)
        known = tasks.look_through()
        try:
            async with aclosing(tasks.batches()) as batches:
                async for batch in batches:
                    yield batch
            if known is not None:
                await known  # which is where a long file says what is wrong with it
        finally:
            tasks.close()


class Tasks(AsyncIterable[Task]):
    """Tasks from `start` to before `stop`, as often as they are gone through. A broken one raises `InputError`."""

    def __init__(self, dataset: Dataset, start: int, stop: int | None) -> None:
        self._dataset = dataset
        self._start = start
        self._stop = stop

    def __aiter__(self) -> AsyncIterator[Task]:
        return _Tasks(self._dataset, self._start, self._stop)


class _Tasks(AsyncIterator[Task]):
    """No generator: after a broken task it goes on."""

    def __init__(self, dataset: Dataset, start: int, stop: int | None) -> None:
        self._dataset = dataset
        self._next = start
        self._stop = stop

    async def __anext__(self) -> Task:
        if self._stop is not None and self._next >= self._stop:
            raise StopAsyncIteration
        try:
            found = await self._dataset.at(self._next)
        except GymError:
            self._stop = self._next  # nothing comes after that
            raise
        if found is None:
            raise StopAsyncIteration
        self._next += 1
        if isinstance(found, InputError):
            raise found
        return found
