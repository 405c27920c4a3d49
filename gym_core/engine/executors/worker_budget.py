"""The budget as a worker sees it: what the coordinator has lent it, and a way to ask for more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gym_core.engine.model_calls.budget import Budget, Meter

if TYPE_CHECKING:
    from gym_core.engine.model_calls.reservations import Reservation


class WorkerBudget(Budget):
    """Spends what was lent. `changed` is called when the coordinator should look at `state`.

    What is `tight` is short everywhere: whatever no open call needs goes back at once.
    """

    def __init__(
        self, meters: Mapping[str, Meter], *, tokens: bool, cost: bool, changed: Callable[[bool], None]
    ) -> None:
        super().__init__(meters)
        self.max_tokens = 0 if tokens else None
        self.max_cost = 0 if cost else None
        self._changed = changed
        self._returned = [0, 0]
        self._tight = False

    def lent(self, tokens: int, cost: int, *, tight: bool) -> None:
        """The coordinator lends more."""
        if self.max_tokens is not None:
            self.max_tokens += tokens
        if self.max_cost is not None:
            self.max_cost += cost
        self._tight = tight
        self._wake()
        if tight:
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
        self._give_back()
        return {
            "spent": [self.spent_tokens, self.spent_cost],
            "returned": self._returned,
            "open": self.open_calls,
            "unreported": [self.unreported_calls, self.unreported_tokens, self.unreported_cost],
            "waiting": len(self._waiters),
            "ask": self._ask(),
        }

    def _give_back(self) -> None:
        idle = self._idle()
        for kind, amount in enumerate(idle):
            if amount < 0 or (self._tight and amount > 0):
                self._returned[kind] += amount
        if self.max_tokens is not None and (idle[0] < 0 or self._tight):
            self.max_tokens -= idle[0]
        if self.max_cost is not None and (idle[1] < 0 or self._tight):
            self.max_cost -= idle[1]

    def _idle(self) -> tuple[int, int]:
        """What was lent and no open call needs."""
        tokens = 0 if self.max_tokens is None else self.max_tokens - self.spent_tokens - self.open_tokens
        cost = 0 if self.max_cost is None else self.max_cost - self.spent_cost - self.open_cost
        return tokens, cost

    def _ask(self) -> dict[str, Any] | None:
        calls = [call for call, future in self._waiters if not future.done()]
        if not calls or self.exhausted:
            return None
        for call in calls:
            call.size()
        first = calls[0]
        tokens, cost = self._idle()
        whole = [sum(call.tokens for call in calls) - tokens, sum(call.cost for call in calls) - cost]
        return {
            "first": [max(0, first.tokens - tokens), max(0, first.cost - cost)],
            "all": [max(0, amount) for amount in whole],
            "call": [first.tokens, first.cost],
            "guessed": first.guessed,
        }
