"""What a worker is sent, and in what order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gym_core import Task
from gym_core.engine.tasks.job import Job
from gym_workers.frames import FrameReader
from gym_workers.worker_handle import Entry, WorkerHandle


class Told:
    """A channel that keeps the heads of what is sent through it."""

    name = "worker 1"

    def __init__(self) -> None:
        self.heads: list[Mapping[str, Any]] = []
        self._reader = FrameReader(lambda head, body: self.heads.append(head))

    def send(self, frame: bytes) -> None:
        self._reader.feed(frame)

    def kill(self) -> None:
        """Nobody is there."""


def test_the_end_comes_behind_the_jobs_that_were_given_before_it() -> None:
    """Otherwise they reach a worker that takes nothing more, and are waited for until it is killed."""
    later: list[Callable[[], None]] = []
    handle = WorkerHandle(1, 4, later.append, flush_seconds=0.01)
    handle.channel = told = Told()
    for number in range(2):
        handle.assign(Entry(Job(Task.ask("?", task_id=f"t{number}"), 0, 1)))
    handle.send({"end": ["the caller left", None, False]})
    for flush in later:
        flush()
    assert [[*head] for head in told.heads] == [["jobs"], ["end"]]
    assert [job[1] for job in told.heads[0]["jobs"]] == ["t0", "t1"]
