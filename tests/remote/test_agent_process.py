"""An agent served by `gym serve` in a process of its own, which is killed under a run and started again."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gym_testing import FakeOpenAI
from tests.remote.test_agent import Desk
from tests.support.agents import LoopAgent
from tests.support.envs import env
from tests.support.forks import KILL, gym_program
from tests.support.models import ScriptedModel, call
from tests.support.running import config, execute
from tests.support.served_agents import remote, timeless

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")


@asynccontextmanager
async def agent_process(
    endpoint: FakeOpenAI, folder: Path, *, alone: bool = False
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """`gym serve --agent simple_agent` on a socket file of the folder; gives the process and its URL."""
    arguments = ["--agent", "simple_agent"]
    if not alone:
        arguments += ["--env", "simple_weather", "--model", "openai:fake-model"]
    child = await asyncio.create_subprocess_exec(
        *(str(gym_program()), "serve", *arguments, "--uds", str(folder / "a")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "OPENAI_BASE_URL": endpoint.base_url, "OPENAI_API_KEY": "sk-of-the-test"},
    )
    assert child.stdout is not None
    try:
        line = (await child.stdout.readline()).decode()
        if " on " not in line:
            _, said = await child.communicate()
            raise AssertionError(f"the server did not start: {line}{said.decode()}")
        yield child, line.strip().rpartition(" on ")[2]
    finally:
        if child.returncode is None:
            child.send_signal(KILL)
        await child.communicate()


@pytest.mark.slow
def test_a_server_that_is_killed_costs_the_rollouts_it_had_and_no_other(short_folder: Path) -> None:
    hit = 4

    async def main() -> None:
        waiting: list[Any] = []
        all_wait = asyncio.Event()

        async def model(request: Any, context: Any) -> Any:
            if not all_wait.is_set():
                waiting.append(context.key)
                if len(waiting) == hit:
                    all_wait.set()
                await asyncio.Event().wait()
            return "done"

        async with FakeOpenAI() as endpoint:
            async with agent_process(endpoint, short_folder) as (child, url):
                wanted = config(ScriptedModel(model), env(Desk, 20), remote(url), concurrency=hit)
                running = asyncio.create_task(execute(wanted))
                await all_wait.wait()
                child.send_signal(KILL)
                await child.wait()
            async with agent_process(endpoint, short_folder):
                ended = await running
        failed = [rollout for rollout in ended.rollouts if rollout.reward is None]
        assert sorted(rollout.key for rollout in failed) == sorted(waiting)
        assert {rollout.status.value for rollout in failed} == {"agent_error"}
        assert len(ended.rollouts) == 20
        assert ended.error is None

    asyncio.run(asyncio.wait_for(main(), 120))


@pytest.mark.slow
@pytest.mark.parametrize("alone", [False, True], ids=["with parts", "alone"])
def test_rows_are_those_of_the_agent_in_process(short_folder: Path, alone: bool) -> None:
    async def main() -> None:
        def model() -> ScriptedModel:
            return ScriptedModel([call("slow", {"by": 1}), call("fails", {}, "c2")], "hm", "done")

        async with FakeOpenAI() as endpoint, agent_process(endpoint, short_folder, alone=alone) as (_, url):
            there = await execute(config(model(), env(Desk, 3), remote(url)))
            assert endpoint.received == []  # its own model is for callers that bring none
        here = await execute(config(model(), env(Desk, 3), LoopAgent()))
        both = [sorted((timeless(rollout.row) for rollout in run.rollouts), key=str) for run in (there, here)]
        assert both[0] == both[1]
        assert {rollout.row["rollout"]["agent"] for rollout in there.rollouts} == {"simple_agent"}

    asyncio.run(asyncio.wait_for(main(), 120))
