"""A rollout that is over makes no model calls: what agent and session have left running is ended or refused."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from gym_core import Episode, Session, Stop, Trajectory, tool
from gym_core.errors import EpisodeOver
from tests.support.agents import FunctionAgent, LoopAgent
from tests.support.envs import PlainSession, env
from tests.support.models import ScriptedModel, call
from tests.support.running import config, execute, rollout, run


class Looks(PlainSession):
    looked: list[str] = []

    @tool
    async def look(self) -> str:
        """Look."""
        self.looked.append(self.task.task_id)
        return "seen"


@pytest.mark.parametrize("what", ["respond", "call_tool", "call_tools", "reply"])
def test_an_episode_that_is_over_refuses_whatever_is_asked_of_it(what: str) -> None:
    Looks.looked.clear()
    kept: list[Episode] = []
    model = ScriptedModel()

    async def agent(episode: Episode) -> Stop:
        kept.append(episode)
        return await LoopAgent().run(episode)

    async def main() -> None:
        ended = await execute(config(model, env(Looks), FunctionAgent(agent)))
        episode, first = kept[0], ended.rollouts[0].response
        asked: dict[str, Any] = {
            "respond": lambda: episode.respond(episode.request.input),
            "call_tool": lambda: episode.call_tool(call("look")),
            "call_tools": lambda: episode.call_tools([call("look")]),
            "reply": lambda: episode.reply(first),
        }
        with pytest.raises(EpisodeOver, match="is over"):
            await asked[what]()

    asyncio.run(main())
    assert len(model.requests) == 1
    assert Looks.looked == []


def test_what_an_agent_has_left_running_calls_no_model_while_it_is_verified() -> None:
    refused: list[BaseException] = []
    tasks: list[asyncio.Task[None]] = []
    model = ScriptedModel()

    async def agent(episode: Episode) -> Stop:
        async def late() -> None:
            await verifying.wait()
            try:
                await episode.respond(episode.request.input)
            except EpisodeOver as error:
                refused.append(error)

        verifying.clear()
        tasks.append(asyncio.create_task(late()))
        return await LoopAgent().run(episode)

    class Slow(PlainSession):
        async def verify(self, trajectory: Trajectory) -> float:
            verifying.set()
            await asyncio.sleep(0.05)
            return 1.0

    verifying = asyncio.Event()
    ended = rollout(model, Slow, FunctionAgent(agent))
    assert ended.reward == 1.0
    assert len(model.requests) == len(ended.model_calls) == 1
    assert [type(error) for error in refused] == [EpisodeOver]


def test_a_call_under_way_when_the_agent_ends_is_cancelled() -> None:
    ends: list[str] = []
    tasks: list[asyncio.Task[Any]] = []

    async def hang(request: Any, context: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("closed")

    async def agent(episode: Episode) -> str:
        tasks.append(asyncio.create_task(episode.respond(episode.request.input)))
        await asyncio.sleep(0.05)
        return "completed"

    ended = run(ScriptedModel(hang), env(), FunctionAgent(agent), max_tokens=100_000)
    assert ended.statuses() == ["completed"]
    assert ends == ["closed"]
    lost = ended.rollouts[0].row["rollout"]["unreported"]
    assert lost["calls"] == 1  # it may have to be paid for
    assert ended.summary["budget"]["unreported"]["tokens"] == lost["tokens"] > 0
    assert ended.summary["budget"]["spent_tokens"] == lost["tokens"]


def test_a_session_asks_its_models_until_its_verdict_and_not_after() -> None:
    refused: list[BaseException] = []
    tasks: list[asyncio.Task[Any]] = []

    class Judged(Session[Any]):
        roles = ("judge",)

        def setup(self) -> None:
            self.judging = asyncio.create_task(self.models["judge"].respond("How?"))

        async def verify(self, trajectory: Trajectory) -> float:
            await self.judging
            tasks.append(asyncio.create_task(self.late()))
            return 1.0

        async def late(self) -> None:
            await asyncio.sleep(0.05)
            try:
                await self.models["judge"].respond("And now?")
            except EpisodeOver as error:
                refused.append(error)

    async def slow(request: Any, context: Any) -> str:
        await asyncio.sleep(0.1)  # longer than the agent takes
        return "well"

    judge = ScriptedModel(slow)

    async def main() -> Any:
        ended = await execute(config({"policy": ScriptedModel(), "judge": judge}, env(Judged)))
        await asyncio.wait(tasks)
        return ended

    ended = asyncio.run(main())
    assert ended.statuses() == ["completed"]
    assert [call["role"] for call in ended.rollouts[0].model_calls] == ["policy", "judge"]
    assert len(judge.requests) == 1
    assert [type(error) for error in refused] == [EpisodeOver]


def test_a_call_that_ignores_its_end_is_counted_at_its_worst() -> None:
    async def hang(request: Any, context: Any) -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    async def agent(episode: Episode) -> str:
        asyncio.create_task(episode.respond(episode.request.input))  # noqa: RUF006
        await asyncio.sleep(0.05)
        return "completed"

    ended = run(ScriptedModel(hang), env(), FunctionAgent(agent), max_tokens=100_000)
    assert ended.statuses() == ["completed"]
    budget = ended.summary["budget"]
    assert budget["spent_tokens"] == budget["unreported"]["tokens"] > 0
