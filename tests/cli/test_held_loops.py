"""A function that holds the event loop: the second signal ends the process, whichever command runs it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_run_interrupted import AGENT, started, wait_for

if TYPE_CHECKING:
    from tests.cli.conftest import Site

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")

CODE = """
import sys
import time

from pydantic import Field

import gym_core
from gym_core import ModelBackend, ResourceServer, Response, Session, Task, hookimpl


def hold():
    print("holding", file=sys.stderr, flush=True)
    while True:
        try:
            time.sleep(0.01)
        except BaseException:
            pass


class Held(Session):
    def setup(self):
        if self.server.options.where == "setup":
            hold()

    def verify(self, trajectory):
        if self.server.options.where == "verify":
            hold()
        return 1.0


class HoldingOptions(gym_core.Options):
    where: str = Field("verify", description="What holds the loop.")


class Holding(ResourceServer[HoldingOptions]):
    session_type = Held

    async def __aenter__(self):
        if self.options.where == "start":
            hold()
        return self

    def tasks(self):
        if self.options.where == "tasks":
            hold()
        return [Task.ask("Hold.", task_id=str(number)) for number in range(3)]


class ModelOptions(gym_core.Options):
    holds: bool = Field(False, description="Whether a look at it holds the loop.")


class Model(ModelBackend[ModelOptions]):
    async def respond(self, request, context):
        message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]}
        return Response({"id": "r", "output": [message]})

    async def check(self):
        if self.options.holds:
            hold()
        return ()

    async def list_models(self):
        hold()


@hookimpl(contract=1)
def gym_resource_servers():
    return {"holding": Holding}


@hookimpl(contract=1)
def gym_model_backends():
    return {"model": Model}
"""
RUN = ("run", "--model", "model", "--env", "holding", "--output", "x.jsonl")
COMMANDS = {
    "run": RUN,
    "run, while it starts": (*RUN, "-E", "where=start"),
    "run, while it lists tasks": (*RUN, "-E", "where=tasks"),
    "run, at its first look": (*RUN, "-M", "holds=true"),
    "serve, while it starts": ("serve", "--env", "holding", "--port", "0", "-E", "where=start"),
    "check": ("check", "holding"),
    "doctor": ("doctor", "--model", "model", "-M", "holds=true"),
    "models": ("models", "--model", "model"),
    "tasks": ("tasks", "--env", "holding", "-E", "where=tasks"),
    "workers": (*RUN, "--workers", "2"),
}


@pytest.fixture(autouse=True)
def plugins(site: Site) -> None:
    site.add("holding-env", CODE, group="gym.resource_servers", name="holding")
    site.add("holding-model", CODE.replace("holding-env", "holding-model"), group="gym.models", name="model")
    site.add("once-agent", AGENT, group="gym.agents", name="simple_agent")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "process"
    made.mkdir()
    return made


def end_with_two_signals(process: subprocess.Popen[str], second: signal.Signals) -> None:
    wait_for(process, "holding")
    process.send_signal(signal.SIGINT)
    said = wait_for(process, "once more to stop at once")
    assert "SIGINT: " in said
    process.send_signal(second)
    process.wait(timeout=30)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_second_signal_ends_a_command_whose_loop_is_held(command: str, site: Site, folder: Path) -> None:
    with started(site, folder, *COMMANDS[command]) as process:
        end_with_two_signals(process, signal.SIGINT)
    assert process.returncode == 130


@pytest.mark.slow
def test_a_second_signal_of_the_other_kind_does_too(site: Site, folder: Path) -> None:
    with started(site, folder, *RUN, "--quiet") as process:
        end_with_two_signals(process, signal.SIGTERM)
    assert process.returncode == 143


@pytest.mark.slow
def test_a_rescore_that_is_held_ends_as_well(site: Site, folder: Path) -> None:
    with started(site, folder, *RUN, "-E", "where=nowhere") as process:
        assert process.wait(timeout=60) == 0
    with started(site, folder, "rescore", "x.jsonl", "-E", "where=verify") as process:
        end_with_two_signals(process, signal.SIGINT)
    assert process.returncode == 130


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_ends_a_command_that_only_waits(
    number: signal.Signals, status: int, site: Site, folder: Path
) -> None:
    wait = "import asyncio; print('holding', file=sys.stderr, flush=True); await asyncio.Event().wait()"
    waits = CODE.replace("            hold()\n        return ()", f"            {wait}\n        return ()")
    site.add("holding-model", waits, group="gym.models", name="model")
    with started(site, folder, *RUN, "-M", "holds=true") as process:
        wait_for(process, "holding")
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == status, err
    assert "Traceback" not in err
    assert not (folder / "x.jsonl").exists()
