"""Requests in flight to one endpoint: full speed until it complains, then fewer, then slowly more.

Additive increase, multiplicative decrease, as TCP does it (Chiu and Jain, 1989). Rollouts stay admitted; only their
requests wait.

A slot belongs to one request, from the turn of the loop in which it is handed over until it is released: also where
whoever waited for it was cancelled in between, since nobody else would ever release it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

DECREASE = 0.7
UNLIMITED = float("inf")


class Limiter:
    """A semaphore whose size adapts. `max_inflight`: the most it will ever allow.

    Somebody else may own the number and lend it in pieces: he sets the `limit`, and calls `wake` where it has grown.
    """

    __slots__ = ("_waiters", "decreases", "epoch", "inflight", "limit", "max_inflight", "waiting")

    def __init__(self, max_inflight: int | None = None) -> None:
        self.max_inflight: float = UNLIMITED if max_inflight is None else max_inflight
        self.limit: float = self.max_inflight
        self.inflight = 0
        self.decreases = 0
        self.epoch = 0
        """Changes with every decrease; a request remembers the one it started in."""
        self.waiting = 0
        """How many requests wait for a slot."""
        self._waiters: deque[asyncio.Future[None]] = deque()

    def cap(self, max_inflight: int | None) -> None:
        """Allow no more than this, where several users of the endpoint have limits of their own."""
        if max_inflight is not None:
            self.max_inflight = min(self.max_inflight, max_inflight)
            self.limit = min(self.limit, self.max_inflight)

    @property
    def full(self) -> bool:
        """Whether a request that came now would have to wait."""
        return bool(self._waiters) or self.inflight + 1 > self.limit

    def try_acquire(self) -> bool:
        """Take a slot if one is free and nobody waits for it."""
        if self.full:
            return False
        self.inflight += 1
        return True

    async def acquire(self) -> None:
        """Take a slot, waiting in line for it."""
        if self.try_acquire():
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self.waiting += 1
        self.wake()  # those in front may all have been cancelled
        try:
            await waiter
        except asyncio.CancelledError:
            # handed over in one turn of the loop, and cancelled in the next
            if not waiter.cancelled():
                self.release()
            raise
        finally:
            self.waiting -= 1

    def release(self) -> None:
        """Give a slot back."""
        self.inflight -= 1
        if self._waiters:
            self.wake()

    def succeeded(self) -> None:
        """A request went through: room for one more per round trip."""
        # Growth only means something while the limit is what holds requests back.
        if self.limit < self.max_inflight and self.full:
            self.limit = min(self.max_inflight, self.limit + 1.0 / self.limit)

    def overloaded(self, epoch: int) -> None:
        """The endpoint complained about a request that started in `epoch`.

        Requests of one burst fail together: only the first of them lowers the limit.
        """
        if epoch != self.epoch:
            return
        self.epoch += 1
        self.decreases += 1
        self.limit = max(1.0, self.lowered())

    def lowered(self) -> float:
        """What a complaint leaves of the limit."""
        return min(self.limit, self.inflight) * DECREASE

    def wake(self) -> None:
        """Hand free slots to those in line."""
        while self._waiters and self.inflight + 1 <= self.limit:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self.inflight += 1
                waiter.set_result(None)


class Limiters:
    """The limiters of endpoints by name, made by `make` when first asked for: roles of one endpoint share one."""

    def __init__(self, make: Callable[[], Limiter] = Limiter) -> None:
        self.known: dict[str, Limiter] = {}
        self._make = make

    def of(self, endpoint: str, max_inflight: int | None = None) -> Limiter:
        """The limiter of an endpoint, which allows no more than `max_inflight` from here on."""
        limiter = self.known.get(endpoint)
        if limiter is None:
            limiter = self.known[endpoint] = self._make()
        limiter.cap(max_inflight)
        return limiter
