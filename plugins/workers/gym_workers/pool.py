"""Rollouts in other processes: jobs are dealt out to workers, results come back as the lines that go to disk.

This is the coordinator's side, the same for processes of this machine and for actors of a cluster. It owns what there
must be one of: the order of jobs, the budget, the limits of endpoints, and the word on what became of each rollout.

What may be lost, and when. A job is in one worker at a time, and ends with the result that arrives here; only then it
is written and counted. A worker that dies costs what it had: what was under way, and what it had finished and not sent
yet, start again elsewhere, in fresh sessions. What two workers died with is tried alone, so that it is clear who is to
blame, and is a failure after the third. When the coordinator dies the workers end by themselves: nothing of theirs was
counted that is not on disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any

from gym_core import JsonError, Rollout
from gym_core.errors import GymError, RunStopped, UsageError
from gym_core.spi import Finished, Job, Results, SharedRequest, described
from gym_workers.channel import Head, Receive, WorkerChannel
from gym_workers.encoded import EncodedRollout
from gym_workers.error_wire import cause_from_wire
from gym_workers.frames import encode_frame
from gym_workers.shared_budget import SharedBudget
from gym_workers.shared_limits import SharedLimits
from gym_workers.worker_failures import WorkerFailures
from gym_workers.worker_handle import Entry, WorkerHandle
from gym_workers.worker_reports import WorkerReports

logger = logging.getLogger("gym")

DEAL_SECONDS = 0.1
"""How often requests in flight are dealt out anew; with very many workers less often."""
GRACE = 30.0
"""Seconds beyond the time that sessions have for closing, after which a worker that was told to end is killed."""
BATCH = 256


class PooledExecutor:
    """Has jobs carried out by workers.

    `launch`: see `WorkerLauncher`. `quotas`: rollouts at once, by worker; `settings`: what one with so many is told
    first. `shared_budget` is None where the run has no budget. `closing`: seconds that sessions have for closing.
    """

    def __init__(
        self,
        launch: Callable[[int, Receive, Callable[[str], None]], WorkerChannel],
        quotas: Sequence[int],
        settings: Callable[[int], bytes],
        *,
        failures: WorkerFailures,
        observers: WorkerReports,
        shared_budget: SharedBudget | None,
        endpoints: SharedLimits,
        flush_seconds: float,
        closing: float,
    ) -> None:
        self._launch_worker = launch
        self._quotas = quotas
        self._settings = settings
        self.concurrency = sum(quotas)
        self._paused = False
        self._failures = failures
        self._cited: tuple[SharedRequest, ...] = ()  # what the next row is to have written before it
        self._observers = observers
        self._shared_budget = shared_budget
        self._endpoints = endpoints
        self._flush_seconds = flush_seconds
        self._closing = closing
        self._loop = asyncio.get_running_loop()
        self._handles: set[WorkerHandle] = set()
        self._launched = 0
        self._hungry: deque[WorkerHandle] = deque()
        self._fed = asyncio.Event()
        self._feeding: asyncio.Task[None] | None = None
        self._dealing: asyncio.TimerHandle | None = None
        self._quarantine: WorkerHandle | None = None
        self._exhausted = False
        self._ending: tuple[str, str | None] | None = None
        self._draining = False
        self._error: BaseException | None = None
        self._out = 0  # rollouts that workers have
        self._results: Results[Job] = Results()
        self._gone = asyncio.Event()
        self._killing: asyncio.TimerHandle | None = None

    async def run(self, jobs: AsyncIterator[Job]) -> AsyncGenerator[Finished[Job], None]:
        """Start the workers, take jobs as soon as the first is ready, and hand out what they report.

        Once all is handed out, waits until the workers have ended.
        """
        if self._ending is not None:
            return
        try:
            for quota in self._quotas:
                self._launch(quota)
        except (GymError, OSError) as error:
            self._break(error)
        if self._ending is None:
            self._feeding = asyncio.create_task(self._feed(jobs))
            self._feeding.add_done_callback(self._fed_up)
            self._deal()
        try:
            async for finished in self._results.read(self.end):
                yield finished
        finally:
            await self._see_off()
        if self._error is not None:
            raise self._error

    def end(self, reason: str, stop_reason: str | None = None, *, drain: bool = False) -> None:
        """Take nothing more; with `drain` what is under way may go on."""
        self._ending, self._draining = (reason, stop_reason), drain
        if self._feeding is not None:
            self._feeding.cancel()
        self._tell_all({"end": [reason, stop_reason, drain]})
        if not drain:
            self._kill_later()
        self._look()

    def let_go(self, reason: str, stop_reason: str) -> None:
        """Cancel what is under way."""
        self._ending = (reason, stop_reason)
        self._tell_all({"let_go": [reason, stop_reason]})
        self._kill_later()
        self._look()

    def _tell_all(self, head: Head) -> None:
        for handle in self._handles:
            if handle.ready:
                handle.send(head)

    def set_concurrency(self, concurrency: int) -> None:
        """Have as many under way from now on, spread over the workers. Raises `UsageError`."""
        handles = sorted((one for one in self._handles if not one.leaving), key=lambda handle: handle.number)
        if concurrency < len(handles):
            raise UsageError(f"{len(handles)} workers have at least one rollout each", hint=f"at least {len(handles)}")
        self.concurrency = concurrency
        least, more = divmod(concurrency, len(handles) or 1)
        for place, handle in enumerate(handles):
            handle.quota = least + (place < more)
            handle.send({"concurrency": handle.quota})
            if self._ending is None:
                self._line_up(handle)

    def pause(self, paused: bool) -> None:
        """Have the workers begin nothing of what they were sent ahead."""
        self._paused = paused
        for handle in self._handles:
            tell(handle, {"paused": paused})

    def under_way(self) -> Iterator[tuple[str, int]]:
        """The task and the repeat of what workers were sent."""
        sent = (entry.job for handle in self._handles for entry in handle.open.values())
        return ((job.task.task_id, job.repeat) for job in sent)

    def cancel(self, task_id: str, repeat: int | None, reason: str) -> int:
        """Cancel the rollouts of a task, wherever they are."""
        found = 0
        for handle in self._handles:
            jobs = [entry.job for entry in handle.open.values()]
            count = sum(job.task.task_id == task_id and repeat in (None, job.repeat) for job in jobs)
            if count:
                tell(handle, {"cancel": [task_id, repeat, reason]})
                found += count
        return found

    async def _see_off(self) -> None:
        """Have the workers end, and wait until they have."""
        for timer in (self._killing, self._dealing):
            if timer is not None:
                timer.cancel()
        for handle in [*self._handles]:
            self._dismiss(handle)
            if not handle.ready:
                handle.channel.kill()
        if self._handles:
            self._kill_later()
            await self._gone.wait()
        if self._killing is not None:
            self._killing.cancel()

    def health(self) -> dict[str, Any]:
        """How the workers did."""
        return {"workers": self._observers.health(started=self._launched, died=self._failures.deaths)}

    # Dealing jobs out

    async def _feed(self, jobs: AsyncIterator[Job]) -> None:
        """Take jobs for as long as somebody can do with one."""
        given = 0
        await self._somebody_hungry()
        async for job in jobs:
            self._give(Entry(job))
            given += 1
            if given % BATCH == 0:
                await asyncio.sleep(0)
            await self._somebody_hungry()

    async def _somebody_hungry(self) -> None:
        while not self._hungry:
            self._fed.clear()
            await self._fed.wait()

    def _fed_up(self, feeding: asyncio.Task[None]) -> None:
        error = None if feeding.cancelled() else feeding.exception()
        if error is not None:
            self._break(error)
        self._exhausted = True
        self._look()

    def _give(self, entry: Entry) -> None:
        """Have an entry carried out by whoever has had nothing for the longest time."""
        while self._hungry:
            handle = self._hungry.popleft()
            handle.waits_in_line = False
            if handle in self._handles and handle.room > 0 and handle is not self._quarantine:
                break
        else:
            self._failures.put_back(entry)
            return
        self._assign(handle, entry)
        self._line_up(handle)

    def _assign(self, handle: WorkerHandle, entry: Entry) -> None:
        try:
            handle.assign(entry)
        except JsonError as error:
            self._report(entry, self._failures.unwritable(entry, error))
            return
        self._out += 1

    def _line_up(self, handle: WorkerHandle) -> None:
        if (
            not handle.waits_in_line
            and handle.ready
            and not handle.leaving
            and handle is not self._quarantine
            and handle.room > 0
        ):
            handle.waits_in_line = True
            self._hungry.append(handle)
            self._fed.set()

    def _retry(self) -> None:
        """Have carried out again what workers died with. What two died with is tried alone: then it is clear."""
        if self._ending is not None:
            return
        while self._hungry and (entry := self._failures.next()) is not None:
            self._give(entry)
        if self._failures.suspects and self._quarantine is None:
            ready = [handle for handle in self._handles if handle.ready and not handle.leaving]
            self._quarantine = min(ready, key=lambda handle: len(handle.open), default=None)
        handle = self._quarantine
        if handle is not None and not handle.open:
            suspect = self._failures.next_suspect()
            if suspect is not None:
                self._assign(handle, suspect)
            else:
                self._quarantine = None
                self._line_up(handle)

    # What workers say

    def _take_in(self, handle: WorkerHandle, head: Head, body: bytes) -> None:
        try:
            self._receive(handle, head, body)
        except Exception as error:  # a worker that nobody understands
            self._break(error)
            handle.channel.kill()

    def _receive(self, handle: WorkerHandle, head: Head, body: bytes) -> None:
        if "requests" in head:
            self._cited += tuple(map(SharedRequest.of, head["requests"]))
        if "results" in head:
            self._take_results(handle, head["results"], body)
        for number in head.get("dropped", ()):
            if handle.open.pop(number, None) is not None:
                self._out -= 1
        if "budget" in head and self._shared_budget is not None:
            self._shared_budget.told(handle, head["budget"])
        if "limits" in head:
            self._endpoints.told(handle, head["limits"])
        self._observers.told(handle.number, head)
        if "ready" in head:
            self._ready(handle)
        elif "failed" in head:
            self._failed(handle, head["failed"])
        elif "broken" in head:
            self._break(RunStopped(f"{handle.channel.name}: {head['broken'][0]}"))
        if self._ending is None:
            self._line_up(handle)
            if self._failures.waiting or self._quarantine is not None:
                self._retry()
        self._look()

    def _take_results(self, handle: WorkerHandle, results: Sequence[Sequence[Any]], body: bytes) -> None:
        start = 0
        for number, size, names_task, account, cause in results:
            line = body[start : start + size]
            start += size
            entry = handle.open.pop(number, None)
            if entry is None:
                continue
            self._out -= 1
            job = entry.job
            task = job.task
            account["task_id"] = task.task_id
            cited, self._cited = self._cited, ()
            rollout = EncodedRollout(line, account, job.repeat, source=task.source, names_task=names_task, cited=cited)
            self._report(entry, rollout, cause_from_wire(cause) if cause is not None else None)
        self._failures.finished += len(results)
        handle.reported(len(results))

    def _report(self, entry: Entry, rollout: Rollout, cause: BaseException | None = None) -> None:
        self._results.put(Finished(entry.job, rollout, cause))

    # Workers come and go

    def _launch(self, quota: int) -> None:
        handle = WorkerHandle(self._launched + 1, quota, self._loop.call_soon, flush_seconds=self._flush_seconds)
        settings = self._settings(quota)
        handle.channel = self._launch_worker(
            handle.number,
            lambda head, body: self._take_in(handle, head, body),
            lambda how: self._left(handle, how),
        )
        self._launched += 1
        self._handles.add(handle)
        handle.channel.send(encode_frame({"start": True}, [settings]))
        if self._paused:
            handle.channel.send(encode_frame({"paused": True}))
        if self._shared_budget is not None:
            self._shared_budget.join(handle)
        self._endpoints.join(handle)

    def _ready(self, handle: WorkerHandle) -> None:
        handle.ready = True
        self._failures.started()
        if self._ending is not None:
            self._dismiss(handle)
            return
        self._endpoints.deal()

    def _failed(self, handle: WorkerHandle, failed: Mapping[str, Any]) -> None:
        handle.leaving = True
        message = f"{handle.channel.name} could not start: {failed['message']}"
        self._break(RunStopped(message, hint=failed["hint"]))

    def _dismiss(self, handle: WorkerHandle) -> None:
        handle.leaving = True
        handle.send({"close": True})

    def _left(self, handle: WorkerHandle, how: str) -> None:
        """A worker has ended, as it was told to or not."""
        self._handles.discard(handle)
        died = not handle.leaving
        if self._shared_budget is not None:
            self._shared_budget.leave(handle, died=died)
        self._endpoints.leave(handle)
        if self._quarantine is handle:
            self._quarantine = None
        lost = list(handle.open.values())
        handle.open.clear()
        self._out -= len(lost)
        if died and (self._ending is None or lost):
            again = "" if self._ending is not None or not lost else f"; its {len(lost)} rollouts start again"
            logger.warning("%s died: %s%s", handle.channel.name, how, again, extra={"event": "worker_died"})
        if died and self._ending is None:
            stop = self._failures.died(handle.channel.name, how, ready=handle.ready, workers=len(self._quotas))
            for entry in lost:
                if self._failures.add(entry):
                    self._report(entry, self._failures.killer(entry))
            if stop is not None:
                self._break(stop)
            elif self._ending is None:
                self._replace(handle)
                self._retry()
        else:
            for entry in lost:
                self._lost(entry)
        if not self._handles:
            self._gone.set()
        self._look()

    def _replace(self, handle: WorkerHandle) -> None:
        try:
            self._launch(handle.quota)
        except (GymError, OSError) as error:
            self._break(error)

    def _lost(self, entry: Entry) -> None:
        assert self._ending is not None
        self._report(entry, self._failures.cancelled(entry, *self._ending))

    def _kill_later(self) -> None:
        if self._killing is not None:
            self._killing.cancel()
        self._killing = self._loop.call_later(self._closing + GRACE, self._kill)

    def _kill(self) -> None:
        for handle in [*self._handles]:
            handle.channel.kill()

    def _deal(self) -> None:
        self._dealing = self._loop.call_later(max(DEAL_SECONDS, len(self._handles) / 1000), self._deal)
        self._endpoints.deal()

    def _break(self, error: BaseException) -> None:
        """Nothing more can be carried out. What happens while everything ends changes nothing."""
        if self._ending is None or self._draining:
            self._error = error
            self.end(described(error))

    def _look(self) -> None:
        """Whether everything is done."""
        if self._ending is not None:
            for entry in self._failures.give_up():
                self._lost(entry)
        over = self._exhausted or self._ending is not None
        feeding = self._feeding is not None and not self._feeding.done()
        if over and not feeding and not self._out and not self._failures.waiting:
            self._results.close()


def tell(handle: WorkerHandle, head: Head) -> None:
    """Tell a worker something, unless it is about to go."""
    if not handle.leaving:
        handle.send(head)
