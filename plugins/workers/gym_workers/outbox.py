"""What a worker has for the coordinator, gathered into few frames: results, news, and what changed in its accounts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from gym_core import encode_json, parse_json
from gym_core.spi import Limiters, ModelGate, Redactor
from gym_workers.channel import Head
from gym_workers.frames import encode_frame
from gym_workers.shared_budget import WorkerBudget
from gym_workers.shared_limits import WorkerLimiter

FLUSH_BYTES = 1 << 17
COUNTS = ("calls", "retries", "failures", "slept", "waited")
ENDPOINT_COUNTS = ("calls", "failures", "downs")
"""What is counted of a gate, and of each endpoint of one that has several, in the order in which it is told."""


class Outbox:
    """Sends frames through `send`, at most one each `seconds` unless there is a hurry.

    `changes` is asked for more before each frame. Secrets are masked in news; results come masked.
    """

    def __init__(self, send: Callable[[bytes], None], redactor: Redactor, changes: Changes) -> None:
        self.seconds = 0.0
        self._send = send
        self._redactor = redactor
        self._changes = changes
        self._loop = asyncio.get_running_loop()
        self._results: list[list[Any]] = []
        self._lines: list[bytes] = []
        self._size = 0
        self._news: dict[str, list[Any]] = {}
        self._flushing: asyncio.TimerHandle | None = None
        self._urgent = False

    @property
    def holds_results(self) -> bool:
        """Whether a result waits to be sent."""
        return bool(self._results)

    def result(self, entry: list[Any], line: bytes) -> None:
        """Have a result sent: what the coordinator counts, and the line that it writes."""
        self._results.append(entry)
        self._lines.append(line)
        self._size += len(line)
        if self._size > FLUSH_BYTES:
            self.now()
        else:
            self.soon()

    def note(self, name: str, *values: Any) -> None:
        """Have news sent."""
        self._news.setdefault(name, []).extend(values)
        self.soon()

    def soon(self) -> None:
        """Send what there is before long."""
        if self._flushing is None:
            self._flushing = self._loop.call_later(self.seconds, self.flush)

    def now(self) -> None:
        """Send what there is once everything that can run now has run."""
        if not self._urgent:
            self._urgent = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send what there is."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        self._urgent = False
        head: Head = {}
        if self._results:
            head["results"], self._results = self._results, []
        if self._news:
            news, self._news = self._news, {}
            clean = self._redactor.redact_bytes(encode_json(news, fallback=str))
            head.update(parse_json(clean))
        head.update(self._changes.take())
        if head:
            lines, self._lines, self._size = self._lines, [], 0
            self._send(encode_frame(head, lines))


class Changes:
    """What changed in a worker's budget, limiters and gates since the coordinator was told of them."""

    def __init__(self, limiters: Limiters) -> None:
        self.budget: WorkerBudget | None = None
        self.budget_changed = False
        self._limiters = limiters
        self.gates: Mapping[str, ModelGate] = {}
        self._told: dict[str, Any] = {}
        self._counted: dict[tuple[str, str], list[float]] = {}

    @property
    def pressing(self) -> bool:
        """Whether the coordinator acts on something of it."""
        return self.budget_changed or bool(self._limits())

    def take(self) -> Head:
        """All of it, which counts as told from now on."""
        head: Head = {}
        if self.budget is not None and self.budget_changed:
            self.budget_changed = False
            head["budget"] = self.budget.state()
        limits = self._limits()
        if limits:
            self._told.update(limits)
            head["limits"] = limits
        for role, gate in self.gates.items():
            if (since := self._since(role, "", [getattr(gate.counts, name) for name in COUNTS])) is not None:
                head.setdefault("counts", {})[role] = since
            if gate.placement is not None:
                for name, counts in gate.placement.counts.items():
                    since = self._since(role, name, [getattr(counts, what) for what in ENDPOINT_COUNTS])
                    if since is not None:
                        head.setdefault("endpoints", {}).setdefault(role, {})[name] = since
        return head

    def _limits(self) -> Head:
        limits = {}
        for endpoint, limiter in self._limiters.known.items():
            assert isinstance(limiter, WorkerLimiter)
            if limiter.limited:
                state = limiter.state()
                if state != self._told.get(endpoint):
                    limits[endpoint] = state
        return limits

    def _since(self, role: str, endpoint: str, now: list[float]) -> list[float] | None:
        """How much was added to the counts of a gate, or of one of its endpoints; None for nothing."""
        before = self._counted.get((role, endpoint))
        if now == before:
            return None
        self._counted[role, endpoint] = now
        return now if before is None else [new - old for new, old in zip(now, before, strict=True)]
