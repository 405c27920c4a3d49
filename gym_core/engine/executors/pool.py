"""Rollouts in other processes: jobs are dealt out to workers, results come back as the lines that go to disk.

This is the coordinator's side, the same for processes of this machine and for actors of a cluster. It owns what there
must be one of: the order of jobs, the budget, the limits of endpoints, and the word on what became of each rollout. A
worker that dies costs the rollouts that it had: they start again elsewhere, in fresh sessions.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gym_core.contract.executor import Head, WorkerLauncher
from gym_core.domain.errors import GymError, RunStopped
from gym_core.domain.json_text import JsonError
from gym_core.domain.rollout import Rollout
from gym_core.engine.executors.causes import cause_from_wire
from gym_core.engine.executors.frames import encode_frame
from gym_core.engine.executors.interface import Host
from gym_core.engine.executors.leases import Leases
from gym_core.engine.executors.losses import LostRollouts
from gym_core.engine.executors.member import Entry, Member
from gym_core.engine.executors.observers import Observers
from gym_core.engine.executors.shares import Endpoint
from gym_core.engine.numbers.progress import Progress
from gym_core.engine.storage.encoded import EncodedRollout

logger = logging.getLogger("gym")

DEAL_SECONDS = 0.1
"""How often requests in flight are dealt out anew; with very many workers less often."""
GRACE = 30.0
"""Seconds beyond the time that sessions have for closing, after which a worker that was told to end is killed."""
BATCH = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """What a pool is made of. `quotas`: rollouts at once, by worker; `settings`: for a worker with so many."""

    launcher: WorkerLauncher
    settings: Callable[[int], bytes]
    quotas: Sequence[int]


class PooledExecutor:
    """Has the jobs of its host carried out by workers.

    `leases` and `endpoints` are None and empty where the run has no budget and no model of its own. `closing`: seconds
    that sessions have for closing.
    """

    def __init__(
        self,
        company: Company,
        progress: Progress,
        *,
        losses: LostRollouts,
        observers: Observers,
        leases: Callable[[Callable[[Member, Head], None]], Leases | None],
        endpoints: Callable[[Callable[[Member, Head], None]], Mapping[str, Endpoint]],
        closing: float,
    ) -> None:
        self._company = company
        self._progress = progress
        self._losses = losses
        self._observers = observers
        self._leases = leases(_send)
        self._endpoints = endpoints(_send)
        self._closing = closing
        self._host: Host
        self._loop = asyncio.get_running_loop()
        self._members: set[Member] = set()
        self._launched = 0
        self._hungry: deque[Member] = deque()
        self._fed = asyncio.Event()
        self._feeding: asyncio.Task[None] | None = None
        self._dealing: asyncio.TimerHandle | None = None
        self._quarantine: Member | None = None
        self._exhausted = False
        self._ending: tuple[str, str | None] | None = None
        self._idle = asyncio.Event()
        self._gone = asyncio.Event()
        self._killing: asyncio.TimerHandle | None = None

    @property
    def busy(self) -> int:
        """Rollouts under way, those that a death has thrown back among them."""
        return self._progress.in_flight + self._losses.waiting

    def start(self, host: Host) -> None:
        """Start the workers, and take jobs as soon as the first is ready."""
        self._host = host
        if self._ending is not None:
            self._idle.set()
            return
        try:
            for quota in self._company.quotas:
                self._launch(quota)
        except (GymError, OSError) as error:
            host.broken(error)
        if self._ending is None:
            self._feeding = asyncio.create_task(self._feed())
            self._feeding.add_done_callback(self._fed_up)
            self._deal()

    def end(self, reason: str, stop_reason: str | None = None, *, drain: bool = False) -> None:
        """Take nothing more; with `drain` what is under way may go on."""
        self._ending = (reason, stop_reason)
        if self._feeding is not None:
            self._feeding.cancel()
        for member in self._members:
            if member.ready:
                member.send({"end": [reason, stop_reason, drain]})
        if not drain:
            self._kill_later()
        self._look()

    def let_go(self, reason: str, stop_reason: str) -> None:
        """Cancel what is under way."""
        self._ending = (reason, stop_reason)
        for member in self._members:
            if member.ready:
                member.send({"let_go": [reason, stop_reason]})
        self._kill_later()
        self._look()

    async def wait(self) -> None:
        """Wait until all is reported, and until the workers have ended."""
        await self._idle.wait()
        for timer in (self._killing, self._dealing):
            if timer is not None:
                timer.cancel()
        for member in [*self._members]:
            self._dismiss(member)
            if not member.ready:
                member.channel.kill()
        if self._members:
            self._kill_later()
            await self._gone.wait()
        if self._killing is not None:
            self._killing.cancel()

    def health(self) -> dict[str, Any]:
        """How the workers did."""
        return {"workers": self._observers.health(started=self._launched, died=self._losses.deaths)}

    # Dealing jobs out

    async def _feed(self) -> None:
        """Take jobs for as long as somebody can do with one."""
        given = 0
        while True:
            while not self._hungry:
                self._fed.clear()
                await self._fed.wait()
            job = await self._host.take()
            if job is None:
                self._exhausted = True
                self._look()
                return
            self._give(Entry(job))
            given += 1
            if given % BATCH == 0:
                await asyncio.sleep(0)

    def _fed_up(self, feeding: asyncio.Task[None]) -> None:
        error = None if feeding.cancelled() else feeding.exception()
        if error is not None:
            self._host.broken(error)
        self._look()

    def _give(self, entry: Entry) -> None:
        """Have an entry carried out by whoever has had nothing for the longest time."""
        while self._hungry:
            member = self._hungry.popleft()
            member.waits_in_line = False
            if member in self._members and member.room > 0 and member is not self._quarantine:
                break
        else:
            self._losses.put_back(entry)
            return
        self._assign(member, entry)
        self._line_up(member)

    def _assign(self, member: Member, entry: Entry) -> None:
        try:
            member.assign(entry)
        except JsonError as error:
            self._report(self._losses.unwritable(entry, error))
            return
        self._progress.in_flight += 1

    def _line_up(self, member: Member) -> None:
        if (
            not member.waits_in_line
            and member.ready
            and not member.leaving
            and member is not self._quarantine
            and member.room > 0
        ):
            member.waits_in_line = True
            self._hungry.append(member)
            self._fed.set()

    def _retry(self) -> None:
        """Have carried out again what workers died with. What two died with is tried alone: then it is clear."""
        if self._ending is not None:
            return
        while self._hungry and (entry := self._losses.next()) is not None:
            self._give(entry)
        if self._losses.suspects and self._quarantine is None:
            ready = [member for member in self._members if member.ready and not member.leaving]
            self._quarantine = min(ready, key=lambda member: len(member.open), default=None)
        member = self._quarantine
        if member is not None and not member.open:
            suspect = self._losses.next_suspect()
            if suspect is not None:
                self._assign(member, suspect)
            else:
                self._quarantine = None
                self._line_up(member)

    # What workers say

    def _take_in(self, member: Member, head: Head, body: bytes) -> None:
        try:
            self._receive(member, head, body)
        except Exception as error:  # a worker that nobody understands
            self._host.broken(error)
            member.channel.kill()

    def _receive(self, member: Member, head: Head, body: bytes) -> None:
        if "results" in head:
            self._results(member, head["results"], body)
        for number in head.get("dropped", ()):
            if member.open.pop(number, None) is not None:
                self._progress.in_flight -= 1
        if "budget" in head and self._leases is not None:
            self._leases.told(member, head["budget"])
        for endpoint, state in head.get("limits", {}).items():
            self._endpoints[endpoint].told(member, state)
        self._observers.told(member.number, head)
        if "ready" in head:
            self._ready(member)
        elif "failed" in head:
            self._failed(member, head["failed"])
        elif "broken" in head:
            self._host.broken(RunStopped(f"{member.channel.name}: {head['broken'][0]}"))
        if self._ending is None:
            self._line_up(member)
            if self._losses.waiting or self._quarantine is not None:
                self._retry()
        self._look()

    def _results(self, member: Member, results: Sequence[Sequence[Any]], body: bytes) -> None:
        start = 0
        for number, size, names_task, account, cause in results:
            line = body[start : start + size]
            start += size
            entry = member.open.pop(number, None)
            if entry is None:
                continue
            self._progress.in_flight -= 1
            task = entry.job.task
            account["task_id"] = task.task_id
            rollout = EncodedRollout(line, account, source=task.source, names_task=names_task)
            self._report(rollout, cause_from_wire(cause) if cause is not None else None)
        self._losses.finished += len(results)
        member.reported(len(results))

    def _report(self, rollout: Rollout, cause: BaseException | None = None) -> None:
        try:
            self._host.finished(rollout, cause)
        except Exception as error:
            self._host.broken(error)

    # Workers come and go

    def _launch(self, quota: int) -> None:
        flush_seconds = self._company.launcher.flush_seconds
        member = Member(self._launched + 1, quota, self._loop.call_soon, flush_seconds=flush_seconds)
        settings = self._company.settings(quota)
        member.channel = self._company.launcher.launch(
            member.number,
            lambda head, body: self._take_in(member, head, body),
            lambda how: self._left(member, how),
        )
        self._launched += 1
        self._members.add(member)
        member.channel.send(encode_frame({"start": True}, [settings]))
        if self._leases is not None:
            self._leases.join(member)
        for endpoint in self._endpoints.values():
            endpoint.join(member)

    def _ready(self, member: Member) -> None:
        member.ready = True
        self._losses.started()
        if self._ending is not None:
            self._dismiss(member)
            return
        for endpoint in self._endpoints.values():
            endpoint.deal()

    def _failed(self, member: Member, failed: Mapping[str, Any]) -> None:
        member.leaving = True
        message = f"{member.channel.name} could not start: {failed['message']}"
        self._host.broken(RunStopped(message, hint=failed["hint"]))

    def _dismiss(self, member: Member) -> None:
        member.leaving = True
        member.send({"close": True})

    def _left(self, member: Member, how: str) -> None:
        """A worker has ended, as it was told to or not."""
        self._members.discard(member)
        died = not member.leaving
        if self._leases is not None:
            self._leases.leave(member, died=died)
        for endpoint in self._endpoints.values():
            endpoint.leave(member)
        if self._quarantine is member:
            self._quarantine = None
        lost = list(member.open.values())
        member.open.clear()
        self._progress.in_flight -= len(lost)
        if died and (self._ending is None or lost):
            again = "" if self._ending is not None or not lost else f"; its {len(lost)} rollouts start again"
            logger.warning("%s died: %s%s", member.channel.name, how, again, extra={"event": "worker_died"})
        if died and self._ending is None:
            stop = self._losses.died(member.channel.name, how, ready=member.ready, workers=len(self._company.quotas))
            for entry in lost:
                if self._losses.add(entry):
                    self._report(self._losses.killer(entry))
            if stop is not None:
                self._host.broken(stop)
            elif self._ending is None:
                self._replace(member)
                self._retry()
        else:
            for entry in lost:
                self._lost(entry)
        if not self._members:
            self._gone.set()
        self._look()

    def _replace(self, member: Member) -> None:
        try:
            self._launch(member.quota)
        except (GymError, OSError) as error:
            self._host.broken(error)

    def _lost(self, entry: Entry) -> None:
        assert self._ending is not None
        self._report(self._losses.cancelled(entry, *self._ending))

    def _kill_later(self) -> None:
        if self._killing is not None:
            self._killing.cancel()
        self._killing = self._loop.call_later(self._closing + GRACE, self._kill)

    def _kill(self) -> None:
        for member in [*self._members]:
            member.channel.kill()

    def _deal(self) -> None:
        self._dealing = self._loop.call_later(max(DEAL_SECONDS, len(self._members) / 1000), self._deal)
        for endpoint in self._endpoints.values():
            endpoint.deal()

    def _look(self) -> None:
        """Whether everything is done."""
        if self._ending is not None:
            for entry in self._losses.give_up():
                self._lost(entry)
        over = self._exhausted or self._ending is not None
        feeding = self._feeding is not None and not self._feeding.done()
        if over and not feeding and not self._progress.in_flight and not self._losses.waiting:
            self._idle.set()


def _send(member: Member, head: Head) -> None:
    if not member.leaving:
        member.send(head)
