"""Runners in venvs of their own: their loops run there, and models and record are those of the run."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

import gym_core
from gym_core import Rollout, Task, UsageError
from gym_core.errors import BadRequestError
from gym_testing.models import ScriptedModel

pytestmark = pytest.mark.slow


async def collect(model: Any = None, **settings: Any) -> dict[str, Rollout]:
    model = model or ScriptedModel("done")
    async with asyncio.timeout(120):
        return {one.task_id: one async for one in gym_core.collect(model=model, **settings)}


def test_the_loop_of_an_environment_runs_there_with_the_models_of_the_run(home: Path, tmp_path: Path) -> None:
    output = tmp_path / "x.jsonl"
    found = asyncio.run(collect(env="looped", output=output, seed=3))
    assert {name: one.status.value for name, one in found.items()} == {
        "well": "completed",
        "twice": "completed",
        "setup": "env_error",
        "crash": "agent_error",
    }
    well = found["well"]
    assert (well.reward, well.row["reward_components"], well.info["server"]) == (4.0, {"length": 1.0}, "Looped")
    assert well.info["pid"] != os.getpid()
    assert [call["role"] for call in well.model_calls] == ["policy"]
    assert [len(found["twice"].model_calls), found["twice"].reward] == [2, 8.0]
    assert "the game is not there" in str(found["setup"].error)
    assert found["setup"].reward is None
    assert "a defect of the loop" in str(found["crash"].error)
    manifest = json.loads((tmp_path / "x.run.json").read_text())
    described = manifest.get("settings", manifest)
    assert described["agent"]["ref"] == "looper"


def test_a_model_call_that_fails_is_the_models_failure(home: Path) -> None:
    model = ScriptedModel(BadRequestError("no such thing"))
    found = asyncio.run(collect(model, env="looped", limit=1))
    assert found["well"].status.value == "model_error"


def test_a_runner_that_brings_its_environment_has_a_child_of_its_own(home: Path) -> None:
    found = asyncio.run(collect(agent="alone", tasks=[Task.ask("Go.", task_id="a")]))
    assert (found["a"].reward, found["a"].info["said"]) == (1.0, "done")
    assert found["a"].info["pid"] != os.getpid()


def test_a_runner_works_in_environments_of_its_own_venv_only(home: Path) -> None:
    found = asyncio.run(collect(agent="looper", env="old:1"))
    assert "works in environments of its own distribution" in str(found["t0"].error)


def test_its_options_reach_the_loop(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "x.jsonl"
    options = {"bonus": "5", "password": "sesame"}
    found = asyncio.run(collect(env="looped", limit=1, agent_options=options, output=output))
    assert (found["well"].reward, found["well"].info["key"]) == (9.0, 6)
    assert all(b"sesame" not in path.read_bytes() for path in tmp_path.iterdir())
    monkeypatch.setenv("LOOPER_KEY", "four")
    found = asyncio.run(collect(env="looped", agent="looper", limit=1, agent_options={"bonus": 2}))
    assert (found["well"].reward, found["well"].info["key"]) == (6.0, 4)


def test_a_wrong_option_is_refused_before_anything_runs(home: Path) -> None:
    with pytest.raises(UsageError, match="bonus"):
        asyncio.run(collect(env="looped", limit=1, agent_options={"bonus": "many"}))
    with pytest.raises(UsageError, match="bonuses"):
        asyncio.run(collect(env="looped", limit=1, agent_options={"bonuses": 1}))
