"""Everything that waits is bounded, and what was recorded until then is kept."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from gym_core import Episode, Session, Status, Trajectory, tool
from gym_core.engine.model_calls.rate_limits import Limiter
from tests.support.agents import FunctionAgent
from tests.support.envs import PlainSession
from tests.support.models import ScriptedModel, call, say
from tests.support.running import rollout

SHORT = 0.05


async def forever() -> Any:
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
    assert ended.error["message"] == f"{phase} did not end within {SHORT:g} s"
    assert ended.error["retryable"] is True
    assert Closing.closed == ["t0"]


def test_setup() -> None:
    class Slow(Closing):
        async def setup(self) -> None:
            await forever()

    assert_timed_out(rollout(session=Slow, setup=SHORT), "setup")


def test_waiting_its_turn_is_no_set_up() -> None:
    class Waiting(Closing):
        async def setup(self) -> None:
            with self._context.waiting():
                await asyncio.sleep(1.5)

    ended = rollout(session=Waiting, setup=1.0, rollout=1.0)
    assert ended.error is None
    ended = rollout(session=Waiting, waiting=SHORT)
    assert ended.reward is None
    assert f"the environment waited its turn for {SHORT:g} s" in str(ended.error)


def test_tool() -> None:
    class Slow(Closing):
        @tool
        async def wait(self) -> str:
            """Wait."""
            await forever()
            return ""

    ended = rollout(ScriptedModel(call("wait")), Slow, tool=SHORT)
    assert_timed_out(ended, "tool")
    assert ended.response.output == [call("wait")]


def test_a_tools_own_timeout_goes_over_the_runs() -> None:
    class Slow(Closing):
        @tool(timeout=SHORT)
        async def wait(self) -> str:
            """Wait."""
            await forever()
            return ""

    assert_timed_out(rollout(ScriptedModel(call("wait")), Slow), "tool")


@pytest.mark.parametrize("concurrent", [False, True])
def test_one_of_several_tools(concurrent: bool) -> None:
    cancelled: list[str] = []

    class Slow(Closing):
        concurrent_tools = concurrent

        @tool
        async def wait(self, name: str) -> str:
            """Wait."""
            try:
                await forever()
            except asyncio.CancelledError:
                cancelled.append(name)
                raise
            return ""

    model = ScriptedModel([call("wait", {"name": "a"}), call("wait", {"name": "b"}, "c2")])
    assert_timed_out(rollout(model, Slow, tool=SHORT), "tool")
    assert cancelled == (["a", "b"] if concurrent else ["a"])


def test_reply_is_bounded() -> None:
    class Slow(Closing):
        async def reply(self, response: Any) -> Any:
            await forever()

    ended = rollout(session=Slow, setup=SHORT, rollout=5.0)
    assert ended.status is Status.TIMED_OUT
    assert ended.error is not None
    assert ended.error["phase"] == "reply"


def test_verify() -> None:
    class Slow(Closing):
        async def verify(self, trajectory: Trajectory) -> float:
            await forever()
            return 1.0

    ended = rollout(session=Slow, verify=SHORT)
    assert_timed_out(ended, "verify")
    assert ended.response.output == [say("done")]


def test_the_whole_rollout_in_a_model_call() -> None:
    async def hang(request: Any, context: Any) -> None:
        await forever()

    class Talk(Closing):
        @tool
        def it(self) -> str:
            """It."""
            return "out"

    ended = rollout(ScriptedModel(call("it"), hang), Talk, rollout=SHORT)
    assert_timed_out(ended, "rollout")
    assert [item["type"] for item in ended.response.output] == ["function_call", "function_call_output"]
    assert len(ended.model_calls) == 1


def test_the_whole_rollout_in_an_agent_that_waits_for_nothing() -> None:
    async def agent(episode: Episode) -> str:
        await episode.respond(episode.request.input)
        await forever()
        return ""

    ended = rollout(None, Closing, FunctionAgent(agent), rollout=SHORT)
    assert_timed_out(ended, "rollout")
    assert ended.response.output == [say("done")]


def test_the_whole_rollout_in_several_tools_at_once() -> None:
    class Slow(Closing):
        concurrent_tools = True

        @tool
        async def wait(self) -> str:
            """Wait."""
            await forever()
            return ""

    assert_timed_out(rollout(ScriptedModel([call("wait"), call("wait", None, "c2")]), Slow, rollout=SHORT), "rollout")


def test_the_whole_rollout_in_a_task_of_the_agents_own() -> None:
    async def agent(episode: Episode) -> str:
        await asyncio.gather(*(episode.actor(name).respond(episode.request.input) for name in "ab"))
        return "completed"

    async def hang(request: Any, context: Any) -> None:
        await forever()

    ended = rollout(ScriptedModel("quick", hang), Closing, FunctionAgent(agent), rollout=SHORT)
    assert_timed_out(ended, "rollout")


def test_an_inner_bound_that_is_caught_by_the_agent_still_leaves_the_outer_one() -> None:
    class Slow(Closing):
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

    ended = rollout(None, Slow, FunctionAgent(agent), tool=SHORT, rollout=0.2)
    assert ended.status is Status.TIMED_OUT
    assert Closing.closed == ["t0"]


def test_a_rollout_that_is_in_time_is_not_touched() -> None:
    class Brief(Closing):
        async def setup(self) -> None:
            await asyncio.sleep(0.001)

        async def verify(self, trajectory: Trajectory) -> float:
            await asyncio.sleep(0.001)
            return 1.0

    ended = rollout(session=Brief, setup=5.0, verify=5.0, rollout=5.0)
    assert ended.reward == 1.0
    assert Closing.closed == ["t0"]


def test_a_session_that_does_not_close_holds_nobody(caplog: pytest.LogCaptureFixture) -> None:
    class Clinging(PlainSession):
        async def close(self) -> None:
            await forever()

    ended = rollout(session=Clinging, close=SHORT)
    assert ended.reward == 1.0
    assert "failed to close" in caplog.text


def test_a_timeout_error_of_the_authors_own_is_no_deadline() -> None:
    class Impatient(Session[Any]):
        def verify(self, trajectory: Trajectory) -> float:
            raise TimeoutError("the database did not answer")

    ended = rollout(session=Impatient)
    assert ended.status is Status.VERIFIER_ERROR
    assert ended.error is not None
    assert ended.error["message"] == "the database did not answer"


@pytest.mark.parametrize("where", ["setup", "tool", "agent"])
def test_a_timeout_error_elsewhere_keeps_its_owner(where: str) -> None:
    class Impatient(PlainSession):
        async def setup(self) -> None:
            if where == "setup":
                raise TimeoutError("mine")

        @tool
        async def wait(self) -> str:
            """Wait."""
            raise TimeoutError("mine")

    async def agent(episode: Episode) -> str:
        if where == "agent":
            raise TimeoutError("mine")
        return str((await episode.call_tool(call("wait")))["output"])

    ended = rollout(None, Impatient, FunctionAgent(agent))
    if where == "tool":
        assert "TimeoutError: mine" in ended.stop_detail
    else:
        assert ended.status is {"setup": Status.ENV_ERROR, "agent": Status.AGENT_ERROR}[where]


@pytest.mark.parametrize("how", ["wait_for", "timeout"])
def test_an_agent_may_give_a_call_less_time_of_its_own(how: str) -> None:
    async def agent(episode: Episode) -> str:
        try:
            if how == "wait_for":
                await asyncio.wait_for(episode.respond(episode.request.input), SHORT)
            else:
                async with asyncio.timeout(SHORT):
                    await episode.respond(episode.request.input)
        except TimeoutError:
            await episode.respond(episode.request.input)
        return "completed"

    async def hang(request: Any, context: Any) -> None:
        await forever()

    limiter = Limiter(1)
    ended = rollout(ScriptedModel(hang, "done"), Closing, FunctionAgent(agent), limiter=limiter, rollout=5.0)
    assert ended.status is Status.COMPLETED, ended.error
    assert len(ended.model_calls) == 1
    assert limiter.inflight == 0


def test_an_agents_own_limit_around_a_rollout_that_runs_out_is_the_rollouts() -> None:
    async def agent(episode: Episode) -> str:
        async with asyncio.timeout(5):
            await forever()
        return ""

    assert_timed_out(rollout(None, Closing, FunctionAgent(agent), rollout=SHORT), "rollout")


def test_a_blocking_tool_that_is_too_slow_ends_the_rollout_and_not_the_run() -> None:
    release = threading.Event()

    class Slow(Closing):
        @tool(blocking=True)
        def wait(self) -> str:
            """Wait."""
            release.wait(20)
            return ""

    try:
        assert_timed_out(rollout(ScriptedModel(call("wait")), Slow, tool=SHORT), "tool")
    finally:
        release.set()
