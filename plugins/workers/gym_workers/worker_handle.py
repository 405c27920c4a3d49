"""One worker as the coordinator sees it: what it was sent, and how much more it should have."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from gym_core import encode_json
from gym_core.spi import Job
from gym_workers.channel import Head, WorkerChannel
from gym_workers.frames import encode_frame

FRAMES_AHEAD = 5
"""For so many frames a worker has work waiting, so that it need not wait for the coordinator. At the end of a run that
may stand there while others are idle."""
AHEAD_MOST = 512
_SMOOTHING = 0.2


@dataclass(slots=True)
class Entry:
    """A job that was begun. `deaths`: of workers that had it."""

    job: Job
    deaths: int = 0


class WorkerHandle:
    """One worker. `open`: what it was sent and has not reported, by number."""

    def __init__(
        self, number: int, quota: int, soon: Callable[[Callable[[], None]], Any], *, flush_seconds: float
    ) -> None:
        self.number = number
        self.quota = quota
        self.channel: WorkerChannel
        self.ready = False
        self.leaving = False
        self.waits_in_line = False
        self.open: dict[int, Entry] = {}
        self.finished = 0
        self._soon = soon
        self._ahead = FRAMES_AHEAD * flush_seconds
        self._jobs: list[list[Any]] = []
        self._lines: list[bytes] = []
        self._rate = 0.0
        self._since = time.monotonic()
        self._serial = 0

    @property
    def room(self) -> int:
        """How many more jobs it should have."""
        return self.quota + min(AHEAD_MOST, int(self._rate * self._ahead)) - len(self.open)

    def send(self, head: Head) -> None:
        """Send a message, behind the jobs that it was given before: it may say what becomes of them."""
        if self._jobs:
            self._flush()
        self.channel.send(encode_frame(head))

    def assign(self, entry: Entry) -> None:
        """Give it a job; those of one moment share a frame. Raises `JsonError` for a task that is no JSON."""
        job = entry.job
        task = job.task
        line = task.source if task.source is not None else encode_json(task.row, orjson.OPT_APPEND_NEWLINE)
        self._serial += 1
        described = [self._serial, task.task_id, task.index, job.repeat, job.attempt, len(line)]
        if not self._jobs:
            self._soon(self._flush)
        self._jobs.append([*described, task.source is not None])
        self._lines.append(line)
        self.open[self._serial] = entry

    def _flush(self) -> None:
        jobs, lines, self._jobs, self._lines = self._jobs, self._lines, [], []
        if jobs and not self.leaving:
            self.channel.send(encode_frame({"jobs": jobs}, lines))

    def reported(self, count: int) -> None:
        """It has sent so many results at once."""
        self.finished += count
        now = time.monotonic()
        passed, self._since = max(now - self._since, 1e-4), now
        weight = min(1.0, max(_SMOOTHING, passed))
        self._rate += weight * (count / passed - self._rate)
