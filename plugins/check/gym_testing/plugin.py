"""The fixtures of the kit. pytest loads this module in every run, so it imports nothing until a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from gym_testing.command import GymCommand
    from gym_testing.endpoint import FakeOpenAI
    from gym_testing.isolation import IsolatedPlugins
    from gym_testing.models import ScriptedModel
    from gym_testing.rehearsal import RunRollout
    from gym_testing.served import Served


@pytest.fixture(scope="session")
def scripted_model() -> type[ScriptedModel]:
    """Makes a model backend that follows a script: `scripted_model(call("add", a=1, b=2), "done")`."""
    from gym_testing.models import ScriptedModel

    return ScriptedModel


@pytest.fixture(scope="session")
def run_rollout() -> RunRollout:
    """Runs one rollout through the engine: `run_rollout("my_env", call("add", a=1, b=2), "done", task="first")`."""
    from gym_testing.rehearsal import run_rollout as run

    return run


@pytest.fixture
def isolated_plugins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IsolatedPlugins]:
    """Hides all installed plugins but those that it is called with, and installs those that a test makes."""
    from gym_testing.isolation import IsolatedPlugins

    with pytest.MonkeyPatch.context() as patch:
        plugins = IsolatedPlugins(tmp_path_factory.mktemp("plugins"), patch)
        yield plugins
        plugins.forget()


@pytest.fixture
def gym_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GymCommand:
    """Runs `gym` in this process and in `tmp_path`: `gym_cli("tasks", "--env", "my_env").out`, `.err`, `.exit_code`."""
    from gym_testing.command import gym

    monkeypatch.chdir(tmp_path)
    return gym


@pytest.fixture
def fake_openai() -> Iterator[FakeOpenAI]:
    """An OpenAI-compatible endpoint in a thread of its own; `fake_openai.script(...)` says what it answers."""
    from gym_testing.endpoint import FakeOpenAI

    with FakeOpenAI() as server:
        yield server


@pytest.fixture(scope="session")
def served() -> type[Served]:
    """Serves a component on a free port: `with served(MyEnv, options={"size": 3}) as server: server.url`."""
    from gym_testing.served import Served

    return Served
