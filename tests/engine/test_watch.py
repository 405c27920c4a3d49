"""Long bounds, which one timer of the run looks after."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gym_core import Episode, Status, tool
from gym_core.engine.bounds import alarms as deadline
from gym_core.errors import ServerError
from tests.support.agents import FunctionAgent
from tests.support.clock import FakeClock
from tests.support.envs import PlainSession
from tests.support.models import ScriptedModel, call
from tests.support.running import rollout


@pytest.fixture(autouse=True)
def common_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every bound counts as long, and the timer looks often."""
    monkeypatch.setattr(deadline, "EXACT", 0.0)
    monkeypatch.setattr(deadline, "TICK", 0.01)


async def forever() -> Any:
    await asyncio.Event().wait()


@pytest.mark.parametrize("phase", ["setup", "tool", "verify", "rollout"])
def test_a_bound_is_kept(phase: str) -> None:
    class Slow(PlainSession):
        async def setup(self) -> None:
            if phase == "setup":
                await forever()

        @tool
        async def wait(self) -> str:
            """Wait."""
            if phase in ("tool", "rollout"):
                await forever()
            return ""

        async def verify(self, trajectory: Any) -> float:
            if phase == "verify":
                await forever()
            return 1.0

    ended = rollout(ScriptedModel(call("wait"), "done"), Slow, None, task=None, **{phase: 0.03})
    assert ended.status is Status.TIMED_OUT
    assert ended.error is not None
    assert ended.error["phase"] == phase


def test_when_several_are_due_the_outermost_counts() -> None:
    class Slow(PlainSession):
        @tool
        async def wait(self) -> str:
            """Wait."""
            await forever()
            return ""

    ended = rollout(ScriptedModel(call("wait")), Slow, rollout=0.03, tool=0.03)
    assert ended.error is not None
    assert ended.error["phase"] == "rollout"


def test_an_agent_that_swallows_the_end_of_a_tool_still_meets_the_rollouts() -> None:
    class Slow(PlainSession):
        @tool
        async def wait(self) -> str:
            """Wait."""
            await forever()
            return ""

    async def agent(episode: Episode) -> str:
        try:
            await episode.call_tool(call("wait"))
        except Exception:
            await forever()
        return ""

    ended = rollout(None, Slow, FunctionAgent(agent), tool=0.02, rollout=0.1)
    assert ended.status is Status.TIMED_OUT


def test_calls_that_wait_at_the_same_time_stop_the_rollouts_clock_together() -> None:
    clock = FakeClock()

    async def really_sleep(seconds: float) -> None:
        await asyncio.sleep(seconds)

    clock.sleep = really_sleep  # type: ignore[method-assign]
    clock.jitter = 0.0

    async def agent(episode: Episode) -> str:
        await asyncio.gather(*(episode.actor(name).respond(episode.request.input) for name in "ab"))
        return "completed"

    turns = [ServerError("x", status=500, retry_after=seconds) for seconds in (0.12, 0.2)]
    ended = rollout(ScriptedModel(*turns, "done"), agent=FunctionAgent(agent), clock=clock, rollout=0.1)
    assert ended.status is Status.COMPLETED, ended.error
