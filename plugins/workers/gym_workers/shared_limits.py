"""How many requests each worker may have in flight, so that all together follow what an endpoint takes.

As with one process the limit starts where the user put it, or nowhere; a complaint of the endpoint lowers it for all by
the same factor, once per burst, and every round of answers raises it by one. Room for requests is lent by `leases`, and
dealt out anew several times a second, to those who have requests for it.

A complaint begins a new epoch: what was told or lent before says nothing about the endpoint now and is passed over, so
one burst of complaints lowers the limit once. A worker that dies takes its requests along: its room is free again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypedDict

from gym_core.spi import Limiter, Limiters
from gym_workers.channel import Head
from gym_workers.leases import EVERYTHING, Lease, Lender


class LimitState(TypedDict):
    """What a worker says of its part of one endpoint; `returned` and `grown` since its start.

    `lowered`: the limit after the complaint that began `epoch`. `grown`: answers that came while there was no room.
    `most`: what its backend wants at most, None for no bound.
    """

    epoch: int
    returned: int
    lowered: float
    inflight: int
    waiting: int
    grown: int
    most: int | None


class SharedLimit:
    """The coordinator's end of one endpoint. `limiter` shows what stands in the progress line and in the summary."""

    def __init__(self, name: str, limiter: Limiter, send: Callable[[Any, Head], None]) -> None:
        self.name = name
        self._limiter = limiter
        self._send = send
        self._lender = Lender(limiter.max_inflight)
        self._told: dict[Hashable, LimitState] = {}
        self._epoch = 0
        self._turn = 0

    @property
    def total(self) -> float:
        """How many requests all workers may have in flight together."""
        return self._lender.total

    @property
    def limited(self) -> bool:
        """Whether there is anything to deal out."""
        return self.total < math.inf

    def join(self, worker: Hashable) -> None:
        """A worker has come. Where there is a limit it has nothing until the next deal."""
        free = not self.limited and self._settled
        self._told[worker] = LimitState(
            epoch=self._epoch, returned=0, lowered=0.0, inflight=0, waiting=0, grown=0, most=None
        )
        self._lender.leases[worker] = Lease()
        self._lend(worker, EVERYTHING if free else 0, EVERYTHING)

    def leave(self, worker: Hashable) -> None:
        """A worker has gone, and its requests with it."""
        self._lender.leave(worker)
        last = self._told.pop(worker, None)
        if last is not None:
            self._limiter.waiting -= last["waiting"]
            if last["epoch"] < self._epoch:
                self._settle()

    def told(self, worker: Hashable, state: LimitState) -> None:
        """What a worker says of its part."""
        last = self._told[worker]
        if state["epoch"] < last["epoch"]:  # it has just come, and has not heard yet where things stand
            return
        self._told[worker] = state
        lease = self._lender.leases[worker]
        lease.returned = state["returned"]
        self._limiter.waiting += state["waiting"] - last["waiting"]
        if state["epoch"] > self._epoch:
            self._lower(state["epoch"])
        if state["epoch"] > last["epoch"]:
            lease.keep = int(state["lowered"])
            self._settle()
        elif self.limited and self._settled:
            grown = state["grown"] - last["grown"]
            self._lender.total = min(self._limiter.max_inflight, self.total + grown / self.total)

    @property
    def _settled(self) -> bool:
        """Whether everybody has told of the latest complaint."""
        return all(state["epoch"] >= self._epoch for state in self._told.values())

    def _lower(self, epoch: int) -> None:
        """Everybody lowers his limit; what comes of it is known when all have told."""
        self._epoch = epoch
        self._limiter.decreases += 1
        for worker, state in self._told.items():
            if state["epoch"] < epoch:
                self._send(worker, {"lower": [self.name, epoch]})

    def _settle(self) -> None:
        if self._settled:
            lowered = sum(state["lowered"] for state in self._told.values())
            self._lender.total = min(self._limiter.max_inflight, max(1.0, lowered))

    def deal(self) -> None:
        """Give every worker its share. What is taken from one goes to another once it is free."""
        if not self.limited or not self._told or not self._settled:
            return
        total = int(self.total)
        free = total - self._lender.held
        for worker, share in self._split(total).items():
            lease = self._lender.leases[worker]
            more = max(0, min(share - lease.held, free))
            free -= more
            if more or share != lease.keep:
                self._lend(worker, more, share)

    def _lend(self, worker: Hashable, amount: int, keep: int) -> None:
        self._lender.leases[worker].add(amount, keep)
        self._send(worker, {"share": [self.name, amount, keep, self._epoch]})

    def _split(self, total: int) -> dict[Hashable, int]:
        """Whole shares of `total`: what each wants where that is enough, else in proportion, the rest by turns."""
        demands = {worker: state["inflight"] + state["waiting"] for worker, state in self._told.items()}
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


class SharedLimits:
    """The limits of all endpoints. One that only a worker has found, in a list that changes, is shared from then on."""

    def __init__(self, limiters: Limiters, send: Callable[[Any, Head], None]) -> None:
        self._limiters = limiters
        self._send = send
        self._workers: set[Hashable] = set()
        self._limits = {name: SharedLimit(name, limiter, send) for name, limiter in limiters.known.items()}

    def join(self, worker: Hashable) -> None:
        """A worker has come."""
        self._workers.add(worker)
        for limit in self._limits.values():
            limit.join(worker)

    def leave(self, worker: Hashable) -> None:
        """A worker has gone, and its requests with it."""
        self._workers.discard(worker)
        for limit in self._limits.values():
            limit.leave(worker)

    def told(self, worker: Hashable, states: Mapping[str, LimitState]) -> None:
        """What a worker says of its parts, by endpoint."""
        for name, state in states.items():
            limit = self._limits.get(name)
            if limit is None:
                limit = self._limits[name] = SharedLimit(name, self._limiters.of(name, state["most"]), self._send)
                for known in self._workers:
                    limit.join(known)
            limit.told(worker, state)

    def deal(self) -> None:
        """Give every worker its shares."""
        for limit in self._limits.values():
            limit.deal()


class WorkerLimiter(Limiter):
    """A worker's end: has as many requests in flight as it was lent room for, and returns some upon a complaint.

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
        self.wake()

    def lower(self, epoch: int) -> None:
        """Another worker has met a complaint: what started before it says nothing new."""
        if epoch > self.epoch:  # else it was lowered already, for the same burst
            self._decrease(epoch)

    def succeeded(self) -> None:
        """A request went through; the coordinator adds up how many did while there was no room for more."""
        if self.full:
            self._grown += 1

    def overloaded(self, epoch: int) -> None:
        """The endpoint complained about a request that started in `epoch`."""
        if epoch == self.epoch:
            self.decreases += 1
            self._decrease(epoch + 1)

    def _decrease(self, epoch: int) -> None:
        self.epoch = epoch
        self._lowered = self.lowered()
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

    def state(self) -> LimitState:
        """What the coordinator has to know."""
        self._follow()
        return {
            "epoch": self.epoch,
            "returned": self._lease.returned,
            "lowered": self._lowered,
            "inflight": self.inflight,
            "waiting": self.waiting,
            "grown": self._grown,
            "most": None if self.max_inflight == math.inf else int(self.max_inflight),
        }
