"""What a run may spend: `--max-tokens` and `--max-cost`, kept by reserving before spending.

Before an attempt at a model call starts, the most it can take is reserved; when it ends, what it took is settled. So
what is spent and what is reserved never exceed the limit together, whatever the order in which calls end. A call that
does not fit waits while others are open: they mostly take less than was reserved for them. Once nothing is open and
the next call still does not fit, the budget is exhausted, and no call of the run starts any more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gym_core.contract.model import ModelBackend
from gym_core.domain.errors import BudgetExceeded
from gym_core.domain.responses import Usage
from gym_core.engine.model_calls.prices import PICO, Price, dollars, unknown_price

if TYPE_CHECKING:
    from gym_core.engine.model_calls.reservations import Reservation

FIRST_GUESS = 4096
"""Output tokens reserved for a call whose bound nobody knows, before the model has answered once."""
LEAST_GUESS = 256


class Meter:
    """One role's model: its price, and how much it may answer.

    `price`: None where nobody knows it, which only a limit on tokens puts up with.
    """

    __slots__ = ("_default", "_set", "largest", "price", "role")

    def __init__(self, role: str, backend: ModelBackend, price: Price | None) -> None:
        self.role = role
        self.price = price
        options = backend.options
        value = _positive(getattr(options, "max_output_tokens", None))
        explicit = "max_output_tokens" in getattr(options, "model_fields_set", ())
        self._set = value if explicit else None
        self._default = value
        self.largest = 0
        """Output tokens of the longest answer so far."""

    @property
    def bounded(self) -> bool:
        """Whether every answer has a bound, whatever the task says."""
        return self._default is not None

    def output_bound(self, body: Mapping[str, Any]) -> int | None:
        """The most tokens that may answer a request: the option's, else the request's, else the option's default."""
        return self._set or _positive(body.get("max_output_tokens")) or self._default

    def guess(self) -> int:
        """What stands in for an unknown bound: twice the longest answer so far."""
        return max(LEAST_GUESS, 2 * self.largest) if self.largest else FIRST_GUESS


