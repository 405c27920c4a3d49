"""Files that an environment reads itself: questions in a table, say, instead of gym's own JSON lines."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from itertools import islice
from pathlib import Path

from gym_core.contract.resource_server import ResourceServer, TaskFile
from gym_core.domain.blame import blaming
from gym_core.domain.errors import InputError, UsageError
from gym_core.domain.task import Task
from gym_core.engine.tasks.check import SourceInfo, task_of
from gym_core.engine.tasks.input_file import fingerprint, is_stdin, sha256
from gym_core.engine.tasks.keys import IdTaken, TaskIds
from gym_core.engine.tasks.source import BATCH_ROWS, CHECKED_AHEAD, CHECKED_WHOLE, FileSource


def input_source(
    path: str | Path, server: ResourceServer, *, skip_invalid: bool = False, task_id: str | None = None
) -> FileSource | ReadSource:
    """The tasks of a file: as the environment reads it, or as JSON lines where it leaves that to gym."""
    if not is_stdin(path):
        source = ReadSource(path, server, skip_invalid=skip_invalid, task_id=task_id)
        if source.readable():
            return source
    return FileSource(path, skip_invalid=skip_invalid, task_id=task_id)


class ReadSource:
    """The tasks that an environment reads from a file, a few at a time.

    Like a file of JSON lines it is read twice, by a check and by those who run its tasks. `checked`: whether the check
    came to its end; of a long file it looks at the first tasks only, and each of the others when its turn comes.
    """

    streamed = False

    def __init__(
        self, path: str | Path, server: ResourceServer, *, skip_invalid: bool = False, task_id: str | None = None
    ) -> None:
        self.path = path
        self.skip_invalid = skip_invalid
        self.info = SourceInfo(str(path), task_id=task_id)
        self.checked = False
        self._server = server

    def readable(self) -> bool:
        """Whether the environment reads this file. Raises `InputError` for one that it cannot read."""
        return self._read() is not None

    def check(self) -> bool:
        """Look at the tasks before anything is paid for; whether at all of them.

        Raises `InputError` that lists the first rows that cannot be used.
        """
        most = self._identify()
        taken = self._look(most)
        if taken and self.info.task_id is None:
            self.info.name_by_line(taken)
            self._look(most)
        if self.info.broken and not self.skip_invalid:
            raise self.info.refused()
        if self.checked and not self.info.tasks:
            raise InputError(f"{self.path}: there is no task in it")
        return self.checked

    def _identify(self) -> int | None:
        """Note what the file is known by; how many tasks to look at, None for all."""
        path = Path(self.path)
        if not path.is_file():
            return CHECKED_AHEAD
        try:
            self.info.size = path.stat().st_size
            if self.info.size > CHECKED_WHOLE:
                self.info.fingerprint = fingerprint(path)
                return CHECKED_AHEAD
            self.info.sha256 = sha256(path)
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror or error}") from error
        return None

    def _look(self, most: int | None) -> str:
        """Look at the first tasks; where the first id stands that another task has, empty if each has its own."""
        seen = count = 0
        with self._blamed(), closing(self._each()) as each:
            for found in islice(each, most):
                seen += 1
                if isinstance(found, Task):
                    count += 1
                elif isinstance(found.__cause__, IdTaken) and self.info.task_id is None:
                    return found.message.partition(";")[0]
                else:
                    self.info.refuse(found.message)
        self.checked = most is None or seen < most
        if self.checked:
            self.info.tasks = count
        return ""

    def batches(self, limit: int | None = None) -> Generator[list[Task], None, None]:
        """The first `limit` tasks, some at a time. Raises `InputError` at the first row that no check has seen."""
        self.info.skipped = 0
        with closing(self._sound()) as tasks:
            wanted = islice(tasks, limit)
            while batch := list(islice(wanted, BATCH_ROWS)):
                yield batch

    def _sound(self) -> Generator[Task, None, None]:
        with closing(self._each()) as each:
            for found in each:
                if isinstance(found, Task):
                    yield found
                elif self.skip_invalid:
                    self.info.skipped += 1
                else:
                    raise found

    def _each(self) -> Generator[Task | InputError, None, None]:
        """What the environment gives, checked like any other task; what is none as the error that says so."""
        ids, index = TaskIds(), 0
        read = self._read()
        for number, item in enumerate(read.tasks if read is not None else (), 1):
            if isinstance(item, InputError):
                yield item
                continue
            try:
                task = task_of(item, number, index, self.info.task_id, ids)
            except ValueError as error:
                refused = InputError(f"{self.path}, row {number}: {error}")
                refused.__cause__ = error
                yield refused
            else:
                yield task
                index += 1

    def _read(self) -> TaskFile | None:
        with self._blamed():
            read = self._server.read_tasks(str(self.path))
        self.info.read_as = read.notice if read is not None else ""
        return read

    def _blamed(self) -> blaming:
        return blaming(self._server.context.name or type(self._server).__name__, f"{self.path} cannot be read")

    def close(self) -> None:
        """There is nothing that is held open between two tasks."""
