"""What a type checker says of mistakes: each that is planted is found, and nothing else is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLANTED = """
from collections.abc import Mapping

from gym_core import Agent, Deadlines, Episode, Options, ResourceServer, Session, Stop, StopReason, Task, Trajectory
from gym_core import collect, hookimpl


class CounterOptions(Options):
    limit: int = 100


class OtherOptions(Options):
    size: int = 1


class CounterSession(Session["Counter"]):
    def verify(self, trajectory: Trajectory) -> float:
        return float(self.server.options.limit)

    async def ask(self) -> str:
        answer = await self.models["judge"].respond("Well?", temprature=0)  # wrong
        return answer.output_text

    def most(self) -> int:
        return self.server.options.limti  # wrong


class Counter(ResourceServer[CounterOptions]):
    session_type = CounterSession

    def most(self) -> int:
        return self.options.limit

    def least(self) -> int:
        return self.options.limti  # wrong


class Plain(ResourceServer):
    session_type = CounterSession

    def most(self) -> Options:
        return self.options


class Loop(Agent[CounterOptions]):
    async def run(self, episode: Episode) -> Stop:
        response = await episode.respond(episode.request.input, temperature=0, extra={"top_k": 20})
        if self.options.limti == 0:  # wrong
            await episode.respond(episode.request.input, temprature=0)  # wrong
            await episode.respond(episode.request.input, temperature="hot")  # wrong
        if self.options.limit == 1:
            return Stop(StopReason.MAX_TURN)  # wrong
        if self.options.limit == 2:
            return Stop("max_turns")  # wrong
        if self.options.limit == 3:
            return response.stop_reason  # wrong
        if self.options.limit == 4:
            return Stop(StopReason.COMPLETED, 4)  # wrong
        return Stop(response.stop_reason, "well")


async def run_it() -> None:
    async for rollout in collect(model="openai", env=Counter(), agent=Loop(), limit=3, repeats=2, max_cost=0.5):
        print(rollout.reward)
    async for rollout in collect(
        model={"policy": "openai", "judge": "openai"},
        model_options={"temperature": 0, "judge": {"temperature": 1}},
        tasks=[{"responses_create_params": {"input": "Hi."}}, Task.ask("Hi.")],
        deadlines=Deadlines(tool=3),
        mode="resume",
    ):
        print(rollout.reward)
    collect(model="openai", env="counter", repeat=3)  # wrong
    collect(model="openai", env="counter", repeats="3")  # wrong
    collect(model="openai", env="counter", mode="again")  # wrong
    collect(model="openai", env="counter", deadlines=Deadlines(tol=3))  # wrong


word: str = Counter().options.limit  # wrong
number: int = Counter(CounterOptions(limit=3)).options.limit
other = Counter(OtherOptions())  # wrong


@hookimpl(contract=1)
def gym_agents() -> Mapping[str, type[Agent]]:
    return {"loop": Loop}


@hookimpl  # wrong
def gym_resource_servers() -> Mapping[str, type[ResourceServer]]:
    return {"counter": Counter, "plain": Plain}
"""
WRONG = {number for number, line in enumerate(PLANTED.splitlines(), 1) if line.endswith("# wrong")}


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    path = tmp_path / "planted.py"
    path.write_text(PLANTED)
    return path


def checked(*command: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, encoding="utf-8", timeout=280
    ).stdout


@pytest.mark.slow
def test_mypy_finds_what_is_planted_and_nothing_else(planted: Path) -> None:
    said = checked("mypy", "--strict", "--no-error-summary", str(planted))  # with the cache of `make lint`
    lines = [line for line in said.splitlines() if ": error:" in line]
    assert {int(line.split(":")[1]) for line in lines} == WRONG, said


@pytest.mark.slow
def test_pyright_finds_what_is_planted_and_nothing_else(planted: Path) -> None:
    said = json.loads(checked("basedpyright", "--level", "error", "--outputjson", str(planted)))
    found = {finding["range"]["start"]["line"] + 1 for finding in said["generalDiagnostics"]}
    assert found == WRONG, said["generalDiagnostics"]
