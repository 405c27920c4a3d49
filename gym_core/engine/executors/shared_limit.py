"""How many requests each worker may have in flight, so that all together follow what an endpoint takes.

As with one process the limit starts where the user put it, or nowhere; a complaint of the endpoint lowers it for all by
the same factor, once per burst, and every round of answers raises it by one. It is dealt out anew several times a
second, to those who have requests for it.

Why the shares never add up to more than the limit: a smaller share is free for others only once the worker has answered
to its number (`serial`); until then it counts as held. A complaint begins a new `generation`: what was told or given
before says nothing about the endpoint now and is passed over, so one burst of complaints lowers the limit once. A lost
message only delays: the next deal sends everything anew.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from gym_core.contract.executor import Head
from gym_core.engine.model_calls.rate_limits import UNLIMITED, Limiter


@dataclass(slots=True)
class _Part:
    """One worker's part. `share`: what it was given; `holds`: what it may still have in flight."""

    share: float = UNLIMITED
    holds: float = UNLIMITED
    limit: float = UNLIMITED
    inflight: int = 0
    waiting: int = 0
    grown: int = 0
    serial: int = 0

    @property
    def demand(self) -> int:
        """Requests that it has or wants in flight."""
        return self.inflight + self.waiting


class SharedLimit:
    """One endpoint. `limiter` shows what stands in the progress line and in the summary.

    `total`: how many requests all workers may have in flight together.
    """

    def __init__(self, name: str, limiter: Limiter, send: Callable[[Any, Head], None]) -> None:
        self.name = name
        self.total = limiter.max_inflight
        self._limiter = limiter
        self._send = send
        self._parts: dict[Hashable, _Part] = {}
        self._generation = 0
        self._awaited: set[Hashable] = set()
        self._turn = 0

    @property
    def limited(self) -> bool:
        """Whether there is anything to deal out."""
        return self.total < UNLIMITED

    def join(self, worker: Hashable) -> None:
        """A worker has come. Where there is a limit it has nothing until the next deal."""
        part = self._parts[worker] = _Part()
        if self.limited:
            part.holds = 0
            self._give(worker, part, 0)

    def leave(self, worker: Hashable) -> None:
        """A worker has gone, and its requests with it."""
        part = self._parts.pop(worker, None)
        if part is not None:
            self._limiter.waiting -= part.waiting
        if worker in self._awaited:
            self._awaited.discard(worker)
            self._settle()

    def told(self, worker: Hashable, state: Mapping[str, Any]) -> None:
        """What a worker says of its part, see `WorkerLimiter.state`."""
        part = self._parts[worker]
        self._limiter.waiting += state["waiting"] - part.waiting
        part.inflight, part.waiting = state["inflight"], state["waiting"]
        part.limit, grown, part.grown = state["limit"], state["grown"] - part.grown, state["grown"]
        if state["serial"] == part.serial:  # it has heard of its latest share
            part.holds = max(part.limit, part.inflight)
        current = state["generation"] == self._generation
        if current and worker in self._awaited:
            self._awaited.discard(worker)
            self._settle()
        elif current and state["complained"]:
            self._lower(worker)
        elif self.limited and not self._awaited:
            self.total = min(self._limiter.max_inflight, self.total + grown / self.total)

    def _lower(self, complainer: Hashable) -> None:
        """Everybody lowers his limit; what comes of it is known when all have told."""
        self._generation += 1
        self._limiter.decreases += 1
        self._awaited = {worker for worker in self._parts if worker != complainer}
        for worker in self._parts:
            self._send(worker, {"lower": [self.name, self._generation]})
        self._settle()

    def _settle(self) -> None:
        if self._awaited:
            return
        for part in self._parts.values():
            part.share = part.limit
            part.holds = max(part.limit, part.inflight)
        self.total = min(self._limiter.max_inflight, max(1.0, sum(part.limit for part in self._parts.values())))

    def deal(self) -> None:
        """Give every worker its share. What is taken from one goes to another once it is free."""
        if not self.limited or self._awaited or not self._parts:
            return
        wanted = self._split(int(self.total))
        for worker, part in self._parts.items():
            if wanted[worker] < part.share:
                self._give(worker, part, wanted[worker])
        free = int(self.total) - sum(max(part.share, part.holds) for part in self._parts.values())
        for worker, part in self._parts.items():
            more = int(min(wanted[worker] - part.share, free))
            if more > 0:
                free -= more
                self._give(worker, part, int(part.share) + more)

    def _give(self, worker: Hashable, part: _Part, share: int) -> None:
        part.holds = max(part.holds, share)
        part.share = share
        part.serial += 1
        self._send(worker, {"share": [self.name, share, self._generation, part.serial]})

    def _split(self, total: int) -> dict[Hashable, int]:
        """Whole shares of `total`: what each wants where that is enough, else in proportion, the rest by turns."""
        demands = {worker: part.demand for worker, part in self._parts.items()}
        everything = sum(demands.values())
        if everything <= total:
            spare, rest = divmod(total - everything, len(demands))
            shares = {worker: demand + spare for worker, demand in demands.items()}
            line = list(demands)
        else:
            shares = {worker: demand * total // everything for worker, demand in demands.items()}
            rest = total - sum(shares.values())
            line = [worker for worker, demand in demands.items() if demand > shares[worker]]
            if rest and rest < len(line):
                self._turn += 1
        for number in range(rest):
            shares[line[(self._turn + number) % len(line)]] += 1
        return shares
