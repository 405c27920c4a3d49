"""`gym run --log-file, --verbose, --extension, --finish-at` over installed plugins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.running import read_jsonl

if TYPE_CHECKING:
    from tests.cli.conftest import Gym, Site

WORLD = """
import asyncio
from gym_core import Agent, ModelBackend, ResourceServer, Response, Session, Stop, Task, hookimpl

class Model(ModelBackend):
    "A test's model: it has no answer for the task `stuck`."
    async def respond(self, request, context):
        if context.key[0] == "stuck":
            await asyncio.Event().wait()
        return Response({"output": [{"type": "message", "role": "assistant", "content": "done"}]})

class Once(Agent):
    "A test's agent."
    async def run(self, episode):
        return Stop((await episode.respond(episode.request.input)).stop_reason)

class OneSession(Session):
    def verify(self, trajectory):
        return 1.0

class World(ResourceServer):
    "A test's environment."
    session_type = OneSession
    preferred_agent = "once"

    def tasks(self):
        for name in ("a", "stuck", "b", "c"):
            yield Task.ask("?", task_id=name)

@hookimpl(contract=1)
def gym_resource_servers():
    return {"world": World}

@hookimpl(contract=1)
def gym_model_backends():
    return {"model": Model}

@hookimpl(contract=1)
def gym_agents():
    return {"once": Once}
"""
OBSERVERS = """
import os
from gym_core import UsageError, hookimpl

@hookimpl(contract=1)
def gym_extension_check():
    if "LIBRARY" not in os.environ:
        raise UsageError("there is no library", hint="get one")

@hookimpl(contract=1)
def gym_rollout_finished(rollout):
    with open("seen.txt", "a") as file:
        print(rollout.task_id, rollout.status, file=file)
    if rollout.task_id == "b":
        raise RuntimeError("I do not like b")
"""


@pytest.fixture(autouse=True)
def plugins(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    module = site.add("gym-world", WORLD, group="gym.resource_servers", name="world")
    site.add("gym-model", group="gym.models", name="model", value=module)
    site.add("gym-once", group="gym.agents", name="once", value=module)
    site.add("gym-watcher", OBSERVERS, group="gym.extensions", name="watcher")
    monkeypatch.setenv("LIBRARY", "1")


def collect(gym: Gym, *arguments: str) -> Any:
    return gym("run", "--model", "model", "--env", "world", "--output", "x.jsonl", *arguments)


def test_the_log_is_a_file_and_with_v_on_standard_error(gym: Gym) -> None:
    result = collect(gym, "--limit", "1", "--log-file", "run.log", "-v")
    assert result.status == 0
    assert [entry["event"] for entry in read_jsonl(Path("run.log"))] == [
        "run_started", "rollout_finished", "run_finished",
    ]  # fmt: skip
    assert "info: rollout a/0: reward 1" in result.err
    assert "info:" not in collect(gym, "--limit", "1", "--overwrite").err


def test_a_log_that_cannot_be_opened_is_status_2(gym: Gym) -> None:
    result = collect(gym, "--log-file", ".")
    assert (result.status, "error: .: Is a directory" in result.err) == (2, True)
    assert not Path("x.jsonl").exists()


def test_an_extension_that_raises_is_a_warning_and_not_the_end(gym: Gym) -> None:
    result = collect(gym, "--extension", "watcher", "--finish-at", "0.7", "--json")
    assert result.status == 0
    assert result.err.count("gym-watcher: the extension 'watcher' raised in gym_rollout_finished") == 1
    assert "RuntimeError: I do not like b" in result.err
    assert sorted(Path("seen.txt").read_text().split("\n")) == [
        "", "a completed", "b completed", "c completed", "stuck cancelled",
    ]  # fmt: skip
    summary = json.loads(result.out)
    assert summary["health"]["extensions"] == [
        {"name": "watcher", "distribution": "gym-watcher", "errors": 1, "dropped": 0}
    ]
    assert (summary["state"], summary["rollouts"]["with_verdict"], summary["rollouts"]["cancelled"]) == (
        "finished", 3, 1,
    )  # fmt: skip


def test_one_that_cannot_work_is_status_2(gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIBRARY")
    result = collect(gym, "--extension", "watcher")
    assert (result.status, "error: there is no library" in result.err, "hint: get one" in result.err) == (2, True, True)
    assert not Path("x.jsonl").exists()


def test_an_unknown_one_is_status_2(gym: Gym) -> None:
    result = collect(gym, "--extension", "wacher")
    assert (result.status, "did you mean 'watcher'" in result.err) == (2, True)
