"""Runs of agents that bring their own model and environment, without HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gym_core import Agent, CompletedTask, Episode, RunConfig, Stop, StopReason, Task, TaskFailed, UsageError, Verdict
from gym_core.spi import ModelCall
from tests.support.envs import ask
from tests.support.models import USAGE, response, say
from tests.support.running import Ended, execute


class Whole(Agent):
    """Does as its task says."""

    self_contained = True

    async def run(self, episode: Episode) -> Stop:
        raise AssertionError("it is given whole tasks")

    async def complete(self, task: Task, repeat: int) -> CompletedTask:
        wanted: Any = task.get("wanted", 1.0)
        if isinstance(wanted, str):
            raise TaskFailed("it went wrong", phase=wanted)
        if wanted is None:
            raise ZeroDivisionError("a defect")
        called = ModelCall("policy", "policy", [[0, 1]], [[1, 2]], USAGE, 0.5)
        calls = (called, called) if task.get("calls") else ()
        return CompletedTask(
            response(say("so"), model="theirs"), Verdict(wanted, info={"n": repeat}), "max_turns", calls
        )


def run(*tasks: Task, **settings: Any) -> Ended:
    wanted = RunConfig(agent=Whole(), tasks=tasks, **settings)
    return asyncio.run(asyncio.wait_for(execute(wanted), 30))


def test_what_it_says_is_the_row() -> None:
    ended = run(ask(0), ask(1, calls=True), repeats=2)
    assert ended.statuses() == ["truncated"] * 4
    one, _, other, _ = sorted(ended.rollouts, key=lambda rollout: rollout.key)
    assert (one.reward, one.stop_reason, dict(one.info)) == (1.0, "max_turns", {"n": 0})
    assert one.usage.input_tokens == 10
    assert other.usage.input_tokens == 20  # of the calls, where they are known
    assert len(other.calls) == 2
    assert one.row["rollout"]["model"] == "theirs"
    assert one.row["rollout"]["env"] is None
    assert ended.summary["usage"]["input_tokens"] == 60
    assert ended.summary["reward"]["mean"] == 1.0


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        ("setup", "env_error"),
        ("tool", "env_error"),
        ("verify", "verifier_error"),
        ("model", "model_error"),
        ("agent", "agent_error"),
        ("elsewhere", "agent_error"),
        (None, "agent_error"),
        (float("nan"), "verifier_error"),
    ],
)
def test_its_failures_are_those_of_their_owner(wanted: Any, status: str) -> None:
    assert run(ask(wanted=wanted)).statuses() == [status]


def test_it_is_given_nothing_that_it_brings() -> None:
    with pytest.raises(UsageError, match="--env means nothing to it"):
        run(ask(), env="simple_weather")
    with pytest.raises(UsageError, match="a run needs a model"):
        run(ask(), models={"judge": "openai"})


def test_an_agent_that_brings_nothing_cannot_be_asked_for_it() -> None:
    class Plain(Agent):
        async def run(self, episode: Episode) -> Stop:
            return Stop(StopReason.COMPLETED)

    with pytest.raises(NotImplementedError, match="Plain brings no model"):
        asyncio.run(Plain().complete(ask(), 0))
