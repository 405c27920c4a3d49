"""The budget of a run as its workers share it: the coordinator's end, and a worker's.

What was lent and not returned is as good as spent, see `leases`, so that all together never exceed it. While there is
plenty a worker is lent far more than the call that asks needs, so that it seldom asks. Where that is too little,
everybody gives back what no open call needs, and everything is lent call by call. Once nobody holds anything and the
next call still does not fit, the budget is spent.

A worker that dies may have spent all it held, so all of that counts as spent: budget may be lost, at most so much, and
the limit is never overspent.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypedDict

from gym_core.spi import Budget, Meter, Reservation
from gym_workers.channel import Head
from gym_workers.leases import EVERYTHING, Lease, Lender

TOKENS, COST = 0, 1


class Ask(TypedDict):
    """What calls lack that wait at a worker, in tokens and picodollars.

    `first`: the first of them; `all`: all together. `call`: what the first may take, and `guessed` whether that is but
    a guess.
    """

    first: list[int]
    all: list[int]
    call: list[int]
    guessed: bool


class BudgetState(TypedDict):
    """What a worker says of its part: counts since its start, pairs in tokens and picodollars.

    `returned`: of what was lent; less than nothing where answers took more than was reserved for them. `unreported`: of
    what was spent, the calls and what they were counted as. `waiting`: how many calls do.
    """

    spent: list[int]
    returned: list[int]
    unreported: list[int]
    open: int
    waiting: int
    ask: Ask | None


_NOTHING_YET = BudgetState(spent=[0, 0], returned=[0, 0], unreported=[0, 0, 0], open=0, waiting=0, ask=None)


class SharedBudget:
    """The coordinator's end: lends a budget out. `send` carries a message to a worker."""

    def __init__(self, budget: Budget, send: Callable[[Any, Head], None], workers: int) -> None:
        self._budget = budget
        self._send = send
        self._workers = workers
        self._told: dict[Hashable, BudgetState] = {}
        self._asks: dict[Hashable, Ask] = {}
        self._tight = False
        limits = {TOKENS: budget.max_tokens, COST: budget.max_cost}
        self._lenders = {kind: Lender(limit) for kind, limit in limits.items() if limit is not None}

    def join(self, worker: Hashable) -> None:
        """A worker has come."""
        self._told[worker] = _NOTHING_YET
        for lender in self._lenders.values():
            lender.leases[worker] = Lease()
        if self._budget.exhausted:
            self._send(worker, {"deny": self._budget.exhausted})

    def leave(self, worker: Hashable, *, died: bool) -> None:
        """A worker has gone. What one that died still held may all have been spent, and counts so."""
        last = self._told.pop(worker, None)
        self._asks.pop(worker, None)
        if last is None:
            return
        budget = self._budget
        budget.waiting_elsewhere -= last["waiting"]
        held = [0, 0]
        for kind, lender in self._lenders.items():
            held[kind] = lender.leave(worker)
        if died and any(held):
            self._count(held, [max(1, last["open"]), *held])
        self._serve()

    def told(self, worker: Hashable, state: BudgetState) -> None:
        """What a worker says of its part."""
        last, self._told[worker] = self._told[worker], state
        self._count(_more(state["spent"], last["spent"]), _more(state["unreported"], last["unreported"]))
        self._budget.waiting_elsewhere += state["waiting"] - last["waiting"]
        for kind, lender in self._lenders.items():
            lender.leases[worker].spent = state["spent"][kind]
            lender.leases[worker].returned = state["returned"][kind]
        ask = state["ask"]
        if ask is None:
            self._asks.pop(worker, None)
        else:
            self._asks[worker] = ask  # it keeps its place in line
        self._serve()

    def _count(self, spent: list[int], unreported: list[int]) -> None:
        budget = self._budget
        budget.spent_tokens += spent[TOKENS]
        budget.spent_cost += spent[COST]
        budget.unreported_calls += unreported[0]
        budget.unreported_tokens += unreported[1]
        budget.unreported_cost += unreported[2]

    def _free(self, kind: int, lender: Lender) -> int:
        """What nobody has spent or holds."""
        return int(lender.total) - (self._budget.spent_tokens, self._budget.spent_cost)[kind] - lender.held

    def _serve(self) -> None:
        while self._asks and not self._budget.exhausted:
            worker, ask = next(iter(self._asks.items()))
            grant = self._grant(ask)
            if grant is None:
                break
            del self._asks[worker]
            self._lend(worker, grant)
        if not self._asks or self._budget.exhausted:
            self._tell(tight=False)
        elif any(lender.held for lender in self._lenders.values()):
            self._tell(tight=True)
        else:
            self._exhaust(next(iter(self._asks.values())))

    def _grant(self, ask: Ask) -> list[int] | None:
        """What to lend for an ask, None where even its first call does not fit."""
        grant = [0, 0]
        for kind, lender in self._lenders.items():
            free = self._free(kind, lender)
            if ask["first"][kind] > free:
                return None
            plenty = free // (2 * self._workers)
            grant[kind] = plenty if plenty > ask["all"][kind] else min(ask["all"][kind], free)
        return grant

    def _lend(self, worker: Hashable, amounts: list[int]) -> None:
        keep = 0 if self._tight else EVERYTHING
        for kind, lender in self._lenders.items():
            lender.leases[worker].add(amounts[kind], keep)
        self._send(worker, {"lend": [*amounts, keep]})

    def _tell(self, *, tight: bool) -> None:
        if tight != self._tight:
            self._tight = tight
            for worker in self._told:
                self._lend(worker, [0, 0])

    def _exhaust(self, ask: Ask) -> None:
        tokens, cost = ask["call"]
        self._budget.exhausted = self._budget.reached(tokens, cost, guessed=ask["guessed"])
        self._asks.clear()
        for worker in self._told:
            self._send(worker, {"deny": self._budget.exhausted})


