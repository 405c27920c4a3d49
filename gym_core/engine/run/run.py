"""A run that is open: `await run.execute()` collects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic

from gym_core.contract.executor import JobT, RolloutExecutor
from gym_core.domain.blame import described
from gym_core.domain.errors import GymError, StoreError
from gym_core.domain.group import Group
from gym_core.domain.rollout import Rollout
from gym_core.engine.loops import seldom_collected
from gym_core.engine.metrics.progress import Progress
from gym_core.engine.model_calls.gate import ModelGate
from gym_core.engine.observers.extensions import Room, Rooms
from gym_core.engine.observers.run_observers import Announce
from gym_core.engine.rollout.rollout_run import CANCELLED
from gym_core.engine.run.control import Control
from gym_core.engine.run.groups import Groups
from gym_core.engine.run.pipeline import Pipeline, Sink, Source
from gym_core.engine.run.record import Record


def _nobody(rollout: Rollout) -> None:
    """Hears of a rollout."""


@dataclass(slots=True, kw_only=True)
class Run(Generic[JobT]):
    """One run that is open: wired and checked, nothing has been paid for yet.

    `progress` may be read at any time. `notices`: warnings. `gates`: the ways to the models by role. `finish_at`: see
    `Pipeline`. `heard`: hears of each rollout before all others; `further`: what the summary says besides the usual.
    `groups`: where the rollouts of a task are put together.
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
    _pipeline: Pipeline[JobT] = field(init=False)

    def __post_init__(self) -> None:
        self._pipeline = Pipeline(
            self.source, self.executor, self.progress, groups=self.groups, finish_at=self.finish_at
        )

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
        sink = Sink(self.record.store, self.progress, announce)
        known = self.source.look_through()
        if known is not None:
            known.add_done_callback(self._known)
        control = self._control() if observers.steer else None
        try:
            await self._pipeline.run(sink, room if control is None else Rooms(room, control.unpaused))
            if self.groups is not None:
                await self.groups.drain()
            if known is not None and self.source.known:
                await asyncio.wait([known])
            await self.record.flush()
        except asyncio.CancelledError:
            self.stop(CANCELLED)
            raise
        except Exception as error:  # what was put together may not be all, or not be on the disk
            self._pipeline.fail(error)
        finally:
            if control is not None:
                control.over = True
            await observers.drain()
            summary, unwritten = await self._end()
            if unwritten is not None:
                self._pipeline.fail(unwritten)
        return summary

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

    def stop(self, reason: str, error: BaseException | None = None) -> None:
        """End the run early, for an error that there was; what is under way is recorded as cancelled."""
        self._pipeline.stop(reason, error)

    @property
    def error(self) -> BaseException | None:
        """What stopped the run, if anything did."""
        return self._pipeline.error

    def waiting(self) -> dict[str, int]:
        """How many model calls wait, by what for, `endpoint` or `budget`; without what nobody waits for."""
        limiters = {id(limiter): limiter for gate in self.gates.values() for limiter in gate.limiters}
        waiting = {
            "endpoint": sum(limiter.waiting for limiter in limiters.values()),
            "budget": self.record.budget.waiting if self.record.budget is not None else 0,
        }
        return {what: count for what, count in waiting.items() if count}

    def _control(self) -> Control:
        control = Control(self.executor, self.progress, self.stop, self._about, self.waiting)
        self.record.observers.hand_over(control)
        return control

    def _about(self, state: dict[str, Any]) -> dict[str, Any]:
        """What is said of the run while it goes on, masked."""
        about: dict[str, Any] = self.record.masked(
            {"run_id": self.record.manifest.run_id, "output": self.record.output, **state}
        )
        return about

    def _known(self, known: asyncio.Future[None]) -> None:
        """All tasks are known: complete what was open until then."""
        try:
            known.result()
            self.progress.total = self.source.planned
            self.record.complete(self.source.info.found())
        except GymError as error:
            self.stop(error.message, error)

    async def _end(self) -> tuple[dict[str, Any], StoreError | None]:
        pipeline = self._pipeline
        state = "finished"
        if pipeline.stopped:
            state = "stopped" if pipeline.error is not None else "interrupted"
        return await self.record.end(
            state, pipeline.reason, pipeline.error, health=self.executor.health(), further=self.further()
        )
