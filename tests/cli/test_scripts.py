"""Scripts as environment, agent and model, in every command that takes one."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import gym_core
from gym_core import ResourceServer
from tests.support.envs import PlainSession, ask
from tests.support.running import read_jsonl
from tests.support.scripts import write_scripts

if TYPE_CHECKING:
    from tests.cli.conftest import Gym

PARTS = ("--env", "./env.py", "--agent", "./agent.py", "--model", "./model.py")

CHANGING = """
    def setup(self):
        import os, pathlib
        if self.task["number"] == 4:
            pathlib.Path("helpers.py").write_text("changed = True")
            os._exit(9)

    def verify(self, trajectory):"""


@pytest.fixture(autouse=True)
def folder(gym: Gym) -> Path:
    return write_scripts(Path.cwd())


def manifest(path: str = "x.run.json") -> Any:
    return json.loads(Path(path).read_text("utf-8"))


def edit(name: str, old: str, new: str) -> None:
    file = Path(name)
    file.write_text(file.read_text("utf-8").replace(old, new), "utf-8")


def test_a_run(gym: Gym) -> None:
    write_scripts(Path.cwd(), isolated=True)
    result = gym("run", *PARTS, "--output", "x.jsonl", "-E", "size=2")
    assert result.status == 0, result.err
    rows = read_jsonl(Path("x.jsonl"))
    assert [row["reward"] for row in rows] == [1.0, 1.0]
    assert {(row["rollout"]["env"], row["rollout"]["agent"]) for row in rows} == {("env.py:Sums", "agent.py:Patient")}
    settings = manifest()["settings"]
    assert settings["env"]["ref"] == "env.py:Sums"
    assert sorted(settings["env"]["files"]) == ["env.py", "helpers.py"]
    assert settings["models"]["policy"]["ref"] == "model.py:Adding"
    assert str(Path.cwd()) not in json.dumps(settings)


def test_the_name_of_the_file_is_that_of_its_variables(gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GYM_ENV_SIZE", "1")
    assert gym("run", *PARTS, "--output", "x.jsonl").status == 0
    assert len(read_jsonl(Path("x.jsonl"))) == 1


def test_a_misspelt_option_is_answered_with_the_path(gym: Gym) -> None:
    said = gym("run", *PARTS, "-E", "sise=2").err
    assert "./env.py has no option 'sise' (-E sise); did you mean 'size'?" in said
    assert "`gym plugins show ./env.py`" in said


def test_another_content_is_not_resumed(gym: Gym) -> None:
    assert gym("run", *PARTS, "--output", "x.jsonl", "--limit", "1").status == 0
    edit("helpers.py", "else 0.0", "else 0.1")
    resume = ("run", *PARTS, "--output", "x.jsonl", "--resume")
    refused = gym(*resume)
    assert refused.status == 2
    assert "env.files.helpers.py: " in refused.err
    assert "--accept-changes" in refused.err
    assert gym(*resume, "--accept-changes").status == 0
    assert len(read_jsonl(Path("x.jsonl"))) == 3


def test_a_run_resumes_where_the_files_are_the_same(gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gym("run", *PARTS, "--output", "x.jsonl", "--limit", "1").status == 0
    monkeypatch.chdir(Path.cwd().parent)
    moved = [f"work/{part[2:]}" if part.startswith("./") else part for part in PARTS]
    result = gym("run", *moved, "--output", "work/x.jsonl", "--resume")
    assert result.status == 0, result.err


def test_rescore_finds_it_from_another_folder(gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gym("run", *PARTS, "--output", "x.jsonl", "-E", "size=2").status == 0
    monkeypatch.chdir(Path.cwd().parent)
    result = gym("rescore", "work/x.jsonl")
    assert result.status == 0, result.err
    assert "2 rollouts, 0 rewards changed" in result.err
    edit("work/helpers.py", "else 0.0", "else 0.1")
    edit("work/helpers.py", "1.0 if", "0.5 if")
    changed = gym("rescore", "work/x.jsonl", "--overwrite")
    assert "2 rewards changed" in changed.err
    assert "warning: env.py:Sums is not what it was when the rollouts were made" in changed.err
    Path("work/env.py").rename("work/moved.py")
    assert "env.py: there is no such file" in gym("rescore", "work/x.jsonl", "--overwrite").err
    assert gym("rescore", "work/x.jsonl", "--overwrite", "--env", "work/moved.py").status == 0


def test_workers_load_it_too(gym: Gym) -> None:
    write_scripts(Path.cwd(), isolated=True)
    result = gym("run", *PARTS, "--output", "x.jsonl", "--workers", "2", "--repeats", "2")
    assert result.status == 0, result.err
    assert [row["reward"] for row in read_jsonl(Path("x.jsonl"))] == [1.0] * 6


def test_a_run_is_repeated_by_its_manifest(gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gym("run", *PARTS, "--output", "x.jsonl", "-E", "size=2").status == 0
    monkeypatch.chdir(Path.cwd().parent)
    result = gym("run", "--config", "work/x.run.json", "--output", "again.jsonl")
    assert result.status == 0, result.err
    assert len(read_jsonl(Path("again.jsonl"))) == 2
    edit("work/env.py", "Sums of", "The sums of")
    assert "env.py:Sums is not what it was then" in gym("config", "--config", "work/x.run.json").err


def test_a_run_file_says_where_they_are(gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("run.toml").write_text(
        'env = "env.py"\nmodel = "./model.py"\nagent = "agent.py:Patient"\n[env_options]\nsize = 1\n', "utf-8"
    )
    monkeypatch.chdir(Path.cwd().parent)
    result = gym("run", "--config", "work/run.toml", "--output", "x.jsonl")
    assert result.status == 0, result.err
    assert len(read_jsonl(Path("x.jsonl"))) == 1
    result = gym("run", "--config", "work/run.toml", "--env", "work/env.py", "--output", "x.jsonl", "--overwrite")
    assert len(read_jsonl(Path("x.jsonl"))) == 1, "its options hold for the same file by another path"


def test_the_other_commands_take_one(gym: Gym) -> None:
    shown = gym("plugins", "show", "./env.py").out
    assert "usage: gym run --env ./env.py:Sums" in shown
    assert "size  (int; default 3)" in shown
    assert "GYM_ENV_SIZE" in shown
    assert "Adding" in gym("plugins", "show", "./model.py:Adding").out
    assert gym("plugins", "show", "./helpers.py").status == 2
    assert "env_options.size" in gym("config", *PARTS).out
    assert "What is 0 + 0?" in gym("tasks", "--env", "./env.py").out
    doctor = gym("doctor", "--env", "./env.py", "--model", "./model.py", "--no-call")
    assert "./env.py can be loaded and takes its options" in doctor.out


def test_check_audits_one(gym: Gym) -> None:
    result = gym("check", "./env.py")
    assert result.out.startswith("./env.py: 3 tasks; tools: add"), result.err


def test_what_was_made_in_python_says_how_it_is_verified_again(gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path.cwd()))
    monkeypatch.delitem(sys.modules, "helpers", raising=False)  # of another test
    Path("program.py").write_text(Path("env.py").read_text("utf-8"), "utf-8")
    program = importlib.import_module("program")

    async def collect() -> list[float | None]:
        made = program.Sums(program.SumOptions(size=2))
        rollouts = gym_core.collect(model="./model.py", agent="./agent.py", env=made, output="x.jsonl")
        return [rollout.reward async for rollout in rollouts]

    assert asyncio.run(collect()) == [1.0, 1.0]
    refused = gym("rescore", "x.jsonl")
    assert refused.status == 2
    assert "x.run.json: its environment was made in Python, by a class Sums" in refused.err
    command = f"gym rescore x.jsonl --env {Path.cwd() / 'program.py'}:Sums -E size=2"
    assert f"`{command}`" in refused.err
    assert gym(*command.split()[1:]).status == 0
    assert "env: Sums was made in Python" in gym("config", "--config", "x.run.json", "--env", "./env.py").err


def test_an_instance_of_a_package_is_to_be_named(gym: Gym) -> None:
    class Local(ResourceServer):
        """A test's environment."""

        session_type = PlainSession

        def tasks(self) -> list[Any]:
            return [ask(0)]

    async def collect() -> None:
        async for _ in gym_core.collect(model="./model.py", agent="./agent.py", env=Local(), output="x.jsonl"):
            pass

    asyncio.run(collect())
    assert "`gym rescore x.jsonl --env REF`; REF is an installed one, or a file" in gym("rescore", "x.jsonl").err


def test_a_script_that_changes_under_a_run_is_not_mixed_in(gym: Gym) -> None:
    edit("env.py", "    def verify(self, trajectory):", CHANGING)
    result = gym("run", *PARTS, "--output", "x.jsonl", "--workers", "2", "-E", "size=40", "--concurrency", "2")
    assert result.status == 3
    assert "a script was changed after the run had begun" in result.err
