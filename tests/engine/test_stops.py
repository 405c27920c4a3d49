"""What ends a run early, and what does not."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from gym_core import Done, Episode, Status, Stop, Trajectory, tool
from gym_core.domain import errors
from gym_core.errors import AuthenticationError, BadRequestError, RunStopped
from gym_core.spi import Deadlines
from tests.support.agents import FunctionAgent, LoopAgent
from tests.support.envs import PlainSession, ask, env
from tests.support.loop import settle
from tests.support.models import ScriptedModel, call, say
from tests.support.running import run


def failing(*numbers: int, error: Exception | None = None) -> ScriptedModel:
    """A model that refuses the tasks of these numbers."""

    def answer(request: Any, context: Any) -> Any:
        bad = context.key[0] in {f"t{number}" for number in numbers}
        return (error or BadRequestError(f"refused {context.key[0]}", status=400)) if bad else "done"

    return ScriptedModel(answer)


@pytest.mark.parametrize(
    "kind", [kind for kind in errors.model_error_classes() if kind.fatal], ids=lambda kind: kind.__name__
)
def test_an_error_that_hits_every_rollout_stops_the_run(kind: type[errors.ModelError]) -> None:
    model = ScriptedModel(kind("the key is wrong"))
    ended = run(model, env(tasks=50), concurrency=4)
    assert type(ended.error) is kind
    assert ended.summary["state"] == "stopped"
    assert "the key is wrong" in ended.summary["message"]
    assert set(ended.statuses()) == {"cancelled"}
    assert len(ended.rollouts) <= 4
    assert ended.summary["rollouts"]["failed"] == 0


def test_an_agent_that_swallows_an_error_that_hits_every_rollout_does_not_hide_it() -> None:
    async def agent(episode: Episode) -> str:
        with contextlib.suppress(Exception):
            await episode.respond(episode.request.input)
        return "completed"

    ended = run(ScriptedModel(AuthenticationError("bad key")), env(tasks=20), FunctionAgent(agent), concurrency=2)
    assert isinstance(ended.error, AuthenticationError)
    assert set(ended.statuses()) == {"cancelled"}


class Panic(BaseException):
    """What native code raises when it has lost its way, or a test that fails."""


@pytest.mark.parametrize("where", ["setup", "tool", "reply", "verify", "close", "agent", "model"])
@pytest.mark.parametrize("kind", [asyncio.CancelledError, SystemExit, KeyboardInterrupt, GeneratorExit, Panic])
def test_a_plugin_that_raises_what_is_no_ordinary_exception_fails_its_rollout_alone(
    kind: type[BaseException], where: str
) -> None:
    """A library cancels its own task, a parser of arguments calls `sys.exit`: that is no end of the run."""

    class Odd(PlainSession):
        def fail(self, here: str) -> None:
            if where == here and self.task["odd"]:
                raise kind()

        async def setup(self) -> None:
            self.fail("setup")

        @tool
        async def work(self) -> str:
            """Work."""
            self.fail("tool")
            return "worked"

        async def reply(self, response: Any) -> Any:
            self.fail("reply")
            return Done()

        async def verify(self, trajectory: Trajectory) -> float:
            self.fail("verify")
            return 1.0

        async def close(self) -> None:
            self.fail("close")

    def answer(request: Any, context: Any) -> Any:
        if where == "model" and context.key[0] == "t1":
            raise kind()
        return call("work") if len(request.input) == 1 else "done"

    async def agent(episode: Episode) -> Stop:
        reason = await LoopAgent().run(episode)
        if where == "agent" and episode.request.input[0]["content"] == "Task 1.":
            raise kind()
        return reason

    tasks = [ask(number, odd=number == 1) for number in range(6)]
    ended = run(ScriptedModel(answer), env(Odd, tasks), FunctionAgent(agent), concurrency=1)
    assert sorted(rollout.task_id for rollout in ended.rollouts) == [f"t{number}" for number in range(6)]
    assert ended.error is None
    assert ended.statuses().count("completed") >= 5
    status = {"setup": "env_error", "reply": "env_error", "verify": "verifier_error", "agent": "agent_error"}
    odd = next(rollout for rollout in ended.rollouts if rollout.task_id == "t1")
    # A tool that raises is an answer to the model, and a session that does not close keeps its verdict.
    assert odd.status.value == {**status, "model": "model_error"}.get(where, "completed")


async def cancel_itself(*arguments: Any) -> Any:
    """Cancels the task that it runs in, as a scope does that is left in another task."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