class Budget:
    """What a run may spend and has spent; all its models count. Money is in picodollars, see `prices`.

    `max_cost`: in USD. None is no limit. `meters`: the models by role; with `max_cost` each has a price. Somebody else
    may own the numbers and lend them in pieces: he sets the limits, or why it is `exhausted`, and calls `wake`;
    `in_line` are the calls that lack something, and `may_fit_later` is where he is asked for more.
    """

    def __init__(
        self, meters: Mapping[str, Meter], *, max_tokens: int | None = None, max_cost: float | None = None
    ) -> None:
        self.meters = meters
        self.max_tokens = max_tokens
        self.max_cost = None if max_cost is None else round(max_cost * PICO)
        self.spent_tokens = self.spent_cost = 0
        self.open_tokens = self.open_cost = self.open_calls = 0
        self.unreported_tokens = self.unreported_cost = self.unreported_calls = 0
        self.exhausted = ""
        """Why no call starts any more; empty while calls may start."""
        self.waiting_elsewhere = 0
        """How many calls wait in other processes, where the budget is shared."""
        self._waiters: deque[tuple[Reservation, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        """How many calls wait for others to be settled."""
        return len(self._waiters) + self.waiting_elsewhere

    @property
    def in_line(self) -> list[Reservation]:
        """The calls that wait here, the first one first."""
        return [call for call, future in self._waiters if not future.done()]

    def earlier(self, about: Mapping[str, Any]) -> None:
        """Count a rollout of an earlier part of the run: the `rollout` object of its row."""
        usage = Usage.of(about["usage"])
        lost = about.get("unreported") or {}
        cost = about["cost"]
        if cost is None:
            cost = sum(self._cost(call) for call in about["model_calls"])
        self.spent_tokens += usage.total_tokens + lost.get("tokens", 0)
        self.spent_cost += round((cost + (lost.get("cost") or 0.0)) * PICO)

    def _cost(self, call: Mapping[str, Any]) -> float:
        meter = self.meters.get(call["role"])
        return 0.0 if meter is None or meter.price is None else dollars(meter.price.of(Usage.of(call["usage"])))

    def try_take(self, call: Reservation) -> bool:
        """Reserve for a call if that is possible now. Raises `BudgetExceeded` when the budget is exhausted."""
        if self.exhausted:
            raise BudgetExceeded(self.exhausted, hint=BudgetExceeded.remedy)
        if self._waiters or not self._fits(call):
            return False
        self._open(call)
        return True

    async def take(self, call: Reservation) -> None:
        """Reserve for a call, waiting in line until it fits. Raises `BudgetExceeded` when it never will."""
        future = asyncio.get_running_loop().create_future()
        entry = (call, future)
        self._waiters.append(entry)
        self.wake()
        try:
            await future
        except asyncio.CancelledError:
            # Either it still stood in line, and whoever stood behind it may fit now, or its turn had come in the moment
            # in which it was cancelled: then what was reserved is its own, and nobody else would ever release it.
            if future.cancelled():
                self._waiters.remove(entry)
                self.wake()
            elif future.exception() is None:
                self.release(call, 0, 0)
            raise

    def release(self, call: Reservation, tokens: int, cost: int) -> None:
        """End the reservation of a call that took so much."""
        self.open_calls -= 1
        self.open_tokens -= call.tokens
        self.open_cost -= call.cost
        self.spent_tokens += tokens
        self.spent_cost += cost
        if self._waiters:
            self.wake()

    def note_unreported(self, call: Reservation) -> None:
        """A call ended without saying what it took; it is released as if it took all that it might."""
        self.unreported_calls += 1
        self.unreported_tokens += call.tokens
        self.unreported_cost += call.cost

    def _open(self, call: Reservation) -> None:
        self.open_calls += 1
        self.open_tokens += call.tokens
        self.open_cost += call.cost

    def _fits(self, call: Reservation) -> bool:
        call.size()
        if self.max_tokens is not None and self.spent_tokens + self.open_tokens + call.tokens > self.max_tokens:
            return False
        return self.max_cost is None or self.spent_cost + self.open_cost + call.cost <= self.max_cost

    def wake(self) -> None:
        """Let those in line go for whom there is room now; all of them with an error once it is exhausted."""
        # Only the first in line is looked at: were small calls let past a large one, it would wait until the budget is
        # spent, and its rollout, which has paid for all calls before, would end without a verdict.
        while self._waiters and not self.exhausted:
            call, future = self._waiters[0]
            if future.done():  # cancelled; it removes itself
                return
            if self._fits(call):
                self._waiters.popleft()
                self._open(call)
                future.set_result(None)
            elif self.may_fit_later(call):
                return
            else:
                self.exhausted = self.reached(call.tokens, call.cost, guessed=call.guessed)
        if self.exhausted:
            for _, future in self._waiters:
                if not future.done():
                    future.set_exception(BudgetExceeded(self.exhausted, hint=BudgetExceeded.remedy))
            self._waiters = deque(entry for entry in self._waiters if entry[1].cancelled())

    def may_fit_later(self, call: Reservation) -> bool:
        """Whether there is something to wait for, for the first in line."""
        return self.open_calls > 0

    def reached(self, tokens: int, cost: int, *, guessed: bool) -> str:
        """What to say of a call that never fits. `guessed`: whether what it may take is but a guess."""
        if self.max_tokens is not None and self.spent_tokens + tokens > self.max_tokens:
            limit, spent, needed = f"--max-tokens {self.max_tokens}", f"{self.spent_tokens}", f"{tokens} tokens"
        else:
            limit = f"--max-cost {dollars(self.max_cost or 0):.12g}"
            spent, needed = f"{dollars(self.spent_cost):.6g}", f"{dollars(cost):.6g} USD"
        advice = "; `-M max_output_tokens=` would bound it" if guessed else ""
        return f"{limit} is reached: {spent} spent, and the next call may take {needed}{advice}"

    def to_wire(self) -> dict[str, Any]:
        """As it stands in the summary. `unreported`: counted at its worst case."""
        priced = all(meter.price is not None for meter in self.meters.values())
        return {
            "max_tokens": self.max_tokens,
            "max_cost": dollars(self.max_cost) if self.max_cost is not None else None,
            "spent_tokens": self.spent_tokens,
            "spent_cost": dollars(self.spent_cost) if priced else None,
            "unreported": {
                "calls": self.unreported_calls,
                "tokens": self.unreported_tokens,
                "cost": dollars(self.unreported_cost) if priced else None,
            },
        }


def make_meters(
    models: Mapping[str, ModelBackend],
    prices: Mapping[str, Price],
    *,
    max_cost: float | None = None,
    price_file: str | Path | None = None,
) -> dict[str, Meter]:
    """What measures the calls of models. Raises `UsageError` for `max_cost` and a model that nobody has a price for."""
    for role, model in models.items():
        if max_cost is not None and role not in prices:
            raise unknown_price(role, model, price_file)
    return {role: Meter(role, model, prices.get(role)) for role, model in models.items()}


def make_budget(
    models: Mapping[str, ModelBackend],
    prices: Mapping[str, Price],
    notices: list[str],
    *,
    max_tokens: int | None,
    max_cost: float | None,
    price_file: str | Path | None = None,
) -> Budget | None:
    """The budget that a run is given, None where it has none; a bound that is but a guess is added to `notices`.

    Raises `UsageError` for a limit in USD and a model that nobody has a price for.
    """
    if max_tokens is None and max_cost is None:
        return None
    meters = make_meters(models, prices, max_cost=max_cost, price_file=price_file)
    for role, meter in meters.items():
        if not meter.bounded:
            option = "max_output_tokens" if role == "policy" else f"{role}.max_output_tokens"
            notices.append(
                f"nothing bounds the answers of the {role} model to tasks that set no `max_output_tokens`: twice its "
                f"longest answer is reserved for each, and the limit may be overshot; `-M {option}=N` makes it exact"
            )
    return Budget(meters, max_tokens=max_tokens, max_cost=max_cost)


def _positive(value: Any) -> int | None:
    return value if type(value) is int and value > 0 else None
