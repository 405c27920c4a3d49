"""Requests in flight: never too many, nobody forgotten, fewer under load and slowly more again."""

from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gym_core.engine.model_calls.rate_limits import Limiter
from tests.support.loop import asynchronous, settle

STEPS = st.lists(st.sampled_from(["start", "finish", "fail", "cancel"]), max_size=60)


@given(st.integers(1, 6), STEPS)
@asynchronous
async def test_never_above_the_limit_and_nobody_is_forgotten(most: int, steps: list[str]) -> None:
    limiter = Limiter(most)
    holding: list[int] = []
    waiting: dict[int, asyncio.Task[None]] = {}

    async def enter(number: int) -> None:
        await limiter.acquire()
        holding.append(number)

    for number, step in enumerate(steps):
        before = limiter.inflight
        if step == "start":
            waiting[number] = asyncio.create_task(enter(number))
        elif step == "cancel" and waiting:
            _, task = waiting.popitem()
            task.cancel()
        elif step == "finish" and holding:
            holding.pop()
            limiter.succeeded()
            limiter.release()
        elif step == "fail" and holding:
            holding.pop()
            limiter.overloaded(limiter.epoch)
            limiter.release()
        await settle(4)
        assert limiter.inflight == len(holding)
        assert limiter.inflight <= max(most, 0)
        if limiter.inflight > before:
            assert limiter.inflight <= math.ceil(limiter.limit)
        waiting = {number: task for number, task in waiting.items() if not task.done()}
        assert limiter.waiting == len(waiting)
        assert not waiting or limiter.inflight + 1 > limiter.limit  # whoever waits, waits for a reason
    while waiting:
        assert holding
        holding.pop()
        limiter.release()
        await settle(4)
        waiting = {number: task for number, task in waiting.items() if not task.done()}
    for _ in range(len(holding)):
        limiter.release()
    assert limiter.inflight == 0


@asynchronous
async def test_requests_wait_in_line() -> None:
    limiter = Limiter(1)
    await limiter.acquire()
    served: list[int] = []

    async def enter(number: int) -> None:
        await limiter.acquire()
        served.append(number)
        limiter.release()

    tasks = [asyncio.create_task(enter(number)) for number in range(5)]
    await settle()
    assert served == []
    assert not limiter.try_acquire()
    limiter.release()
    await asyncio.gather(*tasks)
    assert served == [0, 1, 2, 3, 4]


@asynchronous
async def test_a_waiter_cancelled_in_the_moment_it_is_served_passes_the_slot_on() -> None:
    limiter = Limiter(1)
    await limiter.acquire()
    first, second = (asyncio.create_task(limiter.acquire()) for _ in range(2))
    await settle()
    limiter.release()
    first.cancel()
    await settle()
    assert first.cancelled()
    assert second.done()
    assert limiter.inflight == 1


@asynchronous
async def test_cancelled_waiters_do_not_hold_up_who_comes_after_them() -> None:
    limiter = Limiter(1)
    await limiter.acquire()
    gone = [asyncio.create_task(limiter.acquire()) for _ in range(3)]
    await settle()
    for task in gone:
        task.cancel()
    await settle()
    limiter.release()
    await asyncio.wait_for(limiter.acquire(), 30)
    assert limiter.inflight == 1


def test_a_burst_of_complaints_lowers_the_limit_once() -> None:
    limiter = Limiter(100)
    for _ in range(100):
        assert limiter.try_acquire()
    epoch = limiter.epoch
    for _ in range(100):
        limiter.overloaded(epoch)
        limiter.release()
    assert limiter.decreases == 1
    assert limiter.limit == pytest.approx(70)


def test_a_complaint_about_a_later_request_lowers_it_again() -> None:
    limiter = Limiter(100)
    for _ in range(100):
        limiter.try_acquire()
    limiter.overloaded(limiter.epoch)
    limiter.overloaded(limiter.epoch)
    assert limiter.decreases == 2
    assert limiter.limit == pytest.approx(49)


def test_without_a_limit_the_first_complaint_starts_from_what_was_in_flight() -> None:
    limiter = Limiter()
    for _ in range(10):
        limiter.try_acquire()
    limiter.overloaded(limiter.epoch)
    assert limiter.limit == pytest.approx(7)


@given(st.integers(2, 40))
def test_a_complaint_always_means_fewer_than_were_in_flight(inflight: int) -> None:
    limiter = Limiter()
    for _ in range(inflight):
        limiter.try_acquire()
    limiter.overloaded(limiter.epoch)
    for _ in range(inflight):
        limiter.release()
    allowed = 0
    while limiter.try_acquire():
        allowed += 1
    assert 1 <= allowed < inflight


def test_it_never_falls_below_one() -> None:
    limiter = Limiter(3)
    for _ in range(20):
        if limiter.inflight == 0:
            assert limiter.try_acquire()
        limiter.overloaded(limiter.epoch)
        limiter.release()
    assert limiter.try_acquire()
    assert not limiter.try_acquire()


def test_success_grows_it_back_by_one_per_round_and_not_beyond_the_cap() -> None:
    limiter = Limiter(20)
    for _ in range(20):
        limiter.try_acquire()
    limiter.overloaded(limiter.epoch)
    for _ in range(20):
        limiter.release()
    start = limiter.limit
    for _ in range(int(start)):
        while limiter.try_acquire():
            pass
        limiter.succeeded()
    assert limiter.limit == pytest.approx(start + 1, abs=0.1)
    for _ in range(1000):
        while limiter.try_acquire():
            pass
        limiter.succeeded()
    assert limiter.limit == 20


def test_success_of_a_few_requests_is_no_proof_that_more_are_welcome() -> None:
    limiter = Limiter(20)
    for _ in range(20):
        limiter.try_acquire()
    limiter.overloaded(limiter.epoch)
    for _ in range(19):
        limiter.release()
    before = limiter.limit
    for _ in range(100):
        limiter.succeeded()
    assert limiter.limit == before
