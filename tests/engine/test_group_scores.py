"""Rollouts of one task scored together: bounded, checked, and what goes wrong is the group's failure alone."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy
import pytest

import gym_core
from gym_core import Group, ResourceServer, Rollout, Session, Trajectory, Verdict
from gym_core.spi import Executor, Watch, score_group
from gym_testing import Served


class Alone(Session[Any]):
    def verify(self, trajectory: Trajectory) -> float:
        return 1.0


class Relative(ResourceServer):
    """A reward is how far an answer is above the mean of its group."""

    session_type = Alone

    def score_group(self, rollouts: Sequence[Rollout]) -> Any:
        mean = sum(rollout.reward or 0.0 for rollout in rollouts) / len(rollouts)
        return [Verdict((rollout.reward or 0.0) - mean, {"own": rollout.reward or 0.0}) for rollout in rollouts]


def scoring(answer: Any) -> ResourceServer:
    """An environment whose `score_group` is this function of the rollouts."""

    class Server(ResourceServer):
        session_type = Alone

        def score_group(self, rollouts: Sequence[Rollout]) -> Any:
            return answer(rollouts)

    return Server()


def rollout(repeat: int, reward: float | None, **fields: Any) -> Rollout:
    status = "completed" if reward is not None else "agent_error"
    about = {"run_id": "r", "repeat": repeat, "status": status}
    return Rollout({"task_id": "t", "response": {"output": []}, "reward": reward, "rollout": about, **fields})


FOUR = [rollout(2, 0.0), rollout(0, 1.0), rollout(3, None), rollout(1, 0.5)]


def scored(server: ResourceServer, rollouts: Sequence[Rollout] = FOUR, seconds: float = 30.0) -> Group:
    async def main() -> Group:
        executor = Executor()
        try:
            return await score_group(server, "t", rollouts, executor=executor, watch=Watch(), seconds=seconds)
        finally:
            executor.close()

    return asyncio.run(main())


def test_those_with_a_verdict_are_scored_by_repeat_and_a_failure_leaves_the_group() -> None:
    asked: list[list[int]] = []

    def answer(rollouts: Sequence[Rollout]) -> list[float]:
        asked.append([one.repeat for one in rollouts])
        return [0.1, 0.2, 0.3]

    group = scored(scoring(answer))
    assert asked == [[0, 1, 2]]
    assert [one.repeat for one in group] == [0, 1, 2, 3]
    assert group.rewards == [0.1, 0.2, 0.3, None]
    assert group.error is None
    assert len(group) == 4
    assert group.rollouts[0].reward == 1.0, "a row keeps its own"


def test_fewer_than_two_with_a_verdict_are_not_scored() -> None:
    group = scored(scoring(lambda rollouts: 1 / 0), [rollout(0, 0.5), rollout(1, None)])
    assert group.rewards == [0.5, None]
    assert group.error is None
    assert not group.verdicts


def test_an_environment_without_score_group_is_not_asked() -> None:
    class Server(ResourceServer):
        session_type = Alone

    assert not Server().describe().scores_groups
    assert scored(Server()).rewards == [1.0, 0.5, 0.0, None]


def test_verdicts_may_be_numbers_of_any_kind_and_come_late() -> None:
    async def later(rollouts: Sequence[Rollout]) -> Any:
        await asyncio.sleep(0)
        return numpy.array([0.25, 0.5, 1.0])

    assert scored(scoring(later)).rewards == [0.25, 0.5, 1.0, None]


class Blocking(ResourceServer):
    session_type = Alone

    @gym_core.blocking
    def score_group(self, rollouts: Sequence[Rollout]) -> Any:
        time.sleep(30)


async def hangs(rollouts: Sequence[Rollout]) -> Any:
    while True:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            continue


async def cancels(rollouts: Sequence[Rollout]) -> Any:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (lambda rollouts: 1 / 0, "ZeroDivisionError", "division by zero"),
        (lambda rollouts: sys.exit(3), "SystemExit", "3"),
        (cancels, "CancelledError", ""),
        (lambda rollouts: [1.0], "SessionError", "returned 1 verdicts for 3 rollouts"),
        (lambda rollouts: [1.0] * 4, "SessionError", "returned 4 verdicts for 3 rollouts"),
        (lambda rollouts: [1.0, math.nan, 0.0], "SessionError", "`score_group` gave reward = nan"),
        (lambda rollouts: [1.0, "good", 0.0], "SessionError", "it must be a number or a Verdict"),
        (lambda rollouts: [1.0, Verdict(0.0, {"a": math.inf}), 0.0], "SessionError", "gave a = inf"),
        (lambda rollouts: [1.0, Verdict(0.0, {}, {"a": object}), 0.0], "SessionError", "info that is no JSON"),
        (lambda rollouts: None, "SessionError", "it must be a list of one verdict per rollout"),
        (lambda rollouts: {0: 1.0, 1: 1.0, 2: 1.0}, "SessionError", "it must be a list of one verdict per rollout"),
        (lambda rollouts: "yes", "SessionError", "it must be a list of one verdict per rollout"),
        (lambda rollouts: (1.0 for _ in rollouts), "SessionError", "it must be a list of one verdict per rollout"),
    ],
)
def test_whatever_goes_wrong_is_the_groups_failure(answer: Any, error: str, words: str) -> None:
    group = scored(scoring(answer))
    assert group.error is not None
    assert group.error["class"] == error
    assert words in group.error["message"]
    assert group.error["phase"] == "score_group"
    assert group.rewards == [1.0, 0.5, 0.0, None], "each keeps its own verdict"


@pytest.mark.parametrize("server", [scoring(hangs), Blocking()])
def test_what_hangs_is_ended(server: ResourceServer) -> None:
    group = scored(server, seconds=0.05)
    assert group.error is not None
    assert group.error["message"] == "score_group did not end within 0.05 s"
    assert group.error["retryable"]


def test_a_cancellation_from_outside_is_no_failure_of_the_group() -> None:
    async def main() -> None:
        executor = Executor()
        work = score_group(scoring(hangs), "t", FOUR, executor=executor, watch=Watch(), seconds=30.0)
        task = asyncio.ensure_future(work)
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        executor.close()

    asyncio.run(main())


async def over_http(server: ResourceServer, rollouts: Sequence[Rollout] = FOUR, **settings: Any) -> Group:
    executor = Executor()
    async with Served(server, **settings) as served, served.remote() as there:
        assert there.describe().scores_groups
        group = await score_group(there, "t", rollouts, executor=executor, watch=Watch(), seconds=30.0)
    executor.close()
    return group


def test_a_served_environment_scores_groups_alike() -> None:
    here, there = scored(Relative()), asyncio.run(over_http(Relative()))
    assert there.error is None
    assert there.verdicts == here.verdicts
    assert here.rewards == [0.5, 0.0, -0.5, None]


def test_what_goes_wrong_at_a_server_is_the_groups_failure_with_its_words() -> None:
    group = asyncio.run(over_http(scoring(lambda rollouts: 1 / 0)))
    assert group.error is not None
    assert "ZeroDivisionError: division by zero" in group.error["message"]
    group = asyncio.run(over_http(scoring(lambda rollouts: [1.0])))
    assert group.error is not None
    assert "returned 1 verdicts for 3 rollouts" in group.error["message"]
    group = asyncio.run(over_http(scoring(hangs), deadlines=gym_core.Deadlines(verify=0.05)))
    assert group.error is not None
    assert "score_group did not end within 0.05 s" in group.error["message"]


def test_a_group_that_is_too_long_for_the_server_says_so() -> None:
    long = [rollout(repeat, 1.0, text="x" * 5_000) for repeat in range(2)]
    group = asyncio.run(over_http(Relative(), long, max_body=4_096))
    assert group.error is not None
    assert "4096" in group.error["message"]


def test_a_server_that_scores_no_groups_refuses_and_one_that_is_asked_oddly_says_what_is_wrong() -> None:
    import httpx

    class Server(ResourceServer):
        session_type = Alone

    async def main() -> None:
        async with Served(Server()) as served, httpx.AsyncClient(base_url=served.url) as client:
            answer = await client.post("/v1/score_group", json={"rollouts": []})
            assert answer.status_code == 404
            assert "scores no groups" in answer.json()["error"]["message"]
        async with Served(Relative()) as served, httpx.AsyncClient(base_url=served.url) as client:
            for body, field in (
                ({}, "rollouts"),
                ({"rollouts": 3}, "rollouts"),
                ({"rollouts": [{}]}, "rollouts.0.response"),
                ({"rollouts": [{"response": {}, "reward": "x", "rollout": {}}]}, "rollouts.0.reward"),
                ({"rollouts": [], "more": 1}, "more"),
            ):
                answer = await client.post("/v1/score_group", json=body)
                assert answer.status_code == 422
                assert answer.json()["error"]["field"] == field

    asyncio.run(main())
