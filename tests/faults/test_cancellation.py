"""Whatever ends a rollout closes its request: the server sees it, and nobody pays for tokens no one will read."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

import gym_core
from gym_core.spi import Deadlines, Run
from gym_testing import FakeOpenAI, Received, Reply, Turn, faults
from tests.support.endpoints import KEY, config, execute, gym_command, gym_environment, task_number, work
from tests.support.loop import asynchronous


def stuck(*numbers: int) -> Any:
    """A script that calls the tool for every task and then never answers those of these numbers."""

    def turn(request: Received) -> Turn:
        if request.tool_outputs and task_number(request) in numbers:
            return faults.hang()
        return work(request)

    return turn


@asynchronous
async def test_the_deadline_of_a_rollout_closes_its_request(transport: str) -> None:
    async with FakeOpenAI(work, faults.hang()) as server:
        ended = await execute(config(server, transport=transport, deadlines=Deadlines(rollout=1.0)))
        await server.wait_cancelled(1)
        await server.until(lambda: server.in_flight == 0)
    assert ended.statuses == {"t0": "timed_out"}
    kinds = [item["type"] for item in ended.rollouts[0].response.output]
    assert kinds == ["function_call", "function_call_output"]  # the trajectory so far is kept


@pytest.mark.parametrize("fault", [faults.hang(), faults.slow(seconds=60)], ids=repr)
@asynchronous
async def test_the_deadline_of_a_model_call_closes_its_request(transport: str, fault: Reply) -> None:
    async with FakeOpenAI(fault) as server:
        ended = await execute(config(server, transport=transport, deadlines=Deadlines(model_call=0.1)))
        await server.until(lambda: server.cancelled == len(server.received))
        await server.until(lambda: server.in_flight == 0)
    assert ended.statuses == {"t0": "model_error"}


@asynchronous
async def test_the_timeout_of_a_request_closes_it(transport: str) -> None:
    async with FakeOpenAI(work, faults.hang(), work) as server:
        ended = await execute(config(server, transport=transport, options={"request_timeout": 0.2}))
        await server.wait_cancelled(1)
    assert ended.statuses == {"t0": "completed"}


@asynchronous
async def test_letting_stragglers_go_closes_their_requests(transport: str) -> None:
    stragglers = asyncio.Barrier(3)  # both of them and whoever lets the others end

    async def turn(request: Received) -> Turn:
        if not request.tool_outputs:
            return work(request)
        number = task_number(request)
        if number in (2, 5, 0):  # what is let go must have asked, or there is no request to close
            await stragglers.wait()
        return faults.hang() if number in (2, 5) else work(request)

    async with FakeOpenAI(turn) as server:
        ended = await execute(config(server, transport=transport, tasks=10, finish_at=0.8))
        await server.wait_cancelled(2)
        await server.until(lambda: server.in_flight == 0)
    assert {task for task, status in ended.statuses.items() if status == "cancelled"} == {"t2", "t5"}
    assert ended.summary["state"] == "finished"


@asynchronous
async def test_stopping_a_run_closes_its_requests(transport: str) -> None:
    async with FakeOpenAI(stuck(0, 1, 2)) as server:

        async def stop(run: Run[Any]) -> None:
            await server.wait_received(6)
            await server.until(lambda: server.in_flight == 3)
            run.stop("enough")

        ended = await execute(config(server, transport=transport, tasks=3), stop=stop)
        await server.wait_cancelled(3)
        await server.until(lambda: server.in_flight == 0)
    assert set(ended.statuses.values()) == {"cancelled"}


@asynchronous
async def test_a_fatal_error_closes_the_requests_of_the_others(transport: str) -> None:
    others = asyncio.Barrier(4)

    async def turn(request: Received) -> Turn:
        await others.wait()
        return faults.wrong_key() if task_number(request) == 3 else faults.hang()

    async with FakeOpenAI(turn) as server:
        ended = await execute(config(server, transport=transport, tasks=4))
        await server.wait_cancelled(3)
        await server.until(lambda: server.in_flight == 0)
    assert set(ended.statuses.values()) == {"cancelled"}
    assert ended.summary["state"] == "stopped"


@asynchronous
async def test_leaving_the_loop_of_collect_closes_the_requests(transport: str) -> None:
    async with FakeOpenAI(stuck(1, 2)) as server:
        options = {"base_url": server.base_url, "transport": transport, "api": "responses", "api_key": KEY}
        rollouts = gym_core.collect(
            model="openai:fake-model",
            model_options={"policy": options},
            env=config(server, tasks=3).components.env,
            agent="simple_agent",
        )
        async for rollout in rollouts:
            assert rollout.task_id == "t0"
            await server.until(lambda: server.in_flight == 2)
            break
        await rollouts.aclose()
        await server.wait_cancelled(2)
        await server.until(lambda: server.in_flight == 0)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_an_interrupt_closes_the_requests(transport: str, tmp_path: Path) -> None:
    with FakeOpenAI(faults.hang()) as server:
        process = subprocess.Popen(
            gym_command(server, "--output", "x.jsonl", "--concurrency", "3", "-M", f"transport={transport}"),
            cwd=tmp_path, env=gym_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            asyncio.run(server.wait_received(3, timeout=30))
            process.send_signal(signal.SIGINT)
            asyncio.run(server.wait_cancelled(3))
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 130, err
    failures = [orjson.loads(line) for line in (tmp_path / "x.failures.jsonl").read_bytes().splitlines()]
    assert [row["rollout"]["status"] for row in failures] == ["cancelled"] * 3
    assert len(server.received) == 3
    assert KEY not in err
