"""An open gym against a real endpoint: what ends a rollout or a pause closes its request at the server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import gym_core
from gym_core import Status
from gym_testing import FakeOpenAI, Received, Turn, faults
from tests.support.agents import LoopAgent
from tests.support.endpoints import KEY, Adding, task_number, work
from tests.support.envs import ask, env
from tests.support.loop import asynchronous


def opened(server: FakeOpenAI, transport: str, **settings: Any) -> Any:
    """A gym whose model is at that endpoint."""
    options = {"base_url": server.base_url, "api": "chat", "api_key": KEY, "transport": transport}
    return gym_core.open(
        model="openai:m", model_options=options, env=env(Adding, 20), agent=LoopAgent(), concurrency=64, **settings
    )


@asynchronous
async def test_cancelling_a_group_closes_its_requests_and_no_others(transport: str) -> None:
    def turn(request: Received) -> Turn:
        return faults.hang() if task_number(request) == 1 else work(request)

    async with FakeOpenAI(turn) as server, opened(server, transport) as gym:
        group = asyncio.create_task(gym.group(ask(1), 4))
        await server.until(lambda: server.in_flight == 4)
        assert (await gym.group(ask(2), 2)).rewards == [1.0, 1.0]
        group.cancel()
        with pytest.raises(asyncio.CancelledError):
            await group
        await server.wait_cancelled(4)
        await server.until(lambda: server.in_flight == 0)


@pytest.mark.parametrize("retry", [True, False])
@asynchronous
async def test_a_pause_that_aborts_closes_the_requests_and_judges_no_half_answer(transport: str, retry: bool) -> None:
    updated = asyncio.Event()

    def turn(request: Received) -> Turn:
        return work(request) if updated.is_set() else faults.hang()

    async with FakeOpenAI(turn) as server, opened(server, transport) as gym:
        group = asyncio.create_task(gym.group(ask(1), 4))
        await server.until(lambda: server.in_flight == 4)
        async with gym.paused(abort=True, retry=retry):
            await server.wait_cancelled(4)
            await server.until(lambda: server.in_flight == 0)
            received = len(server.received)
            updated.set()
            await asyncio.sleep(0.05)
            assert len(server.received) == received
        rollouts = (await group).rollouts
    if retry:
        assert [rollout.reward for rollout in rollouts] == [1.0] * 4
        assert {rollout.model_calls[0]["attempts"] for rollout in rollouts} == {2}
    else:
        assert [rollout.reward for rollout in rollouts] == [None] * 4
        assert {(rollout.status, rollout.stop_reason) for rollout in rollouts} == {(Status.CANCELLED, "stale")}


@asynchronous
async def test_a_pause_that_drains_lets_every_answer_come_whole(transport: str) -> None:
    during: list[int] = []

    async with FakeOpenAI(work) as server, opened(server, transport) as gym:
        going = [asyncio.create_task(gym.group(ask(number), 4)) for number in range(10)]
        for _ in range(3):
            async with gym.paused():
                during.append(server.in_flight)
                before = len(server.received)
                await asyncio.sleep(0.02)
                assert len(server.received) == before
            await asyncio.sleep(0)
        groups = await asyncio.gather(*going)
    assert during == [0, 0, 0]
    assert {reward for group in groups for reward in group.rewards} == {1.0}
    assert {call["attempts"] for group in groups for rollout in group for call in rollout.model_calls} == {1}


@asynchronous
async def test_what_the_server_aborts_meanwhile_is_asked_again(transport: str) -> None:
    aborted: set[int] = set()

    def turn(request: Received) -> Turn:
        number = task_number(request)
        if number in aborted:
            return work(request)
        aborted.add(number)
        return faults.server_error()

    async with FakeOpenAI(turn) as server, opened(server, transport) as gym:
        assert (await gym.rollout(ask(1))).reward == 1.0


@asynchronous
async def test_another_endpoint_for_one_rollout_keeps_the_other_options(transport: str) -> None:
    async with FakeOpenAI(work) as one, FakeOpenAI(work) as two, opened(one, transport) as gym:
        await gym.rollout(ask(1), model_options={"base_url": two.base_url})
        assert (len(one.received), len(two.received)) == (0, 2)
        rollout = await gym.rollout(ask(1), model="openai:adapter-17")
        assert (len(one.received), len(two.received)) == (2, 2)
        assert one.received[-1].body["model"] == "adapter-17"
        assert rollout.row["rollout"]["model"] == "adapter-17"
        await gym.rollout(ask(1))
        assert one.received[-1].body["model"] == "m"
