"""A clock that moves only when it is told to, or slept on: waiting for another attempt takes no time."""

from __future__ import annotations

import asyncio

from gym_core.spi import Clock


class FakeClock:
    """Time for the engine. Sleeping takes no time and moves the clock; `slept` holds how long each sleep was."""

    def __init__(self, jitter: float = 1.0) -> None:
        self.now = 1000.0
        self.jitter = jitter
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        """Move the clock."""
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    @property
    def clock(self) -> Clock:
        """This clock as the engine takes it."""
        return Clock(lambda: self.now, self.sleep, lambda: self.jitter)
