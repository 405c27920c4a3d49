"""`gym run --agent URL`, and what the other commands make of a run without a model and an environment."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pytest

from gym_testing.command import gym
from tests.support.agents import LoopAgent
from tests.support.envs import row
from tests.support.nemo_agent import NemoAgent, nemo_agent
from tests.support.running import read_jsonl
from tests.support.served_agents import served_agent

Entered = TypeVar("Entered")


@contextmanager
def in_thread(server: AbstractAsyncContextManager[Entered]) -> Iterator[Entered]:
    """A server in an event loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def there(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    try:
        yield there(server.__aenter__())
        there(server.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def agent() -> Iterator[NemoAgent]:
    with in_thread(nemo_agent()) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = [row(number) for number in range(3)]
    (tmp_path / "tasks.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    return tmp_path


def test_a_run_without_model_and_environment(agent: NemoAgent, folder: Path) -> None:
    done = gym("run", "--agent", agent.url, "--input", "tasks.jsonl", "--output", "x.jsonl", "--repeats", "2", "--json")
    assert done.exit_code == 0, done.err
    assert orjson.loads(done.out)["reward"]["mean"] == 1.0
    assert len(read_jsonl(folder / "x.jsonl")) == 6
    again = gym("run", "--config", "x.run.json", "--output", "y.jsonl", "--quiet")
    assert again.exit_code == 0, again.err
    assert len(read_jsonl(folder / "y.jsonl")) == 6
    resumed = gym("run", "--config", "x.run.json", "--output", "y.jsonl", "--resume", "--repeats", "3", "--json")
    assert resumed.exit_code == 0, resumed.err
    assert orjson.loads(resumed.out)["rollouts"]["kept"] == 6
    assert len(agent.received) == 15
    for command in (("show", "x.jsonl"), ("stats", "x.jsonl", "y.jsonl"), ("config", "--config", "x.run.json")):
        shown = gym(*command)
        assert shown.exit_code == 0, shown.err
        assert "None" not in shown.out


def test_the_default_output_is_named_after_the_agent(agent: NemoAgent, folder: Path) -> None:
    assert gym("run", "--agent", agent.url, "--input", "tasks.jsonl", "--quiet").exit_code == 0
    (output,) = (folder / "results").glob("*.summary.json")
    assert output.name.startswith(f"127.0.0.1-{agent.url.rpartition(':')[2]}-")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--input", "tasks.jsonl", "--env", "simple_weather"), "--env means nothing to it"),
        ((), "--input FILE"),
        (
            ("--input", "tasks.jsonl", "--max-tokens", "5"),
            "leave --max-tokens, --max-cost and",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(
    agent: NemoAgent, folder: Path, arguments: tuple[str, ...], problem: str
) -> None:
    refused = gym("run", "--agent", agent.url, *arguments)
    assert refused.exit_code == 2
    assert problem in refused.err
    assert not (folder / "results").exists()


def test_an_agent_that_wants_them_says_so(folder: Path) -> None:
    with in_thread(served_agent(LoopAgent())) as server:
        refused = gym("run", "--agent", server.url, "--input", "tasks.jsonl")
    assert refused.exit_code == 2
    assert "a run needs a model" in refused.err


def test_a_named_agent_needs_them_as_ever(folder: Path) -> None:
    refused = gym("run", "--agent", "simple_agent", "--env", "simple_weather")
    assert refused.exit_code == 2
    assert "a run needs a model" in refused.err


def test_verifying_again_wants_an_environment(agent: NemoAgent, folder: Path) -> None:
    assert gym("run", "--agent", agent.url, "--input", "tasks.jsonl", "--output", "x.jsonl", "--quiet").exit_code == 0
    refused = gym("rescore", "x.jsonl")
    assert refused.exit_code == 2
    assert "the agent of that run brought its own" in refused.err
