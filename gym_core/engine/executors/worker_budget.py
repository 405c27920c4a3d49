"""The budget as a worker sees it: what the coordinator has lent it, and a way to ask for more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gym_core.engine.executors.leases import Lease
from gym_core.engine.model_calls.budget import Budget, Meter

if TYPE_CHECKING:
    from gym_core.engine.model_calls.reservations import Reservation


class WorkerBudget(Budget):
    """Spends what was lent. `changed` is called when the coordinator should look at `state`, True if at once."""

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
        self._wake()
        if self._tight:
            self._changed(True)

    def deny(self, reason: str) -> None:
        """Nothing is left for anybody: no call starts any more."""
        self.exhausted = reason
        self._wake()

    def release(self, call: Reservation, tokens: int, cost: int) -> None:
        """End the reservation of a call that took so much."""
        super().release(call, tokens, cost)
        self._changed(self._tight)

    def _may_fit_later(self, call: Reservation) -> bool:
        self._changed(True)
        return True

    def state(self) -> dict[str, Any]:
        """What the coordinator has to know; all counts since the start, money in picodollars.

        `returned`: of what was lent; less than nothing where answers took more than was reserved for them. `ask`: what
        the first of the calls that wait lacks, and what all of them lack.
        """
        self._settle()
        return {
            "spent": [self.spent_tokens, self.spent_cost],
            "returned": [lease.returned for lease in self._leases],
            "open": self.open_calls,
            "unreported": [self.unreported_calls, self.unreported_tokens, self.unreported_cost],
            "waiting": len(self._waiters),
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

    def _ask(self) -> dict[str, Any] | None:
        calls = [call for call, future in self._waiters if not future.done()]
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
