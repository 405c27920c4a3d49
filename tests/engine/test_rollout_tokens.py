"""`--max-rollout-tokens`: what the policy's model may take in one rollout."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import gym_core
from gym_core import (
    Agent,
    CompletedTask,
    Episode,
    Rollout,
    Runner,
    RunnerContext,
    Session,
    Stop,
    StopReason,
    Task,
    Trajectory,
    UsageError,
    Verdict,
)
from tests.support.envs import env
from tests.support.models import ScriptedModel
from tests.support.running import collect, config, read_jsonl, run

OF_A_CALL = 12
"""Tokens of a call of the scripted model: 10 in, 2 out."""


class Talkative(Agent):
    """Asks five times, whatever it is told."""

    async def run(self, episode: Episode) -> Stop:
        """Ask."""
        items = list(episode.request.input)
        for _ in range(5):
            items += (await episode.respond(items)).output
        return Stop(StopReason.COMPLETED)


class Counting(Session[Any]):
    """The reward is how many messages there are."""

    async def verify(self, trajectory: Trajectory) -> float:
        """Count them."""
        return float(len(trajectory.items))


@pytest.mark.parametrize(
    ("limit", "calls", "stop_reason"),
    [
        (1, 1, "max_rollout_tokens"),
        (OF_A_CALL, 1, "max_rollout_tokens"),
        (OF_A_CALL + 1, 2, "max_rollout_tokens"),
        (4 * OF_A_CALL, 4, "max_rollout_tokens"),
        (4 * OF_A_CALL + 1, 5, "completed"),
        (1000, 5, "completed"),
    ],
)
def test_the_call_that_reaches_it_is_answered_and_the_next_is_refused(limit: int, calls: int, stop_reason: str) -> None:
    (rollout,) = collect(None, env(Counting), Talkative(), max_rollout_tokens=limit)
    assert (len(rollout.model_calls), rollout.stop_reason, rollout.reward) == (calls, stop_reason, float(calls))
    assert rollout.status.value == ("completed" if calls == 5 else "truncated")


def test_a_rollout_that_ends_with_the_call_that_reaches_it_is_complete() -> None:
    (rollout,) = collect(max_rollout_tokens=1)
    assert (rollout.status.value, rollout.stop_reason) == ("completed", "completed")


def test_a_judge_does_not_count_and_may_go_on() -> None:
    class Judged(Session[Any]):
        async def verify(self, trajectory: Trajectory) -> float:
            for _ in range(5):
                await self.models["judge"].respond("?")
            return 1.0

    models = {"policy": ScriptedModel(), "judge": ScriptedModel()}
    (rollout,) = collect(models, env(Judged), Talkative(), max_rollout_tokens=1)
    assert (rollout.reward, len(rollout.model_calls)) == (1.0, 6)


def test_sub_agents_count() -> None:
    class Splitting(Agent):
        async def run(self, episode: Episode) -> Stop:
            for name in ("one", "two", "three"):
                await episode.actor(name).respond(list(episode.request.input))
            return Stop(StopReason.COMPLETED)

    (rollout,) = collect(None, env(), Splitting(), max_rollout_tokens=2 * OF_A_CALL)
    assert (len(rollout.model_calls), rollout.stop_reason) == (2, "max_rollout_tokens")


def test_a_runner_is_told_and_its_rollout_has_no_reward_where_it_has_no_verdict() -> None:
    class Asking(Runner):
        async def run(self, task: Task, context: RunnerContext) -> CompletedTask:
            for _ in range(3):
                await context.models["policy"].respond("?")
            return CompletedTask(Verdict(1.0), "completed")

    (rollout,) = collect(None, env(), Asking(), max_rollout_tokens=OF_A_CALL)
    assert (rollout.status.value, rollout.reward, len(rollout.model_calls)) == ("agent_error", None, 1)
    assert (rollout.error or {})["message"] == "the rollout has used up its tokens (--max-rollout-tokens)"


def test_workers_keep_it(tmp_path: Path) -> None:
    script = tmp_path / "talkative.py"
    script.write_text(SCRIPT)
    rollouts = asyncio.run(_collected(f"{script}:Talking", f"{script}:Tiny", f"{script}:Talkative"))
    assert [(len(one.model_calls), one.stop_reason) for one in rollouts] == [(2, "max_rollout_tokens")] * 3


async def _collected(model: str, environment: str, agent: str) -> list[Rollout]:
    rollouts = gym_core.collect(model=model, env=environment, agent=agent, workers=2, max_rollout_tokens=13)
    return [rollout async for rollout in rollouts]


SCRIPT = """
from gym_core import Agent, ModelBackend, ResourceServer, Response, Session, Stop, StopReason, Task


class Talking(ModelBackend):
    async def respond(self, request, context):
        content = [{"type": "output_text", "text": "more", "annotations": []}]
        item = {"type": "message", "role": "assistant", "status": "completed", "content": content}
        usage = {"input_tokens": 10, "output_tokens": 2}
        return Response({"id": "r", "model": "m", "status": "completed", "output": [item], "usage": usage})


class TinySession(Session):
    def verify(self, trajectory):
        return 1.0


class Tiny(ResourceServer):
    session_type = TinySession

    def tasks(self):
        return [Task.ask(f"Task {number}.") for number in range(3)]


class Talkative(Agent):
    async def run(self, episode):
        items = list(episode.request.input)
        for _ in range(5):
            items += (await episode.respond(items)).output
        return Stop(StopReason.COMPLETED)
"""


def test_it_stands_in_the_manifest_and_a_run_with_another_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    run(None, env(Counting), Talkative(), max_rollout_tokens=12, output=path)
    assert read_jsonl(path)[0]["rollout"]["stop_reason"] == "max_rollout_tokens"
    with pytest.raises(UsageError, match="max_rollout_tokens"):
        run(None, env(Counting), Talkative(), output=path, mode="resume")


@pytest.mark.parametrize("limit", [0, -1, 2.5, "8k", True])
def test_other_values_are_refused(limit: Any) -> None:
    with pytest.raises(UsageError, match="--max-rollout-tokens must be a whole number of at least 1"):
        config(max_rollout_tokens=limit)
    with pytest.raises(UsageError, match="`max_rollout_tokens` must be"):
        gym_core.collect(model=ScriptedModel(), env=env(), max_rollout_tokens=limit)
