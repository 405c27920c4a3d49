"""Run files and manifests from Python: as from the command line, under what is given as keywords."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

import gym_core
from gym_core import Rollout, UsageError, parse_json
from gym_core.cli.configuration import settable
from gym_core.cli.run import run
from gym_core.engine.run_file import config_from_file
from gym_core.wiring.config_file import SETTINGS
from tests.support.envs import env
from tests.support.models import ScriptedModel

WEATHER = """
model = "openai"
env = "simple_weather"
limit = 3
repeats = 2
max_cost = 1.5
prices = "prices.toml"
by = ["kind"]
extension = "watch"
tool_timeout = 7
quiet = true
[model_options]
temperature = 0.5
[agent_options]
max_turns = 4
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(text)
    return path


def read(path: Path, models: Any = None, **settings: Any) -> Any:
    return config_from_file(path, models=models or {}, **{"env": None, **settings})


def collect(config: Path, **settings: Any) -> list[Rollout]:
    async def main() -> list[Rollout]:
        return [rollout async for rollout in gym_core.collect(config=config, **settings)]

    return asyncio.run(main())


def test_a_file_may_say_what_the_command_takes() -> None:
    assert {"model", *settable(run)} == SETTINGS


def test_a_file_is_read_as_the_command_reads_it(tmp_path: Path) -> None:
    config = read(written(tmp_path, WEATHER))
    parts, limits = config.components, config.limits
    assert (parts.models, parts.env, parts.extensions) == ({"policy": "openai"}, "simple_weather", ["watch"])
    assert parts.configured["policy"].values == {"temperature": 0.5}
    assert parts.configured["agent"].values == {"max_turns": 4}
    assert (config.selection.limit, limits.repeats, limits.max_cost, limits.deadlines.tool) == (3, 2, 1.5, 7)
    assert (limits.prices, config.destination.by) == (str(tmp_path / "prices.toml"), ["kind"])
    assert next(config.files_read()) == ("the configuration", tmp_path / "run.toml")


def test_what_is_given_goes_over_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path, WEATHER + "[env_options]\nsize = 3\n")
    other = ScriptedModel()
    with caplog.at_level(logging.WARNING, "gym"):
        config = read(path, {"policy": other}, limit=1, env=env(), tasks=[])
    assert (config.selection.limit, config.limits.repeats) == (1, 2)
    assert config.components.models == {"policy": other}
    assert set(config.components.configured) == {"agent"}
    assert "[model_options] is for openai, not for an instance of ScriptedModel: it is left out" in caplog.text


def test_tasks_go_over_the_files_input(tmp_path: Path) -> None:
    path = written(tmp_path, 'model = "openai"\nenv = "simple_weather"\ninput = "tasks.jsonl"\n')
    assert read(path).selection.input == str(tmp_path / "tasks.jsonl")
    assert read(path, tasks=[]).selection.input is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("limt = 2", "run.toml: there is no key 'limt'; did you mean 'limit'?"),
        ("overwrite = true", "overwrite: this belongs to one invocation"),
        ("limit = 'many'", "run.toml: limit must be a whole number, not 'many'"),
        ("limit = true", "limit must be a whole number"),
        ("limit = -1", "run.toml: limit must be a whole number of at least 0, not -1"),
        ("tool_timeout = 0", "run.toml: tool_timeout must be seconds above 0, not 0"),
        ("finish_at = 2", "run.toml: finish_at must be a share above 0 and at most 1, not 2"),
        ("skip_invalid = 1", "skip_invalid must be true or false"),
        ("env = ", "not TOML"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        collect(written(tmp_path, text), model=ScriptedModel(), env=env())
    assert words in caught.value.message
    assert "`--" not in str(caught.value)


def test_no_file_and_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such file"):
        collect(tmp_path / "x.run.json")
    with pytest.raises(UsageError, match="No such file"):
        collect(tmp_path / "x.toml")


def test_a_manifest_repeats_a_run(tmp_path: Path) -> None:
    parts: Any = {"agent": "simple_agent", "env": "simple_weather"}
    first = tmp_path / "first.jsonl"

    async def main() -> None:
        async for _ in gym_core.collect(model=ScriptedModel("x"), **parts, limit=2, repeats=2, seed=3, output=first):
            pass

    asyncio.run(main())
    again = collect(tmp_path / "first.run.json", model=ScriptedModel("x"), output=tmp_path / "again.jsonl")
    assert sorted(rollout.repeat for rollout in again) == [0, 0, 1, 1]
    assert parse_json((tmp_path / "again.run.json").read_bytes())["settings"]["seed"] == 3
