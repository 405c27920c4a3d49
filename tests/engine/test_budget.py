"""Reserving and settling: a limit is kept whatever calls do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gym_core import ModelError, Request, Usage
from gym_core.domain import errors
from gym_core.engine.model_calls.budget import FIRST_GUESS, Budget, Meter
from gym_core.engine.model_calls.prices import Price, rates
from gym_core.engine.model_calls.reservations import Reservation, Reservations, encoded_size, may_have_spent
from gym_core.errors import BudgetExceeded
from tests.support.budgets import Bounded, bounded
from tests.support.loop import asynchronous, settle
from tests.support.models import ScriptedModel, say


def budget(price: Price | None = None, **limits: Any) -> Budget:
    return Budget({"policy": Meter("policy", bounded(), price)}, **limits)


def reservation(budget: Budget, inputs: int, outputs: int | None) -> Reservation:
    return Reservation(Reservations(budget), budget.meters["policy"], inputs, outputs)


calls = st.lists(
    st.tuples(
        st.integers(0, 60),  # input bound
        st.integers(0, 60),  # output bound
        st.floats(0, 1),  # what was used of it
        st.sampled_from(["answer", "silent", "refused", "dropped", "cancel"]),
        st.integers(0, 5),  # for how long
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(calls, st.integers(1, 400), st.integers(0, 200))
def test_whatever_the_schedule_the_limits_are_kept(
    schedule: list[tuple[int, int, float, str, int]], tokens: int, microcents: int
) -> None:
    price = Price(rates(3, 7, 1))
    limits = Budget({"policy": Meter("policy", bounded(), price)}, max_tokens=tokens, max_cost=(microcents + 1) / 1e6)
    assert limits.max_cost is not None

    def check() -> None:
        assert limits.spent_tokens + limits.open_tokens <= tokens
        assert limits.spent_cost + limits.open_cost <= (limits.max_cost or 0)

    paid = [0, 0]

    async def one(inputs: int, outputs: int, share: float, end: str, turns: int) -> None:
        asked = reservation(limits, inputs, outputs)
        if not asked.try_take():
            await asked.take()
        check()
        try:
            await settle(turns)
            used = Usage(int(inputs * share), int(outputs * share), cached_tokens=turns)
            if end == "answer":
                asked.settle(used)
                paid[0] += used.total_tokens if used.input_tokens else asked.tokens
                paid[1] += price.of(used) if used.input_tokens else asked.cost
                return
            if end == "silent":
                asked.settle(Usage())
            elif end == "refused":
                asked.failed(errors.RateLimitError("slow down", status=429))
                return
            elif end == "dropped":
                asked.failed(errors.ConnectionFailedError("dropped"))
            paid[0] += asked.tokens
            paid[1] += asked.cost
        finally:
            asked.close()
            check()

    async def main() -> None:
        tasks = [asyncio.create_task(one(*call)) for call in schedule]
        await settle(2)
        for task, (*_, end, _) in zip(tasks, schedule, strict=True):
            if end == "cancel" and limits.waiting:
                task.cancel()
        ended = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
        for outcome in ended:
            assert outcome is None or isinstance(outcome, BudgetExceeded | asyncio.CancelledError), outcome

    asyncio.run(main())
    check()
    assert limits.open_calls == limits.open_tokens == limits.open_cost == limits.waiting == 0
    assert limits.spent_tokens >= paid[0]
    assert limits.spent_cost >= paid[1]


@asynchronous
async def test_a_call_that_does_not_fit_waits_for_open_ones_to_settle() -> None:
    shared = budget(max_tokens=100)
    first, second = reservation(shared, 40, 40), reservation(shared, 40, 40)
    assert first.try_take()
    assert not second.try_take()
    waiting = asyncio.create_task(second.take())
    await settle()
    assert not waiting.done()
    first.settle(Usage(10, 10))
    await waiting
    assert shared.open_tokens == 80
    assert shared.spent_tokens == 20


@asynchronous
async def test_with_nothing_open_a_call_that_does_not_fit_exhausts_the_budget() -> None:
    shared = budget(max_tokens=100)
    first, second, third = (reservation(shared, 40, 40) for _ in range(3))
    assert first.try_take()
    waiting = [asyncio.create_task(one.take()) for one in (second, third)]
    await settle()
    first.settle(Usage(40, 30))
    for one in waiting:
        with pytest.raises(
            BudgetExceeded, match="--max-tokens 100 is reached: 70 spent, and the next call may take 80"
        ):
            await one
    with pytest.raises(BudgetExceeded):
        reservation(shared, 1, 1).try_take()  # even one that would fit: the run is ending


@asynchronous
async def test_a_cancelled_waiter_lets_those_behind_it_pass() -> None:
    shared = budget(max_tokens=100)
    first, big, small = reservation(shared, 40, 40), reservation(shared, 50, 50), reservation(shared, 10, 10)
    assert first.try_take()
    waiting = asyncio.create_task(big.take())
    behind = asyncio.create_task(small.take())
    await settle()
    assert not behind.done()
    waiting.cancel()
    await behind
    assert shared.open_tokens == 100


@asynchronous
async def test_a_waiter_cancelled_in_the_moment_of_its_turn_keeps_nothing() -> None:
    shared = budget(max_tokens=100)
    first, second = reservation(shared, 40, 40), reservation(shared, 40, 40)
    assert first.try_take()
    waiting = asyncio.create_task(second.take())
    await settle()
    first.settle(Usage(1, 1))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (shared.open_calls, shared.open_tokens) == (0, 0)


def test_a_guess_follows_what_was_seen() -> None:
    shared = budget(max_tokens=10**6)
    first, second = reservation(shared, 10, None), reservation(shared, 10, None)
    first.try_take()
    assert first.tokens == 10 + FIRST_GUESS
    first.settle(Usage(10, 3000))
    second.try_take()
    assert second.tokens == 10 + 2 * 3000


@pytest.mark.parametrize(
    ("error", "maybe"),
    [
        (errors.RateLimitError("", status=429), False),
        (errors.ServerError("", status=500), False),
        (errors.ServerError("", status=504), True),
        (errors.BadRequestError("", status=400), False),
        (errors.BadRequestError(""), False),
        (errors.ConnectionFailedError(""), True),
        (errors.ModelTimeoutError(""), True),
        (errors.BrokenReplyError("", status=200), True),
        (errors.BackendError(""), True),
    ],
)
def test_what_a_failed_attempt_may_have_spent(error: ModelError, maybe: bool) -> None:
    assert may_have_spent(error) is maybe
    error.unsent = True
    assert not may_have_spent(error)


def test_a_bound_on_answers_is_the_users_then_the_tasks_then_the_backends() -> None:
    explicit = Meter("policy", bounded(), None)
    default = Meter("policy", ScriptedModel(options=Bounded()), None)
    none = Meter("policy", ScriptedModel(), None)
    assert explicit.output_bound({"max_output_tokens": 7}) == 100
    assert default.output_bound({"max_output_tokens": 7}) == 7
    assert default.output_bound({}) == 100
    assert none.output_bound({"max_output_tokens": 7}) == 7
    assert none.output_bound({}) is None


def test_a_size_is_that_of_the_bytes_whatever_is_in_them() -> None:
    assert encoded_size({"a": "ü"}) == len('{"a":"ü"}'.encode())
    assert encoded_size({"a": "\ud800", "b": object()}) > 10


def test_a_turn_that_continues_the_conversation_is_measured_from_the_last_one() -> None:
    shared = budget(max_tokens=10**6)
    reservations = Reservations(shared)
    items = [{"type": "message", "role": "user", "content": "x" * 3000}]
    first = reservations.for_turn("policy", "policy", Request({"input": items}), {}, goes_on=False)
    assert first.input_tokens > 3000
    first.try_take()
    first.settle(Usage(700, 5))
    longer = [*items, say("y" * 50)]
    second = reservations.for_turn("policy", "policy", Request({"input": longer}), {}, goes_on=True)
    assert 750 < second.input_tokens < 1000
    other = reservations.for_turn("policy", "policy", Request({"input": longer}), {"tools": []}, goes_on=True)
    assert other.input_tokens > 3000, "a request of another shape says nothing about this one"
    reordered = reservations.for_turn("policy", "policy", Request({"input": longer[::-1]}), {}, goes_on=False)
    assert reordered.input_tokens > 3000


def test_earlier_rollouts_without_a_cost_are_priced_by_their_calls() -> None:
    shared = budget(Price(rates(1, 10)), max_cost=1)
    usage = {"input_tokens": 500, "output_tokens": 100}
    shared.earlier({"usage": usage, "cost": None, "model_calls": [{"role": "policy", "usage": usage}]})
    assert shared.spent_cost == 1500 * 10**6


def test_a_request_that_was_never_sent_is_free() -> None:
    from gym_openai_model.preflight import transport_failure
    from gym_openai_model.transports.base import TransportError

    url = "http://127.0.0.1:9/v1"
    assert not may_have_spent(transport_failure(TransportError("connect_refused", url, "refused"), url))
    assert not may_have_spent(transport_failure(TransportError("connect_timeout", url, "late"), url))
    assert may_have_spent(transport_failure(TransportError("dropped", url, "dropped"), url))
