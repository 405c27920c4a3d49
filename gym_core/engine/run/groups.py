"""The rollouts of a task put together as they end: scored, written, and announced as a group.

A group is whole once each of its rollouts has a row or a failure that stands, or was let go by `finish_at`. One that is
cancelled otherwise runs again with `--resume`, and its group waits for it. What a group comes to is on disk before
anybody hears of it; a kill in between costs nothing but the line, which is made when the run is resumed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from gym_core.domain.error_json import error_json
from gym_core.domain.group import FEWEST, Group
from gym_core.domain.json_text import JsonError
from gym_core.domain.rollout import Rollout, Status
from gym_core.domain.stop_reasons import FINISH_AT
from gym_core.engine.events.logs import log
from gym_core.engine.metrics.groups import GroupTally
from gym_core.engine.rollout.group import SCORE_GROUP
from gym_core.engine.storage.groups import GroupLines
from gym_core.engine.storage.resume import Finished

Score: TypeAlias = Callable[[str, Sequence[Rollout]], Awaitable[Group]]
"""Makes a group of a task's rollouts, and raises nothing but a cancellation."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """What an earlier part of a run has left. `most`: how many rollouts of a task there may be.

    `again`: whether groups that failed are scored again.
    """

    finished: Finished
    lines: GroupLines
    most: int
    again: bool = False

    def is_scored(self, task_id: str) -> bool:
        """Whether nothing is to be done for a task all of whose rollouts have ended."""
        rows = [repeat for repeat, has_row in self.finished.ended(task_id, self.most).items() if has_row]
        if len(rows) < FEWEST or self.lines.covers(task_id, rows):
            return True
        line = self.lines.of(task_id)
        return line is not None and line.error is not None and not self.again


class Groups:
    """The groups of a run. `repeats`: how many rollouts a task has; `at_once`: how many groups are scored at once.

    `score`: None for an environment that scores no groups. `write`: puts a group on disk. `announce` hears of each that
    is whole, and `broken` of what kept one from being written. While `room` is not set nothing new is to be started.
    `later`: where rollouts are not put together as they end, what does that with all that they have left on disk.
    """

    def __init__(
        self,
        repeats: int,
        *,
        score: Score | None,
        write: Callable[[Group], None],
        at_once: int,
        tally: GroupTally | None = None,
        earlier: Earlier | None = None,
    ) -> None:
        self.scores = score is not None
        self.announce: Callable[[Group], None] = lambda group: None
        self.broken: Callable[[BaseException], None] = lambda error: None
        self.later: Callable[[], Awaitable[None]] | None = None
        self.room = asyncio.Event()
        self.room.set()
        self._repeats = repeats
        self._score = score
        self._write = write
        self._tally = tally
        self.earlier = earlier
        self._open: dict[str, list[Rollout]] = {}
        self._to_run: dict[str, int] = {}
        self._slots = asyncio.Semaphore(at_once)
        self._enough = 2 * at_once
        self._finishing: set[asyncio.Task[None]] = set()
        self._over = False
        self._warned = False

    @property
    def held(self) -> int:
        """How many rollouts are held until their groups are whole."""
        return sum(map(len, self._open.values()))

    def add(self, rollout: Rollout) -> None:
        """Take a rollout that is on disk."""
        if self._over or (rollout.status is Status.CANCELLED and rollout.stop_reason != FINISH_AT):
            return
        task_id = rollout.task_id
        ended = self._open.setdefault(task_id, [])
        ended.append(rollout)
        if len(ended) == self._expected(task_id):
            self._to_run.pop(task_id, None)
            self._begin(task_id, self._open.pop(task_id))

    async def add_earlier(self, task_id: str) -> None:
        """Take a task all of whose rollouts have ended in an earlier part of the run, and wait for room."""
        earlier = self.earlier
        if earlier is None or self._score is None or self._over:
            return
        if not earlier.is_scored(task_id):
            self._begin(task_id, [])
            await self.room.wait()

    async def drain(self) -> None:
        """All rollouts have ended: wait for the groups that are being scored."""
        try:
            if self.later is not None and not self._over:
                await self.later()
            while self._finishing:
                await asyncio.wait(self._finishing)
        finally:
            self.end()

    def end(self) -> None:
        """Score nothing more; what is being scored is cancelled, and made when the run is resumed."""
        self._over = True
        self._open.clear()
        self.room.set()
        for task in self._finishing:
            task.cancel()

    def _expected(self, task_id: str) -> int:
        """How many rollouts of a task this part of the run is to give."""
        if self.earlier is None:
            return self._repeats
        known = self._to_run.get(task_id)
        if known is None:
            attempt = self.earlier.finished.attempt
            known = self._to_run[task_id] = sum(attempt(task_id, repeat) > 0 for repeat in range(self._repeats))
        return known

    def _begin(self, task_id: str, ended: list[Rollout]) -> None:
        if self._score is None and self.earlier is None:  # there is nothing to wait for
            self.announce(Group(task_id, _by_repeat(ended)))
            return
        task = asyncio.create_task(self._finish(task_id, ended))
        self._finishing.add(task)
        task.add_done_callback(self._finished)
        if len(self._finishing) >= self._enough:
            self.room.clear()

    async def _finish(self, task_id: str, ended: list[Rollout]) -> None:
        async with self._slots:
            if self.earlier is not None:
                kept = await asyncio.to_thread(self.earlier.finished.read, task_id, self.earlier.most)
                here = {rollout.repeat for rollout in ended}
                ended += [rollout for rollout in kept if rollout.repeat not in here]
            group = Group(task_id, _by_repeat(ended))
            if self._score is not None:
                group = await self._score(task_id, ended)
        if group.verdicts or group.error is not None:
            group = self._written(group)
            self._count(group)
        self.announce(group)

    def _written(self, group: Group) -> Group:
        """A group that is on disk."""
        try:
            self._write(group)
        except JsonError as error:  # a verdict that nests too deeply where it stands: the group's failure
            group = replace(group, verdicts={}, error=error_json(error, SCORE_GROUP, retryable=False))
            self._write(group)
        return group

    def _count(self, group: Group) -> None:
        before = self.earlier.lines.of(group.task_id) if self.earlier is not None else None
        if self._tally is not None:
            if before is not None:
                self._tally.remove(before.rewards, before.error)
            self._tally.add_group(group)
        if group.error is not None:
            about = f"{group.error.get('class')}: {group.error.get('message')}"
            log(
                "group_failed",
                f"the group of task {group.task_id!r} was not scored, its rollouts keep their own rewards: {about}",
                level=logging.INFO if self._warned else logging.WARNING,  # the summary counts the others
                task_id=group.task_id,
                fields={"error": dict(group.error)},
            )
            self._warned = True

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._finishing.discard(task)
        if len(self._finishing) < self._enough:
            self.room.set()
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.broken(error)


def _by_repeat(rollouts: Sequence[Rollout]) -> tuple[Rollout, ...]:
    return tuple(sorted(rollouts, key=lambda rollout: rollout.repeat))
