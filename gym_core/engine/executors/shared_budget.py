"""The budget as the coordinator keeps it: lent to workers piece by piece, so that all together never exceed it.

What was lent and not returned is as good as spent. While there is plenty a worker is lent far more than the call that
asks needs, so that it seldom asks. Where that is too little, everybody gives back what no open call needs, and
everything is lent call by call. Once nobody holds anything and the next call still does not fit, the budget is spent.

Why this never overspends: the coordinator only ever thinks worse of a worker than is true. A loan counts as spent from
the moment it is sent; a worker tells totals since its start, so what one message lacks the next makes good; and a
worker that dies may have spent all it held, so all of that counts. What may be lost is budget, at most what a dead
worker held, and never the limit.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

from gym_core.contract.executor import Head
from gym_core.engine.model_calls.budget import Budget


@dataclass(slots=True)
class _Account:
    """What one worker was lent and has told; pairs of tokens and picodollars."""

    lent: list[int] = field(default_factory=lambda: [0, 0])
    returned: list[int] = field(default_factory=lambda: [0, 0])
    spent: list[int] = field(default_factory=lambda: [0, 0])
    unreported: list[int] = field(default_factory=lambda: [0, 0, 0])
    open: int = 0
    waiting: int = 0

    def holds(self, kind: int) -> int:
        """What it may still spend."""
        return self.lent[kind] - self.returned[kind] - self.spent[kind]


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
        self._accounts: dict[Hashable, _Account] = {}
        self._asks: dict[Hashable, dict[str, Any]] = {}
        self._tight = False
        self._limits = (budget.max_tokens, budget.max_cost)

    def join(self, worker: Hashable) -> None:
        """A worker has come."""
        self._accounts[worker] = _Account()
        if self._budget.exhausted:
            self._send(worker, {"deny": self._budget.exhausted})

    def leave(self, worker: Hashable, *, died: bool) -> None:
        """A worker has gone. What one that died still held may all have been spent, and counts so."""
        account = self._accounts.pop(worker, None)
        self._asks.pop(worker, None)
        if account is None:
            return
        budget = self._budget
        budget.waiting_elsewhere -= account.waiting
        held = [max(0, account.holds(kind)) for kind in (0, 1)]
        if died and any(held):
            budget.spent_tokens += held[0]
            budget.spent_cost += held[1]
            budget.unreported_calls += max(1, account.open)
            budget.unreported_tokens += held[0]
            budget.unreported_cost += held[1]
        self._serve()

    def told(self, worker: Hashable, state: dict[str, Any]) -> None:
        """What a worker says of its part, see `WorkerBudget.state`."""
        account, budget = self._accounts[worker], self._budget
        budget.spent_tokens += state["spent"][0] - account.spent[0]
        budget.spent_cost += state["spent"][1] - account.spent[1]
        budget.unreported_calls += state["unreported"][0] - account.unreported[0]
        budget.unreported_tokens += state["unreported"][1] - account.unreported[1]
        budget.unreported_cost += state["unreported"][2] - account.unreported[2]
        budget.waiting_elsewhere += state["waiting"] - account.waiting
        account.spent, account.unreported = state["spent"], state["unreported"]
        account.returned, account.open, account.waiting = state["returned"], state["open"], state["waiting"]
        ask = state["ask"]
        if ask is None:
            self._asks.pop(worker, None)
        else:
            self._asks[worker] = ask  # it keeps its place in line
        self._serve()

    def _free(self, kind: int) -> int | None:
        """What nobody has spent or holds; None where there is no limit."""
        limit = self._limits[kind]
        if limit is None:
            return None
        spent = (self._budget.spent_tokens, self._budget.spent_cost)[kind]
        return limit - spent - sum(max(0, account.holds(kind)) for account in self._accounts.values())

    def _serve(self) -> None:
        while self._asks and not self._budget.exhausted:
            worker, ask = next(iter(self._asks.items()))
            grant = self._grant(ask)
            if grant is None:
                break
            del self._asks[worker]
            account = self._accounts[worker]
            for kind in (0, 1):
                account.lent[kind] += grant[kind]
            self._send(worker, {"lend": [*grant, self._tight]})
        if not self._asks or self._budget.exhausted:
            self._tell(tight=False)
        elif self._held():
            self._tell(tight=True)
        else:
            self._exhaust(next(iter(self._asks.values())))

    def _grant(self, ask: dict[str, Any]) -> list[int] | None:
        """What to lend for an ask, None where even its first call does not fit."""
        grant = [0, 0]
        for kind in (0, 1):
            free = self._free(kind)
            if free is None:
                continue
            if ask["first"][kind] > free:
                return None
            plenty = free // (2 * self._workers)
            grant[kind] = plenty if plenty > ask["all"][kind] else min(ask["all"][kind], free)
        return grant

    def _held(self) -> bool:
        return any(
            account.holds(kind) > 0
            for kind in (0, 1)
            if self._limits[kind] is not None
            for account in self._accounts.values()
        )

    def _tell(self, *, tight: bool) -> None:
        if tight != self._tight:
            self._tight = tight
            for worker in self._accounts:
                self._send(worker, {"lend": [0, 0, tight]})

    def _exhaust(self, ask: dict[str, Any]) -> None:
        tokens, cost = ask["call"]
        self._budget.exhausted = self._budget.reached(_Call(tokens, cost, ask["guessed"]))
        self._asks.clear()
        for worker in self._accounts:
            self._send(worker, {"deny": self._budget.exhausted})
