"""Whole rollouts with scripted models."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import gym_core
from gym_core import ComponentContext, Rollout
from gym_testing import ScriptedModel
from gym_textgames.environment import GameOptions, GameServer, Gymnasium

Play = Callable[..., Rollout]


def make(server: type[GameServer], name: str, **options: Any) -> GameServer:
    """An environment with options, not yet entered."""
    return server(GameOptions(id=name, **options), ComponentContext())


def play(
    name: str, *script: Any, server: type[GameServer] = Gymnasium, opponent: Any = None, **options: Any
) -> Rollout:
    """The rollout of the first task with a model that says these."""

    async def collect() -> Rollout:
        models = {"policy": ScriptedModel(*script)}
        if opponent is not None:
            models["opponent"] = ScriptedModel(*opponent, role="opponent")
        run = gym_core.collect(
            model=models, env=make(server, name, **options), limit=1, agent_options={"max_turns": 500}
        )
        (rollout,) = [rollout async for rollout in run]
        return rollout

    return asyncio.run(collect())


@pytest.fixture(scope="session")
def rolled() -> Play:
    """`rolled("FrozenLake-v1", "right", "down")`: a rollout."""
    return play


@pytest.fixture(scope="session")
def made() -> Callable[..., GameServer]:
    """`made(Gymnasium, "Taxi-v4", steps=3)`: an environment."""
    return make
