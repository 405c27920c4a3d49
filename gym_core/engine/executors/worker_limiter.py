"""The requests in flight of one worker: its share of what an endpoint takes from all workers together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gym_core.engine.model_calls.rate_limits import DECREASE, UNLIMITED, Limiter


class WorkerLimiter(Limiter):
    """Has the limit that the coordinator gives it, and lowers it by itself when the endpoint complains.

    `changed` is called when the coordinator should look at `state` soon.
    """

    __slots__ = ("_changed", "_complained", "_generation", "_grown", "_serial")

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__()
        self._changed = changed
        self._generation = 0
        self._complained = False
        self._grown = 0
        self._serial = 0

    def share(self, limit: float, generation: int, serial: int) -> None:
        """The coordinator's word: how many requests may be in flight from here on.

        One that was given before a complaint came to be known is out of date. `serial`: its number, for the answer.
        """
        self._serial = serial
        if generation < self._generation or self._complained:
            return
        self._generation = generation
        self.limit = limit
        self._changed()
        self._wake()

    def lower(self, generation: int) -> None:
        """A worker, this one or another, has met a complaint: what started before it says nothing new."""
        self._generation = generation
        if not self._complained:  # else it was lowered already, for the same burst
            self.epoch += 1
            self.limit = min(self.limit, self.inflight) * DECREASE
        self._complained = False
        self._changed()

    def succeeded(self) -> None:
        """A request went through; the coordinator adds up how many did while there was no room for more."""
        if self._waiters or self.inflight + 1 > self.limit:
            self._grown += 1

    def overloaded(self, epoch: int) -> None:
        """The endpoint complained about a request that started in `epoch`."""
        if epoch != self.epoch:
            return
        self.epoch += 1
        self.decreases += 1
        self.limit = min(self.limit, self.inflight) * DECREASE
        self._complained = True
        self._changed()

    @property
    def limited(self) -> bool:
        """Whether there is anything to tell."""
        return self.limit < UNLIMITED

    def state(self) -> dict[str, Any]:
        """What the coordinator has to know. `grown`: answers that came while there was no room, since the start."""
        return {
            "generation": self._generation,
            "serial": self._serial,
            "complained": self._complained,
            "limit": self.limit,
            "inflight": self.inflight,
            "waiting": self.waiting,
            "grown": self._grown,
        }
