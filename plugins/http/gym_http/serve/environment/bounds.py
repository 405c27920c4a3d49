"""Time limits for requests, of which thousands share what the engine makes for one rollout."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from gym_core.spi import GRACE, NEVER, Alarm, Scope, Watch

_current: ContextVar[Alarm | None] = ContextVar("gym_serve_alarm", default=None)


class AnyTask(Alarm):
    """An alarm for whichever task asks: it makes a timer for a bound, and nothing where nothing is waited for.

    Within `asking` it is that request's own alarm instead, whose clocks stand still while it waits for a model's slot.
    """

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.task = None  # type: ignore[assignment]  # no task is this one: every bound gets its own timer
        self.due = NEVER
        self.scopes = []
        self.rung = self.give_up = self.ended = None
        self.others = set()
        self.held = []
        self.grace = GRACE
        self.detached = True  # a request ends when it has to, whether or not the session's code does

    def within(self, phase: str, seconds: float) -> Scope:
        """A block that ends with `DeadlineExceeded(phase)` when it takes longer than `seconds`."""
        return Scope(_current.get() or self, phase, seconds)

    @contextmanager
    def waiting(self, seconds: float) -> Iterator[None]:
        """A wait for others: the clocks of the request stand still."""
        alarm = _current.get()
        with super().waiting(seconds) if alarm is None else alarm.waiting(seconds):
            yield

    def close(self) -> None:
        """Nothing looks after it."""


@contextmanager
def asking(watch: Watch) -> Iterator[None]:
    """A request that may ask models: it has an alarm of its own."""
    alarm = watch.alarm()
    token = _current.set(alarm)
    try:
        yield
    finally:
        _current.reset(token)
        alarm.close()
