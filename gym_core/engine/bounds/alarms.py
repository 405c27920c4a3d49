"""Deadlines of thousands of rollouts for the price of one timer.

`asyncio.timeout` sets and cancels a timer of the event loop for every wait. Here a rollout only notes when it is due,
and one timer of the run looks for those that are; short bounds still get a timer of their own, to be exact. What
happens to the waiting code is the same: it is cancelled, and the cancellation leaves the block as an error. Code that
goes on all the same is given up after `GRACE` seconds: whoever looks after the rollout ends it without that code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from gym_core.domain.abandoned import GRACE
from gym_core.engine.bounds.deadlines import DeadlineExceeded

TICK = 0.5
"""Seconds between two looks. A bound shorter than `EXACT` is not rounded up to it."""
EXACT = 10.0
NEVER = float("inf")
"""The time of an alarm that is not set."""


class Watch:
    """Looks after the alarms of a run."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.alarms: set[Alarm] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.abandoned = 0
        """How many rollouts were given up because their code goes on."""

    def alarm(self) -> Alarm:
        """An alarm for the current task. It must be closed."""
        alarm = Alarm(self, self._loop)
        self.alarms.add(alarm)
        if self._timer is None:
            self._timer = self._loop.call_later(TICK, self._tick)
        return alarm

    def forget(self, alarm: Alarm) -> None:
        """Look after an alarm no longer."""
        self.alarms.discard(alarm)

    def _tick(self) -> None:
        now = self._loop.time()
        # Where the loop is behind, what was cancelled has perhaps not been told yet.
        behind = self._timer is not None and now - self._timer.when() > TICK
        self._timer = self._loop.call_later(TICK, self._tick) if self.alarms else None
        for alarm in [alarm for alarm in self.alarms if alarm.due <= now]:
            if alarm.rung is not None and behind:
                alarm.due = now + alarm.grace
            elif alarm.rung is not None:
                alarm.overdue(alarm.rung)
            else:
                alarm.ring(next(scope for scope in alarm.scopes if scope.due <= now))  # the outermost


class Alarm:
    """The bounds that hold for one task, innermost last. `due`: when the first of them is.

    `rung`: the bound that cancelled the task, `OUTSIDE` where somebody else did, until the task has left it; from then
    on the task has `grace` seconds, after which `give_up` is called with it, once. `others`: tasks of the author's own
    that are within a bound. `held`: what model calls under way hold, to be released for those that are given up.
    `detached`: whether what is awaited gets a task of its own, because nobody can be called to give it up. `ended`:
    `OUTSIDE` once somebody else wants the task to end.
    """

    def __init__(self, watch: Watch, loop: asyncio.AbstractEventLoop) -> None:
        task = asyncio.current_task(loop)
        assert task is not None
        self.loop = loop
        self.task = task
        self.due = NEVER
        self.scopes: list[Scope] = []
        self.rung: Scope | None = None
        self.others: set[asyncio.Task[Any]] = set()
        self.held: list[Any] = []
        self.grace = GRACE
        self.give_up: Callable[[Scope], None] | None = None
        self.detached = False
        self.ended: Scope | None = None
        self._before = 0
        self._watch = watch

    def within(self, phase: str, seconds: float) -> Scope:
        """A block that ends with `DeadlineExceeded(phase)` when it takes longer than `seconds`."""
        return Scope(self, phase, seconds)

    def ring(self, scope: Scope) -> None:
        """Cancel the task on behalf of a bound. Only one bound at a time does so."""
        if self.rung is None:
            self.rung = scope
            self.due = self.loop.time() + self.grace
            self._before = self.task.cancelling()  # what others have asked for stays theirs, see `Scope.__exit__`
            self.task.cancel()

    def end(self) -> None:
        """Cancel the task on behalf of somebody else; no bound rings any more."""
        self.ended = OUTSIDE
        if self.rung is None:
            self.rung = OUTSIDE
        self.due = self.loop.time() + self.grace
        self.task.cancel()

    def overdue(self, scope: Scope) -> None:
        """The task was cancelled, and goes on."""
        self.due = NEVER
        give_up, self.give_up = self.give_up, None
        if give_up is not None:
            give_up(scope)

    def allow(self, seconds: float) -> None:
        """What ends now has so many seconds for it, also when it is cancelled."""
        self.grace = seconds + GRACE
        if self.rung is not None:
            self.due = self.loop.time() + self.grace

    @contextmanager
    def waiting(self, seconds: float) -> Iterator[None]:
        """A wait for others: the clocks of all bounds that hold now stand still.

        Raises `DeadlineExceeded("waiting")` when it takes longer than `seconds`.
        """
        # The rollout's bounds are on its own work: who stands in line behind thousands has done nothing wrong. The wait
        # has a bound of its own in their place, or what never comes free would be waited for without end.
        paused = [*self.scopes]
        for scope in paused:
            scope.pause()
        try:
            with self.within("waiting", seconds):
                yield
        finally:
            for scope in paused:
                scope.proceed()

    def settle(self) -> None:
        """Find out what is due next."""
        if self.rung is None:
            self.due = min([scope.due for scope in self.scopes], default=NEVER)

    def close(self) -> None:
        """Look no longer."""
        self._watch.forget(self)
        self.give_up = None


