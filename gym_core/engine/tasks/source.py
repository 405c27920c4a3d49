"""Where tasks come from: JSON lines in a file, what an environment ships, or any iterable."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from gym_core.contract.resource_server import ResourceServer
from gym_core.domain.abandoned import within
from gym_core.domain.blame import blaming
from gym_core.domain.errors import InputError, UsageError
from gym_core.domain.json_text import parse_line
from gym_core.domain.task import Task, check_row
from gym_core.engine.tasks.check import READ_ERRORS, CheckAhead, InputCheck, SourceInfo, task_of, task_of_line
from gym_core.engine.tasks.input_file import fingerprint, is_compressed, is_stdin, open_input, refuse_no_lines, sha256
from gym_core.engine.tasks.keys import IdTaken, TaskIds, named_by

CHECKED_WHOLE = 64 * 2**20
"""A file up to this many bytes is checked before the first model call; in a longer one a check runs ahead."""
CHECKED_WHOLE_COMPRESSED = CHECKED_WHOLE // 16
"""The same for a compressed file."""
KEPT_BYTES = 4 * 2**20
"""Tasks of a longer file are never kept all at once."""
CHECKED_AHEAD = 2_000
"""How many tasks from Python are looked at before the first model call."""
BATCH_ROWS = 64
BATCH_BYTES = 1 << 18


class FileSource:
    """The tasks of a file, read lazily. Results of an earlier run are read as the tasks they came from.

    A file is read twice: by a check and by those who run its tasks, who never get ahead of the check. What is not a
    regular file, such as standard input, can only be read once: each row is checked when its turn comes.

    `task_id`: a field that names the tasks, or `line`. By default it is `task_id`, else `id`; where these are found to
    repeat before the start, it is the line, and `info.notice` says so.
    """

    def __init__(self, path: str | Path, *, skip_invalid: bool = False, task_id: str | None = None) -> None:
        self.path = path
        self.skip_invalid = skip_invalid
        self.info = SourceInfo(str(path), task_id=task_id)
        self.streamed = is_stdin(path) or (Path(path).exists() and not (Path(path).is_file() or Path(path).is_dir()))
        self._check: InputCheck | None = None
        self._ahead: CheckAhead | None = None
        self._state: tuple[int, ...] = ()

    @property
    def checked(self) -> bool:
        """Whether the file was checked to its end."""
        return self._check is not None and self._check.ended

    def is_short(self, tasks: int) -> bool:
        """Whether all of it may be kept in memory, being of so many tasks at most."""
        return self.checked and (self.info.tasks or 0) <= tasks and (self.info.size or 0) <= KEPT_BYTES

    def check(self) -> bool:
        """Check a regular file of moderate size whole, before anything is paid for; whether that was done.

        Raises `InputError` that lists the first broken lines, `UsageError` for a file that cannot be read. Sets the
        size of the file and its hash, of a longer one its fingerprint.
        """
        if self.streamed:
            return False
        with open_input(self.path) as file:  # tells at once when it cannot be opened
            refuse_no_lines(self.path, file)
        try:
            self._state = _state(self.path)
            self.info.size = Path(self.path).stat().st_size
            if self.info.size > (CHECKED_WHOLE_COMPRESSED if is_compressed(self.path) else CHECKED_WHOLE):
                self.info.fingerprint = fingerprint(self.path)
                return False
        except OSError as error:
            raise UsageError(f"{self.path}: {error.strerror or error}") from error
        taken = self._whole().taken
        if taken and self.info.task_id is None:
            self.info.name_by_line(taken)
            self._whole()
        return True

    def _whole(self) -> InputCheck:
        self._check = check = InputCheck(self.path, self.info)
        try:
            check.whole(skip_invalid=self.skip_invalid)
        finally:
            check.close()
        return check

    def start(
        self,
        ended: Callable[[InputError | None], None],
        complete: Callable[[bytes], bool] | None = None,
    ) -> None:
        """Start the check of a long file, in a thread. `ended` is called there with what it found, None if nothing.

        `complete`: whether no rollout of a task is to run, by the hash of its id; such tasks are passed over.
        """
        if self.streamed or self._check is not None:
            return
        self._check = InputCheck(self.path, self.info, complete)
        self._ahead = CheckAhead(self._check, skip_invalid=self.skip_invalid, ended=ended)
        self._ahead.start()

    def refuse_changed(self) -> None:
        """Raise `InputError` where the file is not what it was checked as. It is read only if it has been written."""
        try:
            if not self._state or _state(self.path) == self._state:
                return
            known = self.info.sha256
            same = known == sha256(self.path) if known is not None else self.info.fingerprint == fingerprint(self.path)
            self._state = _state(self.path)
        except OSError as error:
            raise InputError(f"{self.path}: {error.strerror or error}") from error
        if not same:
            raise InputError(
                f"{self.path}: it has changed while the run was reading it",
                hint="restore it and go on with `--resume`, or with what it is now by `--resume --accept-changes`",
            )

    def close(self) -> None:
        """End a check that is under way."""
        if self._ahead is not None:
            self._ahead.close()

    def __iter__(self) -> Iterator[Task]:
        """The tasks in order. Raises `InputError` at the first broken line that no check has seen."""
        return self._rows() if self._check is None else self._checked_rows(self._check)

    def batches(self, limit: int | None = None) -> Generator[list[Task], None, None]:
        """The first `limit` tasks, some at a time: as many as fit, or each as soon as it is there if streamed."""
        most = 1 if self.streamed else BATCH_ROWS
        batch: list[Task] = []
        size = 0
        try:
            for task in self if limit is None else itertools.takewhile(lambda task: task.index < limit, self):
                batch.append(task)
                size += len(task.source or b"")
                if len(batch) >= most or size >= BATCH_BYTES:
                    yield batch
                    batch, size = [], 0
                if limit is not None and task.index + 1 >= limit:
                    break  # what comes after may not be there yet
        except InputError:
            if batch:
                yield batch
            raise
        if batch:
            yield batch

    def _checked_rows(self, check: InputCheck) -> Iterator[Task]:
        """The tasks of lines that the check has seen. They may be read several times."""
        ahead, index, known, skipped = self._ahead, 0, check.lines, 0
        empty, broken, done = check.empty, check.broken, check.done
        number = 0
        passes = bool(done or broken or empty)
        with open_input(self.path) as file:
            try:
                for number, line in enumerate(file, 1):
                    if number > known:
                        if ahead is None or not ahead.wait_for(number):
                            return
                        known = check.lines
                        passes = bool(done or broken or empty)
                    if passes and number in done:
                        index += 1
                    elif passes and number in broken:
                        skipped += 1
                        self.info.skipped = max(skipped, self.info.skipped)
                    elif not (passes and number in empty):
                        yield self._known(line, number, index)
                        index += 1
            except READ_ERRORS as error:  # the one who reads can be the first to see it
                raise InputError(f"{self.path}:{number + 1}: the file cannot be read on: {error}") from error
        if ahead is not None:  # the reader can come to the end first: what the whole file is must be known, too
            ahead.wait_for(number + 1)
        if number < check.lines:
            raise InputError(f"{self.path}: it has become shorter while the run was reading it")

    def _known(self, line: bytes, number: int, index: int) -> Task:
        try:
            parsed, strictly = parse_line(line)
            row = check_row(parsed) if "rollout" in parsed else parsed
            own = named_by(row, self.info.task_id, result=parsed if row is not parsed else None)
        except (ValueError, TypeError, AttributeError) as error:
            raise InputError(f"{self.path}:{number}: it has changed while the run was reading it ({error})") from error
        return task_of_line((line, parsed, strictly, row, own), number, index)

    def _rows(self) -> Iterator[Task]:
        """The tasks of lines that nobody has seen before: each is checked when its turn comes."""
        self.info.skipped = index = 0
        with closing(InputCheck(self.path, self.info)) as check:
            for found in check.each():
                if found is not None:
                    yield task_of_line(found, check.lines, index)
                    index += 1
                elif check.lines in check.broken:
                    if not self.skip_invalid:
                        raise self.info.refused(running=True)
                    self.info.skipped += 1


def _state(path: str | Path) -> tuple[int, ...]:
    """What differs once a file has been written, or put in the place of another."""
    found = Path(path).stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


class IterableSource:
    """Tasks from Python: an environment's own, or a caller's.

    `check` looks at the first of them, so that a broken one is found before anything is paid for, and so that a set of
    moderate size is counted. The rest is checked as it comes; there may be no end to it. `task_id`: as in `FileSource`;
    the line is the place, from 1. `unique`: whether no two tasks may have one id. `streamed`: whether the next task may
    come late.
    """

    def __init__(
        self,
        name: str,
        tasks: Iterable[Any] | AsyncIterable[Any],
        *,
        task_id: str | None = None,
        unique: bool = True,
    ) -> None:
        self.streamed = isinstance(tasks, AsyncIterable)
        self.info = SourceInfo(name, task_id=task_id)
        self._tasks = tasks if isinstance(tasks, AsyncIterable) else iter(tasks)
        self._ahead: list[Task] = []
        self._ids = TaskIds() if unique else None

    def check(self, limit: int | None) -> None:
        """Look ahead, at most `limit` tasks. Raises `InputError`. An asynchronous source is left alone."""
        if isinstance(self._tasks, AsyncIterable):
            return
        most = CHECKED_AHEAD if limit is None else min(limit, CHECKED_AHEAD)
        items = list(itertools.islice(self._tasks, most))
        try:
            self._ahead = [self._task(item, index) for index, item in enumerate(items)]
        except InputError as error:
            named = any(isinstance(item, Task) and item.named for item in items)
            if not isinstance(error.__cause__, IdTaken) or self.info.task_id is not None or named:
                raise
            self.info.name_by_line(error.message.partition(";")[0])
            self._ids = TaskIds()
            self._ahead = [self._task(item, index) for index, item in enumerate(items)]
        if len(items) < most:
            self.info.tasks = len(items)

    async def __aiter__(self) -> AsyncIterator[Task]:
        """The tasks in order. Raises `InputError` for what is none."""
        async for batch in self.batches():
            for task in batch:
                yield task

    async def each(self) -> AsyncGenerator[Task | InputError, None]:
        """All tasks in order, what is none as the error that says so. For a source that has not been checked."""
        index = 0
        async for item in _each(self._tasks):
            try:
                yield self._task(item, index)
            except InputError as error:
                yield error
            index += 1

    async def batches(self, limit: int | None = None) -> AsyncGenerator[list[Task], None]:
        """The first `limit` tasks, each as soon as it is there; not one more is asked for."""
        ahead = self._ahead if limit is None else self._ahead[:limit]
        if ahead:
            yield ahead
        index = len(self._ahead)
        if limit is not None and index >= limit:
            return
        async for item in _each(self._tasks):
            yield [self._task(item, index)]
            index += 1
            if limit is not None and index >= limit:
                return

    def _task(self, item: Any, index: int) -> Task:
        try:
            return task_of(item, index + 1, index, self.info.task_id, self._ids)
        except ValueError as error:
            raise InputError(f"{self.info.name}, task {index + 1}: {error}") from error


async def _each(tasks: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[Any]:
    if isinstance(tasks, AsyncIterable):
        iterator = aiter(tasks)
        while True:
            try:
                yield await within(anext(iterator), None, "the listing of tasks")
            except StopAsyncIteration:
                return
    else:
        for task in tasks:
            yield task


def server_source(server: ResourceServer, *, task_id: str | None = None, unique: bool = True) -> IterableSource:
    """The tasks that an environment ships. Raises `PluginError` when they cannot be listed."""
    name = server.context.name or type(server).__name__
    with blaming(name, "its tasks cannot be listed"):
        return IterableSource(name, server.tasks(), task_id=task_id, unique=unique)