def _more(now: list[int], before: list[int]) -> list[int]:
    return [new - old for new, old in zip(now, before, strict=True)]


class WorkerBudget(Budget):
    """A worker's end: spends what was lent, and asks for more.

    `changed` is called when the coordinator should look at `state`, True if at once.
    """

    def __init__(
        self, meters: Mapping[str, Meter], *, tokens: bool, cost: bool, changed: Callable[[bool], None]
    ) -> None:
        super().__init__(meters)
        self.max_tokens = 0 if tokens else None
        self.max_cost = 0 if cost else None
        self._changed = changed
        self._leases = (Lease(), Lease())
        self._tight = False

    def lent(self, tokens: int, cost: int, keep: int) -> None:
        """The coordinator lends more, or wants back what no open call needs: `keep` is 0 then."""
        for lease, amount in zip(self._leases, (tokens, cost), strict=True):
            lease.add(amount, keep)
        self._set_limits()
        self._tight = not keep
        self.wake()
        if self._tight:
            self._changed(True)

    def deny(self, reason: str) -> None:
        """Nothing is left for anybody: no call starts any more."""
        self.exhausted = reason
        self.wake()

    def release(self, call: Reservation, tokens: int, cost: int) -> None:
        """End the reservation of a call that took so much."""
        super().release(call, tokens, cost)
        self._changed(self._tight)

    def may_fit_later(self, call: Reservation) -> bool:
        """Always: the coordinator is asked for more, and says where there is none."""
        self._changed(True)
        return True

    def state(self) -> BudgetState:
        """What the coordinator has to know."""
        self._settle()
        return {
            "spent": [self.spent_tokens, self.spent_cost],
            "returned": [lease.returned for lease in self._leases],
            "open": self.open_calls,
            "unreported": [self.unreported_calls, self.unreported_tokens, self.unreported_cost],
            "waiting": self.waiting,
            "ask": self._ask(),
        }

    def _settle(self) -> None:
        tokens, cost = self._leases
        tokens.spent, cost.spent = self.spent_tokens, self.spent_cost
        tokens.settle(self.open_tokens)
        cost.settle(self.open_cost)
        self._set_limits()

    def _set_limits(self) -> None:
        tokens, cost = (lease.lent - lease.returned for lease in self._leases)
        self.max_tokens = None if self.max_tokens is None else tokens
        self.max_cost = None if self.max_cost is None else cost

    def _ask(self) -> Ask | None:
        calls = self.in_line
        if not calls or self.exhausted:
            return None
        for call in calls:
            call.size()
        first = calls[0]
        tokens = self._leases[0].held - self.open_tokens
        cost = self._leases[1].held - self.open_cost
        whole = [sum(call.tokens for call in calls) - tokens, sum(call.cost for call in calls) - cost]
        return {
            "first": [max(0, first.tokens - tokens), max(0, first.cost - cost)],
            "all": [max(0, amount) for amount in whole],
            "call": [first.tokens, first.cost],
            "guessed": first.guessed,
        }
