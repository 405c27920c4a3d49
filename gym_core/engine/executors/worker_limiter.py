"""The requests in flight of one worker: its share of what an endpoint takes from all workers together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gym_core.engine.executors.leases import EVERYTHING, Lease
from gym_core.engine.model_calls.rate_limits import DECREASE, UNLIMITED, Limiter


class WorkerLimiter(Limiter):
    """Has as many requests in flight as it was lent room for, and returns some when the endpoint complains.

    `changed` is called when the coordinator should look at `state` soon. It starts with nothing.
    """

    __slots__ = ("_changed", "_grown", "_lease", "_lowered")

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__()
        self.limit = 0
        self._changed = changed
        self._lease = Lease()
        self._lowered = 0.0
        self._grown = 0

    def lent(self, amount: int, keep: int, epoch: int) -> None:
        """The coordinator lends more, or wants room back. What it said before it knew of a complaint raises nothing."""
        self._lease.add(amount, keep if epoch >= self.epoch else self._lease.keep)
        self.epoch = max(self.epoch, epoch)
        self._follow()
        self._wake()

    def lower(self, epoch: int) -> None:
        """Another worker has met a complaint: what started before it says nothing new."""
        if epoch > self.epoch:  # else it was lowered already, for the same burst
            self._decrease(epoch)

    def succeeded(self) -> None:
        """A request went through; the coordinator adds up how many did while there was no room for more."""
        if self._waiters or self.inflight + 1 > self.limit:
            self._grown += 1

    def overloaded(self, epoch: int) -> None:
        """The endpoint complained about a request that started in `epoch`."""
        if epoch == self.epoch:
            self.decreases += 1
            self._decrease(epoch + 1)

    def _decrease(self, epoch: int) -> None:
        self.epoch = epoch
        self._lowered = min(self.limit, self.inflight) * DECREASE
        self._lease.keep = int(self._lowered)
        self._follow()
        self._changed()

    def _follow(self) -> None:
        if self._lease.settle(self.inflight):
            self._changed()
        self.limit = min(self._lease.held, self._lease.keep)

    @property
    def limited(self) -> bool:
        """Whether there is anything to tell."""
        return self.limit < EVERYTHING

    def state(self) -> dict[str, Any]:
        """What the coordinator has to know; `returned` and `grown` since the start.

        `lowered`: the limit after the complaint that began `epoch`. `grown`: answers that came while there was no room.
        `most`: what its backend wants at most, None for no bound.
        """
        self._follow()
        return {
            "epoch": self.epoch,
            "returned": self._lease.returned,
            "lowered": self._lowered,
            "inflight": self.inflight,
            "waiting": self.waiting,
            "grown": self._grown,
            "most": None if self.max_inflight == UNLIMITED else self.max_inflight,
        }
