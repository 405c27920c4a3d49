"""Looking through a data set for broken rows: whole before a run starts, or ahead of it while it runs."""

from __future__ import annotations

import hashlib
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any, TypeAlias

from gym_core.domain.errors import InputError
from gym_core.domain.json_text import JsonError, parse_json, parse_line
from gym_core.domain.task import Task, check_row
from gym_core.engine.tasks.input_file import open_input
from gym_core.engine.tasks.keys import LINE, IdTaken, LineSet, TaskIds, digest, named_by

SHOWN_ERRORS = 5
READ_ERRORS = (OSError, EOFError, zlib.error)
"""What reading a file raises: it cannot be read, or it is compressed and cut off or broken."""
WHOLE_STEP = 10_000
AHEAD_STEP = 100
"""Rows that the check ahead looks at before it lets other threads go on: about half a millisecond."""
HURRIED_STEP = 2_000
"""The same while there is nothing to run until it has gone on."""
YIELD_SECONDS = 0.0001


@dataclass(slots=True)
class SourceInfo:
    """What is known of the tasks. `tasks`: how many, None when that is only known at the end.

    `size`, `sha256`: of the file as it is on disk. `fingerprint`: stands for the hash of a large file, see
    `input_file.fingerprint`. `skipped`: broken rows left out.
    `errors`: the first of them; `broken`: how many. `task_id`: what names the tasks, see `named_by`. `read_as`: how
    the environment read the file. `notice`: a warning.
    """

    name: str
    tasks: int | None = None
    skipped: int = 0
    size: int | None = None
    sha256: str | None = None
    fingerprint: str | None = None
    errors: list[str] = field(default_factory=list)
    broken: int = 0
    task_id: str | None = None
    read_as: str = ""
    notice: str = ""

    def to_wire(self) -> dict[str, Any]:
        """What identifies the tasks: a run resumes only with the same."""
        whole = {"sha256": self.sha256} if self.fingerprint is None else {"fingerprint": self.fingerprint}
        return {"name": self.name, "bytes": self.size, "task_id": self.task_id, **whole}

    def found(self) -> dict[str, Any]:
        """What became known of them, as far as they were read."""
        return {"tasks": self.tasks, "sha256": self.sha256}

    def name_by_line(self, taken: str) -> None:
        """Have the tasks named by their lines, since two have one id."""
        self.task_id = LINE
        self.skipped = self.broken = 0
        self.errors.clear()
        self.notice = f"{taken}: lines name the tasks now; `--task-id FIELD` names them by another field"

    def refuse(self, problem: str) -> None:
        """Note a broken row."""
        self.broken += 1
        if self.broken <= SHOWN_ERRORS:
            self.errors.append(problem)

    def refused(self, *, running: bool = False) -> InputError:
        """The error that lists the first broken rows."""
        more = f"\n... and {self.broken - SHOWN_ERRORS} more" if self.broken > SHOWN_ERRORS else ""
        again = "go on with `--resume --accept-changes`" if running else "fix the rows"
        hint = f"fix the rows and {again}" if running else again
        skip = "`--resume --skip-invalid`" if running else "--skip-invalid"
        return InputError("\n".join(self.errors) + more, hint=f"{hint}, or leave them out with {skip}")


Line: TypeAlias = tuple[bytes, Any, bool, dict[str, Any], str | None]
"""A line of a file that is a task: itself, its value, whether a strict reader of JSON takes it, the row, its own id.

The row is that value, or of a result the task that it came from.
"""


def task_of_line(found: Line, number: int, index: int) -> Task:
    """A line as a task, with the bytes that stand in the result for it, if a strict reader would take them."""
    line, parsed, strictly, row, own = found
    source = None
    if strictly:
        source = line if row is parsed else _task_part(line, row)
    return Task(row, task_id=own or str(number), index=index, source=source)


def _task_part(line: bytes, row: dict[str, Any]) -> bytes | None:
    """The part of a result that its task's line was, so that it stands in the next result byte for byte."""
    end = line.find(b',"response":')
    while end >= 0:
        part = line[:end] + b"}"
        try:
            if parse_json(part) == row:
                return part
        except JsonError:
            pass  # a field of that name within the task
        end = line.find(b',"response":', end + 1)
    return None


def task_of(item: Any, number: int, index: int, by: str | None, ids: TaskIds | None) -> Task:
    """What came from Python, a row or a `Task`, as the task at a place, from 1, and an index. Raises `ValueError`.

    `by`: the value of `--task-id`. `ids`: where its id is taken, if no other task may have it.
    """
    row, named = (item.row, item.named) if isinstance(item, Task) else (item, False)
    row = check_row(row)
    own = item.task_id if named and by is None else named_by(row, by)
    if ids is not None:
        ids.claim(own, number)
    return Task(row, task_id=own or str(number), index=index)


