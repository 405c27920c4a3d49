"""How late the event loop is: the price that every rollout pays for one that holds it."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from gym_core.engine.model_calls.gate import ModelGate

PROBE_SECONDS = 0.1
_FLOOR = 1e-4
_GROWTH = 1.2


class LagTally:
    """Delays in seconds, counted in buckets that grow by a fifth, so that a run of days takes no more room."""

    def __init__(self) -> None:
        self.max = 0.0
        self._counts: dict[int, int] = {}

    def add(self, seconds: float) -> None:
        """Count one delay."""
        self.max = max(self.max, seconds)
        bucket = 0 if seconds <= _FLOOR else math.ceil(math.log(seconds / _FLOOR, _GROWTH))
        self._counts[bucket] = self._counts.get(bucket, 0) + 1

    def quantile(self, share: float) -> float:
        """The upper edge of the bucket that the quantile falls into, and never more than the largest delay."""
        left = math.ceil(sum(self._counts.values()) * share)
        for bucket in sorted(self._counts):
            left -= self._counts[bucket]
            if left <= 0:
                return float(min(_FLOOR * _GROWTH**bucket, self.max))
        return 0.0

    def to_wire(self) -> dict[str, Any]:
        """As it stands in the summary, in seconds."""
        return {"max": round(self.max, 6), "p99": round(self.quantile(0.99), 6)}


def gates_health(gates: Sequence[ModelGate]) -> dict[str, Any]:
    """What went through several gates together, as it stands in the summary; seconds, added up over all calls."""
    endpoints: dict[str, Counter[str]] = {}
    for gate in gates:
        for name, counts in gate.placement.to_wire().items() if gate.placement is not None else ():
            endpoints.setdefault(name, Counter()).update(counts)
    slept = sum(gate.counts.slept for gate in gates)
    return {
        **{what: sum(getattr(gate.counts, what) for gate in gates) for what in ("calls", "retries", "failures")},
        "waited_seconds": round(sum(gate.counts.waited for gate in gates) - slept, 3),
        "slept_seconds": round(slept, 3),
        "decreases": sum(limiter.decreases for limiter in {limiter for gate in gates for limiter in gate.limiters}),
        **({"endpoints": endpoints} if endpoints else {}),
    }


class Heartbeat:
    """A timer of the event loop that notes how late it comes. `last`: when it last came, by `time.monotonic`."""

    def __init__(self) -> None:
        self.seconds = PROBE_SECONDS
        self.lag = LagTally()
        self.last = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Beat from now on, in the running event loop."""
        self.last = time.monotonic()
        self._timer = asyncio.get_running_loop().call_later(self.seconds, self._beat)

    def stop(self) -> None:
        """Beat no more. A beat that is late already counts: whatever held the loop may have been its last work."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            if time.monotonic() - self.last > self.seconds:
                self._note()

    def _note(self) -> None:
        now = time.monotonic()
        self.lag.add(max(0.0, now - self.last - self.seconds))
        self.last = now

    def _beat(self) -> None:
        self._note()
        self._timer = asyncio.get_running_loop().call_later(self.seconds, self._beat)
