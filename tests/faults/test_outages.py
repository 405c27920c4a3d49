"""What passes by itself is ridden out: outages, and a share of faulty replies."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from gym_testing import FakeOpenAI, Received, Reply, Turn, faults
from tests.support.endpoints import FastClock, VirtualClock, check_account, config, execute, task_number, work
from tests.support.loop import asynchronous

TEMPORARY = {
    "503": faults.server_error(503),
    "500": faults.server_error(500),
    "529": faults.server_error(529),
    "429": faults.rate_limited(),
    "502 page": faults.html(502, "Bad Gateway"),
    "drop before": faults.drop_before(),
    "drop inside": faults.drop_inside(),
}


def outage(clock: VirtualClock, fault: Reply, begin: float = 0, end: float = 30) -> Callable[[Received], Turn]:
    """A script: nothing but faults between two times after the start of the clock."""
    start = clock.now

    def turn(request: Received) -> Turn:
        return fault if begin <= clock.now - start < end else work(request)

    return turn


@pytest.mark.parametrize("fault", TEMPORARY.values(), ids=TEMPORARY)
@pytest.mark.parametrize("seed", [0, 1, 2])
@asynchronous
async def test_an_outage_of_30_seconds_is_ridden_out(fault: Reply, seed: int) -> None:
    clock = VirtualClock(seed)
    async with FakeOpenAI() as server:
        server.script(work, outage(clock, fault))
        ended = await execute(config(server, tasks=10), clock)
    assert ended.error is None
    assert set(ended.statuses.values()) == {"completed"}
    assert clock.now - 1000 >= 30


@asynchronous
async def test_an_outage_is_ridden_out_by_every_transport(transport: str) -> None:
    clock = VirtualClock(1)
    async with FakeOpenAI() as server:
        server.script(work, outage(clock, faults.server_error(503)))
        ended = await execute(config(server, tasks=5, transport=transport), clock)
    assert set(ended.statuses.values()) == {"completed"}


@asynchronous
async def test_an_outage_that_begins_right_after_the_first_look_is_ridden_out() -> None:
    clock = VirtualClock(0)
    async with FakeOpenAI() as server:
        server.script(outage(clock, faults.drop_before()))
        ended = await execute(config(server, tasks=4), clock)
    assert server.listed == 1  # the endpoint was there
    assert ended.error is None
    assert set(ended.statuses.values()) == {"completed"}


@asynchronous
async def test_a_server_that_dies_in_mid_run_and_comes_back_is_ridden_out(transport: str) -> None:
    clock = VirtualClock(0)
    async with FakeOpenAI(work, faults.hang()) as server:

        async def restart(_: object) -> None:
            await server.wait_received(6)
            await server.go_down()
            server.script(work)
            clock.at(1030, server.come_back)

        ended = await execute(config(server, tasks=6, transport=transport), clock, stop=restart)
    assert ended.error is None
    assert set(ended.statuses.values()) == {"completed"}
    assert clock.now >= 1030


@asynchronous
async def test_a_server_that_stays_down_stops_the_run_and_leaves_it_resumable(tmp_path: Path) -> None:
    """Nothing listening hits every rollout alike, in mid-run, too: it must not use up the rest of the dataset."""
    clock = VirtualClock(0)
    async with FakeOpenAI(work) as server:

        async def die(_: object) -> None:
            await server.wait_received(20)
            await server.go_down()

        made = config(server, tasks=200, concurrency=4, output=tmp_path / "x.jsonl")
        ended = await execute(made, clock, stop=die)
        check_account(ended, {(f"t{number}", 0) for number in range(200)})
        await server.come_back()
        made = config(server, tasks=200, output=tmp_path / "x.jsonl", mode="resume", retry_failed=True)
        again = await execute(made)
    assert ended.summary["state"] == "stopped"
    assert len(ended.rollouts) < 40
    assert again.summary["rollouts"]["with_verdict"] == 200


@asynchronous
async def test_without_retries_one_dropped_reply_is_no_reason_to_stop() -> None:
    def turn(request: Received) -> Turn:
        return faults.drop_before() if request.number == 7 else work(request)

    async with FakeOpenAI(turn) as server:
        ended = await execute(config(server, tasks=20, concurrency=2, options={"max_retries": 0}), FastClock(0))
    assert ended.summary["state"] == "finished"
    assert list(ended.statuses.values()).count("completed") == 19


@pytest.mark.parametrize("concurrency", [1, 4])
@asynchronous
async def test_a_task_whose_request_is_always_dropped_does_not_stop_those_after_it(concurrency: int) -> None:
    """A prompt that crashes its server: run again it would crash it again, and the run could never be finished."""

    def turn(request: Received) -> Turn:
        return faults.drop_before() if task_number(request) == 3 else work(request)

    async with FakeOpenAI(turn) as server:
        ended = await execute(config(server, tasks=10, concurrency=concurrency), FastClock(0))
    assert ended.summary["state"] == "finished"
    assert {task for task, status in ended.statuses.items() if status != "completed"} == {"t3"}


@pytest.mark.parametrize("seed", [0, 1, 2])
@asynchronous
async def test_with_30_percent_of_the_replies_faulty_97_percent_reach_a_verdict(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    wrong = [*TEMPORARY.values(), faults.broken_json(), faults.wrong_shape(), faults.wrong_length(20)]

    def turn(request: Received) -> Turn:
        return draw.choice(wrong) if draw.random() < 0.3 else work(request)

    async with FakeOpenAI(turn) as server:
        made = config(server, tasks=200, output=tmp_path / "x.jsonl")
        ended = await execute(made, VirtualClock(seed))
    check_account(ended, {(f"t{number}", 0) for number in range(200)})
    assert ended.summary["rollouts"]["with_verdict"] >= 0.97 * 200
    assert ended.retries > 100


@asynchronous
async def test_a_long_rate_limit_does_not_use_up_the_attempts_of_other_classes() -> None:
    """Each class has its own row in the table: ten times 429 and then one broken reply is no reason to give up."""
    limited = [faults.rate_limited()] * 10
    async with FakeOpenAI(*limited, faults.broken_json(), work) as server:
        ended = await execute(config(server))
    assert ended.statuses == {"t0": "completed"}


@asynchronous
async def test_a_long_rate_limit_does_not_use_up_the_time_of_other_classes() -> None:
    async with FakeOpenAI(faults.rate_limited(retry_after=250), faults.server_error(500), work) as server:
        ended = await execute(config(server))
    assert ended.statuses == {"t0": "completed"}