class Scope:
    """One bound of an alarm. `due` is a time of the event loop; it moves while the rollout waits for others."""

    def __init__(self, alarm: Alarm, phase: str, seconds: float) -> None:
        self.alarm = alarm
        self.phase = phase
        self.seconds = seconds
        self._pauses = 0
        self._rung: int | None

    def __enter__(self) -> Scope:
        alarm = self.alarm
        loop, seconds = alarm.loop, self.seconds
        due = self.due = loop.time() + seconds
        task = asyncio.current_task(loop)  # without the loop it would ask the system for the process id
        if task is alarm.task:
            self._task = None
            self._timer = loop.call_at(due, alarm.ring, self) if seconds < EXACT else None
            alarm.scopes.append(self)
            before = self._before = alarm.due
            if due < before and alarm.rung is None:
                alarm.due = due
        else:  # a task of the agent's own, which the alarm of the rollout's task does not reach
            self._task, self._rung = task, None
            self._timer = alarm.loop.call_at(due, self._ring)
            self._outer = False
            if task is not None and task not in alarm.others:
                self._outer = True
                alarm.others.add(task)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        alarm = self.alarm
        if self._timer is not None:
            self._timer.cancel()
        task = self._task
        if task is None:
            alarm.scopes.remove(self)
            if alarm.rung is not self:
                if alarm.rung is None:
                    alarm.due = self._before
                return
            alarm.rung = alarm.ended
            alarm.settle()
            task, before = alarm.task, alarm._before
        else:
            if self._outer and task is not None:
                alarm.others.discard(task)
            if self._rung is None:
                return
            before = self._rung
        # A cancellation that somebody else has asked for since goes on as what it is.
        if task.uncancel() <= before and kind is asyncio.CancelledError:
            raise DeadlineExceeded(self.phase, self.seconds) from None

    def ring(self) -> None:
        """End the block now, as if its time had run out."""
        if self._task is None:
            self.alarm.ring(self)
        elif self._rung is None:
            if self._timer is not None:
                self._timer.cancel()
            self._ring()

    def _ring(self) -> None:
        assert self._task is not None
        self._rung = self._task.cancelling()
        self._task.cancel()
        self._timer = self.alarm.loop.call_later(GRACE, self.alarm.overdue, self)

    def pause(self) -> None:
        """Stop the clock until `proceed`; pauses may overlap."""
        # A bound is on what the rollout's own code takes, not on a queue that it stands in: for a slot, a rate limit or
        # a budget. Calls at once may each wait: only the first stops the clock and the last lets it run on, or two
        # waits that overlap would give back the same seconds twice.
        if self._pauses == 0:
            self._left = self.due - self.alarm.loop.time()
            self._set(NEVER)
        self._pauses += 1

    def proceed(self) -> None:
        """End a pause; with the last one the clock runs on."""
        self._pauses -= 1
        if self._pauses == 0:
            self._set(self.alarm.loop.time() + self._left)

    def _set(self, due: float) -> None:
        alarm = self.alarm
        self.due = due
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.seconds < EXACT and due != NEVER:
            self._timer = alarm.loop.call_at(due, alarm.ring, self)
        for outer, inner in zip(alarm.scopes, alarm.scopes[1:], strict=False):
            inner._before = min(outer.due, outer._before)
        alarm.settle()


OUTSIDE: Scope = Scope.__new__(Scope)
"""Stands for the bound of somebody else, who wants a task to end."""
