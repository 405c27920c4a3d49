"""Whole games between scripts."""

from __future__ import annotations

import asyncio

import pytest
from gym_duel import Duel

import gym_core
from gym_core import ModelBackend, Rollout
from gym_testing import ScriptedModel


def played(model: ModelBackend, opponent: ModelBackend | None = None) -> Rollout:
    """The game of five stones."""
    models = {"policy": model, **({"opponent": opponent} if opponent is not None else {})}

    async def collect() -> Rollout:
        run = gym_core.collect(model=models, env=Duel(), limit=1)
        (rollout,) = [rollout async for rollout in run]
        return rollout

    return asyncio.run(collect())


@pytest.mark.parametrize(
    ("policy", "opponent", "winner"),
    [
        (("1", "3"), ("1",), "policy"),
        (("3",), ("2",), "opponent"),
        (("four",), (), "opponent"),
        (("1",), ("4",), "policy"),
        (("2", "1"), ("1", "1"), "opponent"),
    ],
)
def test_each_player_has_a_reward(policy: tuple[str, ...], opponent: tuple[str, ...], winner: str) -> None:
    rollout = played(ScriptedModel(*policy), ScriptedModel(*opponent, role="opponent"))
    assert rollout.error is None
    assert rollout.rewards == {"policy": float(winner == "policy"), "opponent": float(winner == "opponent")}
    assert rollout.reward == rollout.rewards["policy"]


def test_the_policy_may_play_both_sides() -> None:
    rollout = played(ScriptedModel("1", "2", "2"))
    assert rollout.rewards == {"policy": 1.0, "opponent": 0.0}
    assert [made["actor"] for made in rollout.model_calls] == ["policy", "opponent", "policy"]
    assert [made["role"] for made in rollout.model_calls] == ["policy"] * 3
    opponent = rollout.trajectory.of("opponent")
    assert opponent.output_text == "2"
    assert "4 are left" in str(opponent.input[-1]["content"])