class InputCheck:
    """One pass over a file. Raises `UsageError` when it cannot be opened.

    `lines`: how many are known by now. `empty`: those that give no task. `broken`: those to leave out. `done`: those
    whose task `complete`, called with the hash of its id, says is finished. `ended`: nothing is left to look at.
    `taken`: where the first id stands that another task has, empty if each has its own.
    """

    def __init__(self, path: str | Path, info: SourceInfo, complete: Callable[[bytes], bool] | None = None) -> None:
        self.info = info
        self.lines = 0
        self.tasks = 0
        self.empty = LineSet()
        self.broken = LineSet()
        self.done = LineSet()
        self.ended = False
        self.taken = ""
        self._path = path
        self._complete = complete
        self._ids = TaskIds()
        self._digest = hashlib.sha256()
        self._file: IO[bytes] = open_input(path, self._digest)

        self._each = self.each()

    def each(self) -> Iterator[Line | None]:
        """Look at one line after the other; None for one that gives no task, or whose task is finished.

        Raises `InputError` when the file cannot be read on.
        """
        number = 0
        try:
            for number, line in enumerate(self._file, 1):
                try:
                    found = self._look(line, number)
                except ValueError as error:
                    found = None
                    self._refuse(line, number, error)
                self.lines = number
                yield found
        except READ_ERRORS as error:
            self.ended = True
            raise InputError(f"{self._path}:{number + 1}: the file cannot be read on: {error}") from error
        self.ended = True
        self.info.tasks = self.tasks
        self.info.sha256 = self._digest.hexdigest()

    def _look(self, line: bytes, number: int) -> Line | None:
        parsed, strictly = parse_line(line)
        by = self.info.task_id
        if self._complete is not None and type(parsed) is dict and "rollout" not in parsed:
            own = named_by(parsed, by)
            if self._complete(digest(own or str(number))):  # it was checked when it ran
                self._ids.claim(own, number)
                self.done.add(number)
                self.tasks += 1
                return None
        row = check_row(parsed)
        own = named_by(row, by, result=parsed if row is not parsed else None)
        if row is not parsed and own is not None and own in self._ids:
            self.empty.add(number)  # a result: another repeat of a task that was there already
            return None
        self._ids.claim(own, number)
        self.tasks += 1
        return line, parsed, strictly, row, own

    def _refuse(self, line: bytes, number: int, error: ValueError) -> None:
        if line.isspace():
            self.empty.add(number)
            return
        self.broken.add(number)
        problem = f"{self._path}:{number}: {error}"
        if isinstance(error, IdTaken) and not self.taken:
            self.taken = problem.partition(";")[0]
        self.info.refuse(problem)

    def advance(self, most: int) -> None:
        """Look at the next lines, at most so many, and take no more out of the file. Raises `InputError`."""
        deque(islice(self._each, most), maxlen=0)

    def whole(self, *, skip_invalid: bool) -> None:
        """Look at all lines, or at as many as show that their ids name no tasks: see `taken`.

        Raises `InputError` that lists the first broken ones.
        """
        while not self.ended:
            self.advance(WHOLE_STEP)
            if self.taken and self.info.task_id is None:
                return
        self.conclude(skip_invalid=skip_invalid)

    def conclude(self, *, skip_invalid: bool, running: bool = False) -> None:
        """Raise `InputError` for what was found so far."""
        if self.info.broken and not skip_invalid:
            raise self.info.refused(running=running)
        if self.ended and not self.tasks:
            raise InputError(f"{self._path}: there is no task in it", hint="one JSON object a line")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class CheckAhead:
    """An `InputCheck` in a thread of its own, ahead of the one who reads.

    It goes on at full speed while the reader waits for it and takes at most half of a core else, in steps that are
    too short for anybody to notice. `ended` is called, in that thread, with the error that ended it or None.
    """

    def __init__(self, check: InputCheck, *, skip_invalid: bool, ended: Callable[[InputError | None], None]) -> None:
        self.check = check
        self._skip_invalid = skip_invalid
        self._ended = ended
        self._needed = 0
        self._closed = False
        self._error: InputError | None = None
        self._progress = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="gym-check-input", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wait_for(self, line: int) -> bool:
        """Wait until a line is known; False when there is no such line. Raises `InputError`."""
        check = self.check
        if line <= check.lines:
            return True
        with self._progress:
            self._needed = line
            self._progress.notify_all()
            self._progress.wait_for(
                lambda: line <= check.lines or check.ended or self._closed or self._error is not None
            )
        if line <= check.lines:
            return True
        if self._error is not None:
            raise self._error
        return False

    def close(self) -> None:
        """End it, finished or not."""
        with self._progress:
            self._closed = True
            self._progress.notify_all()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(1.0)

    def _in_demand(self) -> bool:
        return self._closed or self._needed > self.check.lines

    def _run(self) -> None:
        check = self.check
        try:
            while not check.ended and not self._closed:
                started = time.perf_counter()
                check.advance(AHEAD_STEP if check.lines >= self._needed else HURRIED_STEP)
                if check.info.broken and not self._skip_invalid:
                    break
                took = time.perf_counter() - started
                if check.lines >= self._needed:
                    with self._progress:  # a rest, unless the reader comes to need more meanwhile
                        self._progress.notify_all()
                        self._progress.wait_for(self._in_demand, max(YIELD_SECONDS, took))
            check.conclude(skip_invalid=self._skip_invalid, running=True)
        except InputError as error:
            self._error = error
        finally:
            check.close()
            with self._progress:
                self._progress.notify_all()
            if not self._closed:
                self._ended(self._error)