@pytest.mark.parametrize(("where", "status"), [("setup", "env_error"), ("verify", "verifier_error")])
@pytest.mark.parametrize("concurrency", [1, 3])
def test_a_session_that_cancels_its_task_fails_alone(where: str, status: str, concurrency: int) -> None:
    class Odd(PlainSession):
        pass

    async def odd(self: Any, *arguments: Any) -> Any:
        if self.task["n"] == 1:
            await cancel_itself()
        return None if where == "setup" else 1.0

    setattr(Odd, where, odd)
    ended = run(None, env(Odd, [ask(number, n=number) for number in range(6)]), concurrency=concurrency)
    assert {rollout.task_id: rollout.status.value for rollout in ended.rollouts} == {
        f"t{number}": status if number == 1 else "completed" for number in range(6)
    }
    (failed,) = (rollout.error for rollout in ended.rollouts if rollout.error)
    assert (failed["class"], failed["message"]) == ("CancelledError", "a plugin's code has cancelled its task")


def test_an_agent_that_cancels_its_task_every_time_does_not_empty_the_run() -> None:
    ended = run(None, env(tasks=6), FunctionAgent(cancel_itself), concurrency=2)
    assert ended.statuses() == ["agent_error"] * 6


def test_a_task_that_a_rollout_has_left_behind_is_no_later_rollouts_task() -> None:
    class Leaving(PlainSession):
        async def verify(self, trajectory: Trajectory) -> float:
            task = asyncio.current_task()
            assert task is not None
            assert task not in left
            for earlier in left:
                earlier.cancel()
            left.append(task)
            await asyncio.sleep(0)
            return 1.0

    left: list[asyncio.Task[Any]] = []
    ended = run(None, env(Leaving, [ask(number, n=number) for number in range(5)]), concurrency=1)
    assert ended.statuses() == ["completed"] * 5


def test_a_cancellation_that_an_agent_has_swallowed_hides_no_bound() -> None:
    async def agent(episode: Episode) -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await cancel_itself()
        return str(await asyncio.Event().wait())

    ended = run(None, env(tasks=3), FunctionAgent(agent), concurrency=1, deadlines=Deadlines(rollout=0.05))
    assert ended.statuses() == ["timed_out"] * 3


def test_rollouts_under_way_are_recorded_as_cancelled_with_what_they_have() -> None:
    async def answer(request: Any, context: Any) -> Any:
        if context.key[0] == "t0":
            await settle(30)
            return AuthenticationError("expired")
        if len(request.input) > 1:
            await asyncio.Event().wait()
        return "turn"

    class Talking(PlainSession):
        def reply(self, response: Any) -> Any:
            return [{"type": "message", "role": "user", "content": "go on"}]

    ended = run(ScriptedModel(answer), env(Talking, 3), concurrency=3)
    by_id = {rollout.task_id: rollout for rollout in ended.rollouts}
    assert {rollout.status for rollout in ended.rollouts} == {Status.CANCELLED}
    assert by_id["t1"].response.output[0] == say("turn")
    assert by_id["t1"].error is not None
    assert "expired" in by_id["t1"].error["message"]


@pytest.mark.parametrize("concurrency", [1, 16])
def test_the_same_refusal_of_the_first_five_stops_the_run(concurrency: int) -> None:
    async def refuse(request: Any, context: Any) -> Any:
        await settle(2)
        return BadRequestError(f"temperature is not supported (request {context.key[0]}00000)", status=400)

    model = ScriptedModel(refuse)
    ended = run(model, env(tasks=60), concurrency=concurrency)
    assert isinstance(ended.error, RunStopped)
    assert "temperature is not supported" in str(ended.error)
    assert set(ended.statuses()) == {"cancelled"}
    assert 5 <= len(ended.rollouts) <= max(5, concurrency)
    assert ended.summary["state"] == "stopped"


def test_fewer_refusals_than_five_are_failures() -> None:
    ended = run(failing(0, 1, 2, 3), env(tasks=4))
    assert ended.statuses() == ["model_error"] * 4
    assert ended.summary["state"] == "finished"


def test_a_success_clears_the_suspicion_for_good() -> None:
    ended = run(failing(0, 1, 2, 3, *range(5, 15)), env(tasks=16), concurrency=1)
    assert ended.statuses().count("model_error") == 14
    assert ended.statuses().count("completed") == 2
    assert ended.summary["state"] == "finished"


def test_different_refusals_do_not_stop_the_run() -> None:
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight"]

    def answer(request: Any, context: Any) -> Any:
        return BadRequestError(f"bad {words[int(context.key[0][1:])]}", status=400)

    ended = run(ScriptedModel(answer), env(tasks=8), concurrency=1)
    assert ended.statuses().count("model_error") == 8
    assert ended.summary["state"] == "finished"


def test_failures_of_the_environment_do_not_stop_the_run() -> None:
    class Broken(PlainSession):
        def setup(self) -> None:
            raise RuntimeError("out of order")

    ended = run(None, env(Broken, 10))
    assert ended.statuses() == ["env_error"] * 10
    assert ended.summary["state"] == "finished"
