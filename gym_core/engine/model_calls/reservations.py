"""The budget as one rollout sees it: how much its next call can take, and what became of that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gym_core.domain.errors import (
    BackendError,
    BrokenReplyError,
    BudgetExceeded,
    ConnectionFailedError,
    ModelError,
    ModelTimeoutError,
)
from gym_core.domain.responses import Request, Usage
from gym_core.engine.model_calls.budget import Budget, Meter
from gym_core.engine.model_calls.prices import dollars

TEMPLATE_TOKENS = 512
"""What the server's chat template may add to a request: its frame, a system prompt, how to call tools."""

IMAGE_TOKENS = 16_384
"""What an image counts as: the largest that models of today make of one, whatever its file weighs."""

_UNREPORTED = (ModelTimeoutError, BrokenReplyError, ConnectionFailedError, BackendError)
_GATEWAY_TIMEOUTS = (504, 524)


class Reservations:
    """The budget of one rollout. `denied`: set once a call of the rollout was refused.

    `meters`: of its models by role, where they are others than the budget's.
    """

    __slots__ = ("_calls", "_cost", "_meters", "_tokens", "budget", "denied", "measured")

    def __init__(self, budget: Budget, meters: Mapping[str, Meter] | None = None) -> None:
        self.budget = budget
        self._meters = budget.meters if meters is None else meters
        self.denied: BudgetExceeded | None = None
        self.measured: dict[str, tuple[int, int, Mapping[str, Any]]] = {}
        """By actor: how many items its last call was shown, how many tokens that was, and its sampling."""
        self._calls = self._tokens = self._cost = 0

    def for_call(self, role: str, request: Request) -> Reservation:
        """The reservation for a call that stands alone."""
        meter = self._meters[role]
        return Reservation(self, meter, encoded_size(request.body) + TEMPLATE_TOKENS, meter.output_bound(request.body))

    def for_turn(
        self, actor: str, role: str, request: Request, sampling: Mapping[str, Any], *, goes_on: bool
    ) -> Reservation:
        """The reservation for a call of an actor. `goes_on`: it begins with all that the actor's last call was shown.

        Then that one's tokens are known, and only what came since is measured. `sampling`: what differs from the
        task's request, which may make for other tokens.
        """
        known = self.measured.get(actor) if goes_on else None
        if known is None or known[2] != sampling:
            reservation = self.for_call(role, request)
        else:
            meter = self._meters[role]
            tokens = known[1] + encoded_size(request.input[known[0] :])
            reservation = Reservation(self, meter, tokens, meter.output_bound(request.body))
        reservation.turn = actor, len(request.input), sampling
        return reservation

    def note_unreported(self, call: Reservation) -> None:
        """Note an attempt that may have spent all that was reserved for it."""
        self._calls += 1
        self._tokens += call.tokens
        self._cost += call.cost
        self.budget.note_unreported(call)

    @property
    def unreported(self) -> dict[str, Any] | None:
        """Attempts that may have spent something, as they stand in the row; None where there are none."""
        if not self._calls:
            return None
        cost = dollars(self._cost) if self._cost else None
        return {"calls": self._calls, "tokens": self._tokens, "cost": cost}


