"""Rate limits: how long is waited, and what becomes of the number of requests in flight."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gym_core.spi import Run
from gym_testing import FakeOpenAI, Received, Reply, Turn, faults
from tests.support.endpoints import FastClock, VirtualClock, config, execute, work
from tests.support.loop import asynchronous


@pytest.mark.parametrize(
    ("fault", "least", "most"),
    [
        (faults.rate_limited(retry_after=17), 17, 18),
        (faults.rate_limited(retry_after="17.5"), 17.5, 18.5),
        (faults.rate_limited(in_seconds=20), 20, 21),
        (faults.rate_limited(retry_after_ms=2500), 2.5, 3.5),
        (faults.rate_limited(retry_after_ms=2500, retry_after=60), 2.5, 3.5),
        (faults.rate_limited(retry_after=5000), 300, 301),
        (faults.rate_limited(in_seconds=5000), 300, 301),
        (faults.rate_limited(retry_after_ms=5_000_000), 300, 301),
        (faults.rate_limited(in_seconds=-20), 0, 1),
        (faults.rate_limited(retry_after="soon"), 0, 1),
        (faults.rate_limited(retry_after=-3), 0, 1),
        (faults.rate_limited(), 0, 1),
    ],
    ids=[
        "seconds", "a fraction", "date", "milliseconds", "milliseconds first", "seconds capped", "date capped",
        "milliseconds capped", "date in the past", "nonsense", "below zero", "nothing",
    ],
)  # fmt: skip
@asynchronous
async def test_a_server_says_how_long_to_wait(fault: Reply, least: float, most: float) -> None:
    clock = VirtualClock(0)
    async with FakeOpenAI(fault, work) as server:
        ended = await execute(config(server), clock)
    assert ended.statuses == {"t0": "completed"}
    (slept,) = clock.slept
    assert least <= slept <= most


@asynchronous
async def test_every_transport_passes_on_how_long_to_wait(transport: str) -> None:
    clock = VirtualClock(0)
    async with FakeOpenAI(faults.rate_limited(retry_after=17), faults.rate_limited(in_seconds=30), work) as server:
        await execute(config(server, transport=transport), clock)
    assert 17 <= clock.slept[0] <= 18
    assert 30 <= clock.slept[1] <= 32


class Crowded:
    """Lets so many requests come together first, then works on `capacity` of them at once and refuses the others."""

    def __init__(self, together: int, capacity: int) -> None:
        self.together = asyncio.Barrier(together)
        self.capacity = capacity
        self.open = 0

    async def __call__(self, request: Received) -> Turn:
        if request.number < self.together.parties:
            await self.together.wait()
        if self.open >= self.capacity:
            return faults.rate_limited()
        self.open += 1
        await asyncio.sleep(0.002)
        self.open -= 1
        return work(request)


@asynchronous
async def test_a_storm_of_rate_limits_lowers_what_is_in_flight_and_it_grows_back() -> None:
    crowded = Crowded(together=100, capacity=8)
    admitted: list[int] = []
    async with FakeOpenAI(crowded) as server:

        async def watch(run: Run[Any]) -> None:
            limiter = run.gates["policy"].limiters[0]
            await server.until(lambda: limiter.limit <= 16 and server.in_flight <= 16, 30.0, "fewer requests")
            admitted.append(run.progress.in_flight)
            crowded.capacity = 1000
            await server.until(lambda: server.in_flight >= 24, 30.0, "more requests")

        ended = await execute(config(server, tasks=400, concurrency=100), FastClock(0), stop=watch)
    assert set(ended.statuses.values()) == {"completed"}
    assert server.peak == 100  # full speed at once
    assert admitted == [100]  # the rollouts wait, they are not sent away


@asynchronous
async def test_max_inflight_is_never_exceeded() -> None:
    async def turn(request: Received) -> Turn:
        await asyncio.sleep(0.001)
        return faults.rate_limited() if request.number % 7 == 3 else work(request)

    async with FakeOpenAI(turn) as server:
        made = config(server, tasks=40, options={"max_inflight": 4})
        ended = await execute(made, VirtualClock(0))
    assert set(ended.statuses.values()) == {"completed"}
    assert 2 <= server.peak <= 4
