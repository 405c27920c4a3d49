"""What an interrupted run has already done.

What may be missing, and what then. The files are all that is believed, and each line is believed by itself: a kill at
any moment leaves at most a torn line at the end of each, which nobody was told of; `ResultStore` has cut it off before,
and its rollout runs again. A row is written after what it cites and before what is said of its group: without the one a
cited line is useless and harmless, without the other the group is scored again. Attempts that failed are read from the
last to the first: the last one tells whether the rollout is done, and each of them was paid for.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from gym_core.domain.errors import UsageError
from gym_core.domain.rollout import Rollout, Status
from gym_core.domain.task import result_task_id
from gym_core.engine.metrics.progress import Progress
from gym_core.engine.storage.files import line_number, lines_backwards, numbered_lines, parse_account, parse_row
from gym_core.engine.storage.outputs import Outputs
from gym_core.engine.tasks.keys import KeyTable, digest, for_repeat, rollout_key

LOOKED_EVERY = 5_000
REPORTED_SECONDS = 2.0
_DONE = 1 << 15
_MOST_ATTEMPTS = _DONE - 1


class Finished:
    """The rollouts that need not run again, read from the files of a run.

    A rollout with a row is done. One whose last attempt failed is kept as a failure, unless `retry_failed`; a cancelled
    one always runs again. `whole`: whether `progress` has to see the response, too,
    which takes time; `spent` sees the rest of it. `report` is called now and then with the number of
    rollouts read so far; what it raises ends the reading. `spent` is called with the `rollout` object of every line:
    attempts that run again have been paid for, too. `places`: whether single rollouts are going to be read again.

    Each key takes 12 bytes, see `KeyTable`: whether it is done, and how many attempts failed; with `places` another 16.

    Raises `UsageError` that names the line for one that is no row, and for a second row of one rollout.
    """

    def __init__(
        self,
        outputs: Outputs,
        progress: Progress,
        *,
        retry_failed: bool = False,
        whole: bool = False,
        report: Callable[[int], None] = lambda read: None,
        spent: Callable[[dict[str, Any]], None] | None = None,
        places: bool = False,
    ) -> None:
        self._known = KeyTable(value_size=2)
        self._places = KeyTable(value_size=6) if places else None
        """Of those that are done: see `Outputs.place`."""
        self._outputs = outputs
        self._progress = progress
        self._parse = parse_row if whole or spent is not None else parse_account
        self._retry_failed = retry_failed
        self._report = report
        self._spent = spent
        self._done = 0
        self._read = 0
        if outputs.rows.exists():
            lines = ((offset, line) for _, offset, line in numbered_lines(outputs.rows))
            self._each(outputs.rows, lines, self._take_row)
        if outputs.failures.exists():
            self._each(outputs.failures, lines_backwards(outputs.failures), self._take_attempt)

    def _each(
        self, path: Path, lines: Iterable[tuple[int, bytes]], take: Callable[[int, dict[str, Any], bytes], None]
    ) -> None:
        """Take each row of a file: the bytes before it, itself, and the hash of its rollout."""
        for offset, line in lines:
            try:
                row = self._parse(line)
                take(offset, row, rollout_key(result_task_id(row), row["rollout"]["repeat"]))
                self._count(row)
            except (ValueError, KeyError, TypeError) as error:
                raise UsageError(
                    f"{path}:{line_number(path, offset)}: {_what(error)}",
                    hint="remove the line; its rollout runs again",
                ) from error

    def _take_row(self, offset: int, row: dict[str, Any], key: bytes) -> None:
        if not self._known.add(key, _DONE):
            task_id, repeat = result_task_id(row), row["rollout"]["repeat"]
            raise ValueError(f"a second row of task {task_id!r}, repeat {repeat}; gym writes one")
        self._add(row, key, Outputs.place(offset, failed=False))

    def _take_attempt(self, offset: int, row: dict[str, Any], key: bytes) -> None:
        """One that failed. They come from the last to the first, and the last one decides."""
        known = self._known.get(key)
        if known is None:
            known = 0
            if not self._retry_failed and row["rollout"]["status"] != Status.CANCELLED:
                known = _DONE
                self._add(row, key, Outputs.place(offset, failed=True))
        if known & _MOST_ATTEMPTS < _MOST_ATTEMPTS:
            self._known.put(key, known + 1)

    def _add(self, row: dict[str, Any], key: bytes, place: int) -> None:
        """A rollout that is not to run again, by its row or by the failure that stands."""
        if self._places is not None:
            self._places.add(key, place)
        self._progress.add(row, kept=True)
        self._done += 1

    def _count(self, row: dict[str, Any]) -> None:
        self._read += 1
        if self._spent is not None:
            self._spent(row["rollout"])
        if self._read % LOOKED_EVERY == 0:
            self._report(self._read)

    def attempt(self, task_id: str, repeat: int) -> int:
        """The number of the next attempt, or 0 for a rollout that is not to run."""
        known = self._known.get(rollout_key(task_id, repeat))
        if known is None:
            return 1
        return 0 if known & _DONE else known + 1

    def complete(self, task: bytes, repeats: int) -> bool:
        """Whether none of the first `repeats` rollouts of a task is to run; `task`: the hash of its id."""
        for repeat in range(repeats):
            known = self._known.get(for_repeat(task, repeat))
            if known is None or not known & _DONE:
                return False
        return True

    def ended(self, task_id: str, repeats: int) -> dict[int, bool]:
        """Which of the first `repeats` rollouts of a task are not to run: by repeat, whether it has a row."""
        return {repeat: not place & 1 for repeat, place in self._places_of(task_id, repeats)}

    def read(self, task_id: str, repeats: int) -> list[Rollout]:
        """The same rollouts, read from disk. Raises `UsageError` where they are no longer there."""
        return [Rollout(self._outputs.row(place)) for _, place in self._places_of(task_id, repeats)]

    def _places_of(self, task_id: str, repeats: int) -> Iterator[tuple[int, int]]:
        if self._places is None:
            return
        task = digest(task_id)
        for repeat in range(repeats):
            place = self._places.get(for_repeat(task, repeat))
            if place is not None:
                yield repeat, place

    def __len__(self) -> int:
        return self._done


async def read_finished(
    outputs: Outputs,
    progress: Progress,
    *,
    retry_failed: bool,
    whole: bool,
    report: Callable[[str], None],
    spent: Callable[[dict[str, Any]], None] | None = None,
    places: bool = False,
) -> Finished:
    """`Finished`, read in a thread; `report` is told every other second how far it has come."""
    loop = asyncio.get_running_loop()
    abandoned = threading.Event()
    reported = time.monotonic()

    def look(read: int) -> None:
        nonlocal reported
        if abandoned.is_set():
            raise asyncio.CancelledError
        if time.monotonic() - reported > REPORTED_SECONDS:
            reported = time.monotonic()
            loop.call_soon_threadsafe(report, f"reading what is done: {read:,} rollouts so far")

    try:
        return await asyncio.to_thread(
            Finished,
            outputs,
            progress,
            retry_failed=retry_failed,
            whole=whole,
            report=look,
            spent=spent,
            places=places,
        )
    except asyncio.CancelledError:
        abandoned.set()
        raise


def _what(error: Exception) -> str:
    said = str(error)
    return said if isinstance(error, ValueError) else f"not a row that gym wrote ({type(error).__name__}: {said})"