class Reservation:
    """The most that one model call can take, reserved for each of its attempts in turn.

    `input_tokens`: a bound. `output_tokens`: a bound, or None where only a guess can stand in for it. `turn`: the
    actor, how many items it is shown, and its sampling, if the call is one of a conversation.
    """

    __slots__ = ("_held", "_meter", "_reservations", "cost", "input_tokens", "output_tokens", "tokens", "turn")

    def __init__(self, reservations: Reservations, meter: Meter, input_tokens: int, output_tokens: int | None) -> None:
        self._reservations = reservations
        self._meter = meter
        self._held = False
        self.turn: tuple[str, int, Mapping[str, Any]] | None = None
        self.input_tokens = input_tokens
        self.output_tokens = output_tokens
        self.tokens = self.cost = 0

    @property
    def guessed(self) -> bool:
        """Whether the bound is a guess."""
        return self.output_tokens is None

    def size(self) -> None:
        """Find out `tokens` and `cost`, in picodollars; a guess changes with what was seen."""
        output = self.output_tokens if self.output_tokens is not None else self._meter.guess()
        price = self._meter.price
        self.tokens = self.input_tokens + output
        self.cost = price.at_most(self.input_tokens, output) if price is not None else 0

    def try_take(self) -> bool:
        """Reserve for an attempt if that is possible now. Raises `BudgetExceeded`."""
        try:
            self._held = self._reservations.budget.try_take(self)
        except BudgetExceeded as error:
            self._reservations.denied = error
            raise
        return self._held

    async def take(self) -> None:
        """Reserve for an attempt, waiting until it fits. Raises `BudgetExceeded`."""
        try:
            await self._reservations.budget.take(self)
        except BudgetExceeded as error:
            self._reservations.denied = error
            raise
        self._held = True

    # What is taken for an attempt is released once: settled by its usage, without cost where it failed so, given back
    # before it began, or closed. The last is for what nobody tells of: it was cancelled, its rollout was given up, its
    # answer was broken. Endpoints bill what they have generated whether or not it was read, so all of it counts as
    # spent. A limit may so be reached early; it is never passed unseen.

    def settle(self, usage: Usage) -> None:
        """The attempt was answered. An answer that does not tell its usage counts as the worst case."""
        measured = self._reservations.measured
        if not usage.input_tokens:
            if self.turn is not None:
                measured.pop(self.turn[0], None)
            self.close()
            return
        self._meter.largest = max(self._meter.largest, usage.output_tokens)
        if self.turn is not None:
            measured[self.turn[0]] = (self.turn[1], usage.input_tokens, self.turn[2])
        price = self._meter.price
        self._release(usage.total_tokens, price.of(usage) if price is not None else 0)

    def failed(self, error: ModelError) -> None:
        """The attempt failed. What the endpoint refused, or was never sent, costs nothing; all else may have."""
        if not may_have_spent(error):
            self._release(0, 0)

    def give_back(self) -> None:
        """The attempt does not begin yet."""
        self._release(0, 0)

    def close(self) -> None:
        """The attempt is over. What is still reserved may all have been spent, and counts so."""
        if self._held:
            self._reservations.note_unreported(self)
            self._release(self.tokens, self.cost)

    def _release(self, tokens: int, cost: int) -> None:
        self._held = False
        self._reservations.budget.release(self, tokens, cost)


def may_have_spent(error: ModelError) -> bool:
    """Whether a failed attempt may have to be paid for although nobody says how much.

    An endpoint that answers with an error status has generated nothing; a gateway that gave up waiting for one may.
    """
    if error.unsent:
        return False
    if error.status is not None and error.status >= 400:
        return error.status in _GATEWAY_TIMEOUTS
    return isinstance(error, _UNREPORTED)


def encoded_size(value: Any) -> int:
    """The bytes of a value as JSON, and of an image `IMAGE_TOKENS`.

    No tokenizer of bytes makes more tokens than there are bytes; what an image takes goes by its pixels.
    """
    import orjson

    try:
        data = orjson.dumps(value, default=str)
        return len(data) + (_images(value) if b'"input_image"' in data else 0)
    except TypeError:  # half of a surrogate pair, a number of more than 64 bits: longer in plain ASCII
        import json

        return len(json.dumps(value, default=str))


def _images(value: Any) -> int:
    """How much more than their bytes the images count, of items or of a request with them."""
    items = value.get("input") if isinstance(value, Mapping) else value
    more = 0
    for item in items if isinstance(items, list | tuple) else ():
        for parts in (item.get("content"), item.get("output")) if isinstance(item, Mapping) else ():
            for part in parts if isinstance(parts, list) else ():
                if isinstance(part, Mapping) and part.get("type") == "input_image":
                    more += IMAGE_TOKENS - len(str(part.get("image_url") or ""))
    return more
