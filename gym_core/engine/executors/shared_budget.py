"""The budget as the coordinator keeps it: lent to workers by `leases`, so that all together never exceed it.

What was lent and not returned is as good as spent. While there is plenty a worker is lent far more than the call that
asks needs, so that it seldom asks. Where that is too little, everybody gives back what no open call needs, and
everything is lent call by call. Once nobody holds anything and the next call still does not fit, the budget is spent.

A worker that dies may have spent all it held, so all of that counts as spent: budget may be lost, at most so much, and
the limit is never overspent.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from gym_core.contract.executor import Head
from gym_core.engine.executors.leases import EVERYTHING, Lease, Lender
from gym_core.engine.model_calls.budget import Budget

TOKENS, COST = 0, 1
_NOTHING_YET = {"spent": [0, 0], "unreported": [0, 0, 0], "open": 0, "waiting": 0}


@dataclass(slots=True)
class _Call:
    """The call that asks."""

    tokens: int
    cost: int
    guessed: bool


class SharedBudget:
    """Lends a budget out. `send` carries a message to a worker."""

    def __init__(self, budget: Budget, send: Callable[[Any, Head], None], workers: int) -> None:
        self._budget = budget
        self._send = send
        self._workers = workers
        self._told: dict[Hashable, dict[str, Any]] = {}
        self._asks: dict[Hashable, dict[str, Any]] = {}
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

    def told(self, worker: Hashable, state: dict[str, Any]) -> None:
        """What a worker says of its part, see `WorkerBudget.state`."""
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

    def _grant(self, ask: dict[str, Any]) -> list[int] | None:
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

    def _exhaust(self, ask: dict[str, Any]) -> None:
        tokens, cost = ask["call"]
        self._budget.exhausted = self._budget.reached(_Call(tokens, cost, ask["guessed"]))
        self._asks.clear()
        for worker in self._told:
            self._send(worker, {"deny": self._budget.exhausted})


def _more(now: list[int], before: list[int]) -> list[int]:
    return [new - old for new, old in zip(now, before, strict=True)]
