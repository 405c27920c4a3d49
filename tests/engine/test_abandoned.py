"""Code that is cancelled and goes on: its rollout ends all the same, and so does the run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from gym_core import ComponentContext, Episode, ResourceServer, Session, SessionContext, Status, Task, Trajectory, tool
from gym_core.spi import open_run
from tests.support.agents import FunctionAgent, LoopAgent
from tests.support.envs import PlainSession, ask, env
from tests.support.models import ScriptedModel, call
from tests.support.running import collect, config, rollout, run

SHORT = 0.05


async def stubborn(*arguments: Any) -> Any:
    """Waits for ever, whoever cancels it."""
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()


class Closing(PlainSession):
    closed: list[str] = []

    def close(self) -> None:
        self.closed.append(self.task.task_id)


@pytest.fixture(autouse=True)
def nothing_closed() -> None:
    Closing.closed.clear()


def assert_timed_out(ended: Any, phase: str) -> None:
    assert ended.status is Status.TIMED_OUT
    assert ended.reward is None
    assert (ended.error["class"], ended.error["phase"]) == ("DeadlineExceeded", phase)
    assert Closing.closed == ["t0"]


@pytest.mark.parametrize("phase", ["setup", "reply", "verify"])
def test_a_function_of_a_session_that_goes_on_is_out_of_time(phase: str) -> None:
    session = type("Stubborn", (Closing,), {phase: stubborn})
    bound = "setup" if phase == "reply" else phase
    bounds: dict[str, Any] = {bound: SHORT}
    assert_timed_out(rollout(session=session, **bounds), phase)


@pytest.mark.parametrize("concurrent", [False, True])
def test_a_tool_that_goes_on_is_out_of_time(concurrent: bool) -> None:
    class Slow(Closing):
        concurrent_tools = concurrent

        @tool
        async def wait(self) -> str:
            """Wait."""
            return str(await stubborn())

        @tool
        async def look(self) -> str:
            """Look."""
            return "seen"

    ended = rollout(ScriptedModel([call("look", call_id="c0"), call("wait")]), Slow, tool=SHORT)
    assert_timed_out(ended, "tool")
    assert [item["type"] for item in ended.response.output] == [
        "function_call",
        "function_call",
        "function_call_output",
    ]
    assert [made["output"] for made in ended.tool_calls] == [3], "what was done before is on record"


def test_an_agent_that_goes_on_is_out_of_time_and_keeps_what_it_has() -> None:
    async def agent(episode: Episode) -> str:
        await episode.respond(episode.request.input)
        return str(await stubborn())

    ended = rollout(None, Closing, FunctionAgent(agent), rollout=SHORT)
    assert_timed_out(ended, "rollout")
    assert len(ended.model_calls) == 1


def test_an_agent_that_tries_again_whatever_happens_is_out_of_time() -> None:
    async def agent(episode: Episode) -> str:
        while True:
            try:
                await episode.call_tool(call("wait"))
            except BaseException:
                await asyncio.sleep(0)

    class Slow(Closing):
        @tool
        async def wait(self) -> str:
            """Wait."""
            await asyncio.Event().wait()
            return ""

    assert_timed_out(rollout(None, Slow, FunctionAgent(agent), rollout=SHORT), "rollout")


def test_a_model_call_that_goes_on_fails_and_gives_its_slot_back() -> None:
    model = ScriptedModel(lambda request, context: stubborn() if context.key[0] == "t0" else "done", inflight=1)
    ended = run(model, env(Closing, 4), deadlines=_deadlines(model_call=SHORT), concurrency=2)
    by_task = {rollout.task_id: rollout for rollout in ended.rollouts}
    assert by_task["t0"].status is Status.MODEL_ERROR
    assert [by_task[f"t{number}"].reward for number in (1, 2, 3)] == [1.0] * 3
    assert sorted(Closing.closed) == ["t0", "t1", "t2", "t3"]


def _deadlines(**seconds: float) -> Any:
    from gym_core.spi import Deadlines

    return Deadlines(**seconds)


def test_a_session_whose_opening_goes_on_is_out_of_time() -> None:
    class Slow(ResourceServer):
        @asynccontextmanager
        async def _open(self) -> AsyncIterator[Session[Any]]:
            await stubborn()
            yield  # type: ignore[misc]

        def tasks(self) -> list[Task]:
            return [ask()]

        def open_session(self, task: Task, context: SessionContext) -> Any:
            return self._open()

    ended = run(None, Slow(None, ComponentContext(name="slow")), deadlines=_deadlines(setup=SHORT))
    assert [rollout.error["phase"] for rollout in ended.rollouts if rollout.error] == ["setup"]


def test_the_others_of_the_run_are_not_held(caplog: pytest.LogCaptureFixture) -> None:
    class Mixed(Closing):
        async def verify(self, trajectory: Trajectory) -> float:
            return float(await stubborn()) if self.task["n"] % 2 else 1.0

    tasks = [ask(number, n=number) for number in range(6)]
    ended = run(None, env(Mixed, tasks), deadlines=_deadlines(verify=SHORT), concurrency=1)
    assert sorted(ended.statuses()) == ["completed"] * 3 + ["timed_out"] * 3
    assert ended.error is None
    assert len(Closing.closed) == 6
    told = [record for record in caplog.records if "is abandoned" in record.getMessage()]
    assert [record.levelname for record in told].count("WARNING") == 1  # one author's mistake is told once
    assert "task 't1', repeat 0: its verify" in told[0].getMessage()


@pytest.mark.parametrize("where", ["verify", "agent", "model"])
def test_a_run_that_is_stopped_waits_for_nobody_that_goes_on(where: str) -> None:
    class Slow(Closing):
        async def verify(self, trajectory: Trajectory) -> float:
            return float(await stubborn()) if where == "verify" else 1.0

    async def agent(episode: Episode) -> str:
        return str(await (stubborn() if where == "agent" else LoopAgent().run(episode)))

    async def main() -> list[Any]:
        rollouts: list[Any] = []
        model = ScriptedModel(lambda request, context: stubborn() if where == "model" else "done")
        async with open_run(config(model, env(Slow, 3), FunctionAgent(agent), concurrency=3)) as wanted:
            asyncio.get_running_loop().call_later(0.2, wanted.stop, "enough")
            await wanted.execute(rollouts.append)
        return rollouts

    rollouts = asyncio.run(asyncio.wait_for(main(), 30))
    assert [rollout.status for rollout in rollouts] == [Status.CANCELLED] * 3
    assert {rollout.error["message"] for rollout in rollouts} == {"enough"}


def test_leaving_the_loop_of_collect_waits_for_nobody_that_goes_on() -> None:
    import gym_core

    async def agent(episode: Episode) -> str:
        return str(await stubborn()) if "1" in episode.request.input[0]["content"] else "completed"

    async def main() -> str:
        rollouts = gym_core.collect(model=ScriptedModel(), env=env(Closing, 2), agent=FunctionAgent(agent))
        async for ended in rollouts:
            await rollouts.aclose()
            return ended.task_id
        return ""

    assert asyncio.run(asyncio.wait_for(main(), 30)) == "t0"


def test_stragglers_that_are_let_go_and_go_on_are_cancelled() -> None:
    async def agent(episode: Episode) -> str:
        return str(await stubborn()) if "9" in episode.request.input[0]["content"] else "completed"

    rollouts = collect(None, env(Closing, 10), FunctionAgent(agent), finish_at=0.9, concurrency=10)
    assert [rollout.task_id for rollout in rollouts if rollout.status is Status.CANCELLED] == ["t9"]


def test_tasks_that_go_on_do_not_hold_a_run_that_is_stopped() -> None:
    class Endless(ResourceServer):
        session_type = Closing

        async def tasks(self) -> AsyncIterator[Task]:
            yield ask()
            await stubborn()

    async def main() -> list[Any]:
        rollouts: list[Any] = []
        async with open_run(config(None, Endless(None, ComponentContext(name="endless")))) as wanted:
            asyncio.get_running_loop().call_later(0.2, wanted.stop, "enough")
            await wanted.execute(rollouts.append)
        return rollouts

    assert [rollout.reward for rollout in asyncio.run(asyncio.wait_for(main(), 30))] == [1.0]


def test_a_component_that_does_not_stop_costs_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    class Slow(ScriptedModel):
        async def __aexit__(self, *error: Any) -> None:
            await stubborn()

    ended = run(Slow(), env(Closing), deadlines=_deadlines(close=SHORT))
    assert ended.statuses() == ["completed"]
    assert "did not stop within 0.05 s" in caplog.text


def test_a_session_that_goes_on_closing_keeps_its_verdict(caplog: pytest.LogCaptureFixture) -> None:
    class Clinging(PlainSession):
        async def close(self) -> None:
            await stubborn()

    ended = rollout(session=Clinging, close=SHORT)
    assert ended.reward == 1.0
    assert "close did not end within 0.05 s" in caplog.text


def test_a_first_look_that_goes_on_is_a_notice() -> None:
    class Slow(ScriptedModel):
        async def check(self) -> Any:
            await stubborn()

    ended = run(Slow(), env(Closing), deadlines=_deadlines(setup=SHORT))
    assert ended.statuses() == ["completed"]
    assert ["did not answer a first look" in notice for notice in ended.notices] == [True]


def test_what_takes_its_time_to_end_is_not_given_up(caplog: pytest.LogCaptureFixture) -> None:
    cleaned: list[str] = []

    class Tidy(Closing):
        async def verify(self, trajectory: Trajectory) -> float:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.1)
                cleaned.append(self.task.task_id)
            return 1.0

    assert_timed_out(rollout(session=Tidy, verify=SHORT), "verify")
    assert cleaned == ["t0"]
    assert "abandoned" not in caplog.text
