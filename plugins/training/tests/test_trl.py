"""Rollouts of an open gym as TRL asks for them, without TRL."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

import gym_core
from gym_core import ComponentContext, Episode, ResourceServer, Rollout, Stop, StopReason, Task, UsageError, Verdict
from gym_training import TrlRollouts, trl_rollouts
from tests.support.agents import FunctionAgent
from tests.support.envs import PlainSession, ask, env
from tests.support.models import ScriptedModel, say
from tests.support.tokens import TokenModel


def trainer(step: int = 3) -> Any:
    """What is read of a `GRPOTrainer`."""
    return SimpleNamespace(
        args=SimpleNamespace(temperature=0.7),
        state=SimpleNamespace(global_step=step),
        processing_class=SimpleNamespace(pad_token_id=99),
    )


class Counted(PlainSession):
    """Rewards count up; the tasks say which rollouts break."""

    numbers = itertools.count()

    def setup(self) -> None:
        self.number = next(self.numbers)

    def verify(self, trajectory: Any) -> float:
        if self.number in self.task.get("breaks", []):
            raise RuntimeError("the verifier broke")
        return float(self.number)


def asked(
    prompts: Sequence[str], model: Any, server: ResourceServer, step: int = 3, **others: Any
) -> tuple[dict[str, list[Any]], TrlRollouts]:
    """What a trainer in a thread gets."""
    Counted.numbers = itertools.count()

    async def work() -> tuple[dict[str, list[Any]], TrlRollouts]:
        async with gym_core.open(model=model, env=server, concurrency=1, **others) as gym:
            rollouts = await trl_rollouts(gym, gym.tasks())
            found = await asyncio.to_thread(rollouts, prompts, trainer(step))
            assert gym.version == str(step)
            return found, rollouts

    return asyncio.run(work())


def test_completions_are_the_tokens_that_were_sampled() -> None:
    model = TokenModel(*["ok so"] * 4)
    found, rollouts = asked(["t0", "t0", "t1", "t1"], model, env(Counted, 2))
    assert rollouts.prompts == [{"prompt": "t0"}, {"prompt": "t1"}]
    assert [[*ids] for ids in found["prompt_ids"]] == [[*prompt] for prompt, _, _ in model.seen]
    assert found["completion_ids"] == [sampled for _, sampled, _ in model.seen]
    assert found["logprobs"] == [logprobs for _, _, logprobs in model.seen]
    assert found["env_mask"] == [[1] * len(ids) for ids in found["completion_ids"]]
    assert (found["task_id"], found["repeat"]) == (["t0", "t0", "t1", "t1"], [0, 1, 0, 1])
    assert found["reward"] == [0.0, 1.0, 2.0, 3.0]
    assert [request.body["temperature"] for request in model.requests] == [0.7] * 4


def test_a_failure_has_no_reward_and_nothing_that_is_trained() -> None:
    found, rollouts = asked(["t0"] * 3, TokenModel(*["ok"] * 3), env(Counted, [ask(0, breaks=[1])]))
    assert found["reward"] == [0.0, None, 2.0]
    assert (found["prompt_ids"][1], found["completion_ids"][1]) == ([99], [99])
    assert (found["env_mask"][1], found["logprobs"][1]) == ([0], [0.0])
    assert found["status"][1] == "verifier_error"
    assert rollouts.failed == 1
    told: list[Any] = []
    given = rollouts.reward(found["task_id"], ["ok"] * 3, found["reward"], lambda *said: told.append(said), status=[])
    assert given == [0.0, None, 2.0]
    assert told == [("gym/failed", 1 / 3)]


class Twice(Counted):
    """Asks a second time."""

    def setup(self) -> None:
        super().setup()
        self.asked = False

    def reply(self, response: Any) -> Any:
        again = [] if self.asked else [gym_core.user_message("again")]
        self.asked = True
        return again


def test_what_the_environment_said_is_masked() -> None:
    model = TokenModel("ok so", "ok then")
    found, rollouts = asked(["t0"], model, env(Twice))
    assert found["status"] == ["completed"]
    (mask,), (ids,) = found["env_mask"], found["completion_ids"]
    (first, second) = (sampled for _, sampled, _ in model.seen)
    assert sum(mask) == len(first) + len(second) < len(mask) == len(ids) == len(found["logprobs"][0])
    assert [number for number, trained in zip(ids, mask, strict=True) if trained] == [*first, *second]
    assert rollouts.left_out == 0


def test_of_tokens_that_were_encoded_anew_the_longest_sequence_is_trained() -> None:
    found, rollouts = asked(["t0"], TokenModel("ok so it is", "ok", splits=True), env(Twice))
    assert rollouts.left_out == 1
    assert sum(found["env_mask"][0]) > 0
    assert found["reward"] == [0.0]


class TwoActors(Counted):
    """Gives the sub-agent a reward of its own."""

    def verify(self, trajectory: Any) -> Any:
        return Verdict(0.25, rewards={"helper": 1.0})


async def _asks_a_helper(episode: Episode) -> Stop:
    helper = episode.actor("helper")
    await helper.respond([gym_core.user_message("help me with this")])
    await episode.respond(episode.request.input)
    return Stop(StopReason.COMPLETED)


def test_a_sub_agents_tokens_are_not_trained_with_the_policys_reward() -> None:
    model = TokenModel("a long answer of the helper", "ok")
    found, rollouts = asked(["t0"], model, env(TwoActors), agent=FunctionAgent(_asks_a_helper))
    assert found["reward"] == [0.25]
    assert found["completion_ids"] == [model.seen[1][1]]
    assert rollouts.left_out == 1


async def _asks_only_a_helper(episode: Episode) -> Stop:
    await episode.actor("helper").respond([gym_core.user_message("do it")])
    return Stop(StopReason.COMPLETED)


def test_where_only_a_sub_agent_spoke_its_reward_goes_with_its_tokens() -> None:
    model = TokenModel("done")
    found, _ = asked(["t0"], model, env(TwoActors), agent=FunctionAgent(_asks_only_a_helper))
    assert found["reward"] == [1.0]
    assert found["completion_ids"] == [model.seen[0][1]]


class Best(ResourceServer):
    """Scores groups."""

    session_type = Counted

    def tasks(self) -> list[Task]:
        return [ask(0), ask(1)]

    def score_group(self, rollouts: Sequence[Rollout]) -> list[float]:
        return [float(len(rollouts)) for _ in rollouts]


def test_rewards_are_the_groups_where_there_are_some() -> None:
    server = Best(None, ComponentContext(name="best"))
    found, _ = asked(["t1", "t0", "t1", "t1", "t0"], TokenModel(*["ok"] * 5), server)
    assert found["reward"] == [3.0, 2.0, 3.0, 3.0, 2.0]
    assert found["task_id"] == ["t1", "t0", "t1", "t1", "t0"]


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(UsageError, match="no task is called 'mine'"):
        asked(["t0", "mine"], TokenModel("ok"), env(Counted))
    with pytest.raises(UsageError, match="t0/0 has no exact tokens"):
        asked(["t0"], ScriptedModel([say("ok")]), env(Counted))

    async def misused() -> None:
        async with gym_core.open(model=TokenModel("ok"), env=env(Counted)) as gym:
            with pytest.raises(UsageError, match="two tasks are called t0"):
                await trl_rollouts(gym, [ask(0), ask(0)])
            rollouts = await trl_rollouts(gym, [ask(0)])
            with pytest.raises(UsageError, match="holds the event loop"):
                rollouts(["t0"], trainer())

    asyncio.run(misused())
