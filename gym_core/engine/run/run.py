"""A run that is open: source, executor, sink. `await run.execute()` has its jobs carried out, and nothing that happens
to one of them stops the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Generic

from gym_core.contract.executor import Finished, JobT, RolloutExecutor
from gym_core.domain.blame import described
from gym_core.domain.errors import BudgetExceeded, GymError
from gym_core.domain.group import Group
from gym_core.domain.json_text import JsonError
from gym_core.domain.rollout import Rollout
from gym_core.domain.stop_reasons import BUDGET, FINISH_AT
from gym_core.engine.loops import seldom_collected
from gym_core.engine.metrics.progress import Progress
from gym_core.engine.model_calls.gate import ModelGate
from gym_core.engine.observers.extensions import Room, Rooms
from gym_core.engine.observers.run_observers import Announce
from gym_core.engine.rollout.rollout_run import CANCELLED
from gym_core.engine.rollout.row import unwritable
from gym_core.engine.run.control import Control
from gym_core.engine.run.early_stop import Judge
from gym_core.engine.run.groups import Groups
from gym_core.engine.run.record import Record
from gym_core.engine.run.source import Source
from gym_core.engine.storage.store import FreshRollout, as_fresh


def _nobody(rollout: Rollout) -> None:
    """Hears of a rollout."""


@dataclass(slots=True, kw_only=True)
class Run(Generic[JobT]):
    """One run that is open: wired and checked, nothing has been paid for yet.

    `progress` may be read at any time. `notices`: warnings. `gates`: the ways to the models by role. `finish_at`: with
    this share of all rollouts finished and no job left, the others are let go. `heard`: hears of each rollout before
    all others; `further`: what the summary says besides the usual. `groups`: where the rollouts of a task are put
    together.
    """

    source: Source[JobT]
    executor: RolloutExecutor[JobT]
    record: Record
    notices: list[str]
    gates: Mapping[str, ModelGate]
    finish_at: float | None = None
    heard: Announce = _nobody
    further: Callable[[], dict[str, Any]] = dict
    groups: Groups | None = None
    error: BaseException | None = field(init=False, default=None)
    """What stopped it, if anything did."""
    _reason: str = field(init=False, default="")
    _stopped: bool = field(init=False, default=False)
    _draining: bool = field(init=False, default=False)
    _exhausted: bool = field(init=False, default=False)
    over: bool = field(init=False, default=False)
    """Whether all that it had to do is done."""

    @property
    def progress(self) -> Progress:
        """How it is doing."""
        return self.record.progress

    async def execute(
        self,
        announce: Announce = _nobody,
        *,
        room: Room | None = None,
        announce_group: Callable[[Group], None] | None = None,
    ) -> dict[str, Any]:
        """Collect all rollouts; returns the summary, which is on disk by then.

        `announce` is called with each rollout once it is on disk, `announce_group` with each group once all of its
        rollouts have been announced and what it came to is on disk; while `room` is not set nothing new is started.
        What ended the run early is in `error`.
        """

        def tell(rollout: Rollout) -> None:
            self.heard(rollout)
            announce(rollout)

        told = tell if self.heard is not _nobody else announce
        with seldom_collected():
            return await self._execute(told, room, announce_group)

    async def _execute(
        self, announce: Announce, room: Room | None, announce_group: Callable[[Group], None] | None
    ) -> dict[str, Any]:
        observers = self.record.observers
        self.record.start(self.notices)
        announce, room = observers.announcing(announce), observers.room(room)
        if self.groups is not None:
            announce, room = self._grouping(self.groups, announce, room, announce_group)
        known = self.source.look_through()
        if known is not None:
            known.add_done_callback(self._known)
        control = Control(self) if observers.steer else None
        if control is not None:
            observers.hand_over(control)
            room = Rooms(room, control.unpaused)
        try:
            await self._carry_out(Sink(self.record, announce), room)
            if self.groups is not None:
                await self.groups.drain()
            if known is not None and self.source.known:
                await asyncio.wait([known])
            await self.record.flush()
        except asyncio.CancelledError:
            self.stop(CANCELLED)
            raise
        except Exception as error:  # what was put together may not be all, or not be on the disk
            self._fail(error)
        finally:
            self.over = True
            await observers.drain()
            summary = await self._end()
        return summary

    def stop(self, reason: str, error: BaseException | None = None, *, drain: bool = False) -> None:
        """End the run early, for an error that there was: start nothing more, and end what is under way.

        Every open rollout is recorded as cancelled, no group scored. `drain`: what is open may go on to its end;
        another stop ends it, too.
        """
        if self._stopped and (drain or not self._draining):
            return
        if not self._stopped or error is not None:
            self._reason = reason
            self.error = error
        self._stopped, self._draining = True, drain
        spent = isinstance(self.error, BudgetExceeded)
        self.executor.end(self._reason or CANCELLED, BUDGET if spent else None, drain=drain)
        if self.groups is not None and not drain:
            self.groups.end()

    def _fail(self, error: BaseException) -> None:
        """Note what went wrong after the last rollout; an earlier error stands."""
        self.stop(str(error), error)
        if self.error is None:
            self.error = error

    # Jobs

    async def _carry_out(self, sink: Sink, room: Room | None) -> None:
        """Have all jobs done, or what is left of them after `stop`. While `room` is not set nothing new is started."""
        try:
            async with aclosing(self._jobs(sink, room)) as jobs:
                async for finished in self.executor.run(jobs):
                    self._take(finished, sink)
        except Exception as error:
            self.stop(described(error), error)
        finally:
            self.progress.in_flight = 0  # what was handed over and never begun is over, too
            sink.close()

    async def _jobs(self, sink: Sink, room: Room | None) -> AsyncGenerator[JobT, None]:
        """The jobs of the source, each as soon as there is room for it."""
        progress = self.progress
        async with aclosing(self.source.jobs()) as jobs:
            while True:
                if room is not None and not room.is_set():
                    await room.wait()
                try:
                    job = await anext(jobs)
                except StopAsyncIteration:
                    break
                except Exception as error:
                    self.stop(described(error), error)
                    return
                progress.in_flight += 1
                yield job
        self._exhausted = True
        self._let_go(sink)

    def _take(self, finished: Finished[JobT], sink: Sink) -> None:
        self.record.progress.in_flight -= 1
        try:
            early = sink.take(finished.rollout, finished.cause)
        except Exception as error:  # its row could not be written
            self.stop(described(error), error)
            return
        if early is not None:
            # what needs no further call has been paid for: it may end
            self.stop(early.message, early, drain=isinstance(early, BudgetExceeded))
        if self._exhausted:
            self._let_go(sink)

    def _let_go(self, sink: Sink) -> None:
        """Cancel the stragglers, once there are few enough of them and nothing else is to do."""
        finished, left = self.progress.finished, self.progress.in_flight
        if self.finish_at is None or self._stopped or not left:
            return
        if finished >= self.finish_at * (finished + left + sink.held):
            share, self.finish_at = self.finish_at, None
            self.executor.let_go(f"{share:.0%} of the rollouts had finished (--finish-at)", FINISH_AT)

    def _grouping(
        self, groups: Groups, announce: Announce, room: Room | None, announce_group: Callable[[Group], None] | None
    ) -> tuple[Announce, Room | None]:
        """What is told of a rollout, and what says whether there is room, where groups are wanted by anybody."""
        told = self.record.observers.announcing_groups(announce_group)
        if told is None and not groups.scores:
            return announce, room
        if told is not None:
            groups.announce = told
        groups.broken = lambda error: self.stop(described(error), error)
        if groups.later is not None:
            return announce, room

        def tell(rollout: Rollout) -> None:
            announce(rollout)
            groups.add(rollout)

        return tell, Rooms(room, groups.room)

    # What is said of it

    def waiting(self) -> dict[str, int]:
        """How many model calls wait, by what for, `endpoint` or `budget`; without what nobody waits for."""
        limiters = {id(limiter): limiter for gate in self.gates.values() for limiter in gate.limiters}
        budget = self.record.budget
        waiting = {
            "endpoint": sum(limiter.waiting for limiter in limiters.values()),
            "budget": budget.waiting if budget is not None else 0,
        }
        return {what: count for what, count in waiting.items() if count}

    def _known(self, known: asyncio.Future[None]) -> None:
        """All tasks are known: complete what was open until then."""
        try:
            known.result()
            self.progress.total = self.source.planned
            self.record.complete(self.source.info.found())
        except GymError as error:
            self.stop(error.message, error)

    async def _end(self) -> dict[str, Any]:
        state = "finished"
        if self._stopped:
            state = "stopped" if self.error is not None else "interrupted"
        summary, unwritten = await self.record.end(
            state, self._reason, self.error, health=self.executor.health(), further=self.further()
        )
        if unwritten is not None:
            self._fail(unwritten)
        return summary


class Sink:
    """Puts rollouts on disk, where their run has files; only when one is there it is counted and announced."""

    def __init__(self, record: Record, announce: Announce) -> None:
        self._store = record.store
        self._progress = record.progress
        self._announce = announce
        self._judge = Judge()

    @property
    def held(self) -> int:
        """How many failures are held back until it is clear what they mean."""
        return self._judge.held

    def take(self, rollout: Rollout, cause: BaseException | None) -> GymError | None:
        """Keep a rollout, which `cause` has failed; returns what ends the run, if that does. Raises `StoreError`."""
        fresh = as_fresh(rollout)
        if self._store is not None:
            self._store.cite(fresh.cited)  # before any row that cites it, also where this one is held back
        if cause is None and self._judge.settled:
            self._keep(fresh)
            return None
        kept, stop = self._judge.judge(fresh, cause)
        for each in kept:
            self._keep(each)
        return stop

    def close(self) -> None:
        """Keep what was held back. Raises `StoreError`."""
        for rollout in self._judge.release():
            self._keep(rollout)

    def _keep(self, rollout: FreshRollout) -> None:
        if self._store is not None:
            try:
                self._store.write(rollout)
            except JsonError as error:  # something in it is no JSON: that is this rollout's failure and nobody else's
                rollout = unwritable(rollout, error)
                self._store.write(rollout)
        self._progress.add(rollout.counted)
        self._announce(rollout)
