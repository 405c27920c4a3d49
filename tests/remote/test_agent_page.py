"""The agent that the documentation shows, served and run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gym_core import Agent, ModelBackend, Session
from gym_core.errors import AuthenticationError, ContextLengthError
from gym_http.serve.listener import Listener
from tests.docs.pages import ROOT, blocks
from tests.remote.test_agent import REASONING, Desk, rows
from tests.support.agents import LoopAgent
from tests.support.envs import env
from tests.support.models import ScriptedModel, call
from tests.support.running import Ended, config, execute
from tests.support.served_agents import remote

PAGE: Path = ROOT / "docs" / "how-to" / "remote-agents.md"


class Silent(Desk):
    reply = Session.reply  # type: ignore[assignment]  # back to what a session does without one


@pytest.fixture
def app() -> Any:
    (source,) = [block.text for block in blocks(PAGE) if block.action == "file"]
    namespace: dict[str, Any] = {"__name__": "agent_server"}
    exec(compile(source, "agent_server.py", "exec"), namespace)
    return namespace["app"]


async def run(agent: Agent, model: ModelBackend) -> Ended:
    return await execute(config(model, env(Silent, 3), agent, concurrency=1))


@pytest.mark.slow
def test_it_leaves_the_rows_of_one_in_process(app: Any) -> None:
    script = ([REASONING, call("slow", {"by": 5})], [call("slow", {"by": 1}), call("fails", {}, "c2")], "done")

    async def main() -> None:
        async with Listener(app) as listener:
            there = await run(remote(listener.url), ScriptedModel(*script))
        here = await run(LoopAgent(), ScriptedModel(*script))
        assert there.statuses() == ["completed"] * 3
        assert rows(there) == rows(here)

    asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.parametrize("error", [ContextLengthError("too long", status=400), AuthenticationError("no", status=401)])
def test_errors_that_it_passes_on_keep_their_meaning(app: Any, error: Exception) -> None:
    async def main() -> None:
        async with Listener(app) as listener:
            there = await run(remote(listener.url), ScriptedModel(error))
        here = await run(LoopAgent(), ScriptedModel(error))
        assert rows(there) == rows(here)
        assert type(there.error) is type(here.error)

    asyncio.run(asyncio.wait_for(main(), 60))


def test_a_session_that_ends_the_episode_ends_it_well(app: Any) -> None:
    async def main() -> None:
        async with Listener(app) as listener:
            ended = await run(remote(listener.url), ScriptedModel(call("end"), "Hello?"))
        assert {rollout.stop_reason for rollout in ended.rollouts} == {"ended"}
        assert ended.statuses() == ["completed"] * 3

    asyncio.run(asyncio.wait_for(main(), 60))
