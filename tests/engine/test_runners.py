"""Runs of runners: they bring their own model and environment, or ask those of the run."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from gym_core import (
    CompletedTask,
    ModelCall,
    ResourceServer,
    Runner,
    RunnerContext,
    Session,
    Task,
    TaskFailed,
    Trajectory,
    UsageError,
    Verdict,
    user_message,
)
from gym_core.errors import AuthenticationError, BadRequestError, ModelError
from gym_core.spi import run_config
from gym_testing import IsolatedPlugins
from tests.support.envs import ask
from tests.support.models import USAGE, ScriptedModel, response, say
from tests.support.running import Ended, execute


class Whole(Runner):
    """Brings all that it needs, and does as its task says."""

    roles = ()
    environment = False

    async def run(self, task: Task, context: RunnerContext) -> CompletedTask:
        wanted: Any = task.get("wanted", 1.0)
        if isinstance(wanted, str):
            raise TaskFailed("it went wrong", phase=wanted)
        if wanted is None:
            raise ZeroDivisionError("a defect")
        called = ModelCall("policy", "policy", None, 0, [[0, 1]], [[1, 2]], USAGE, 0.5)
        again = ModelCall("policy", "policy", 0, 1, [], [[1, 2]], USAGE, 0.5)
        known = Trajectory(task.input, [say("so")], model_calls=(called, again)) if task.get("calls") else None
        verdict = Verdict(wanted, info={"n": context.repeat})
        return CompletedTask(verdict, "max_turns", response(say("so"), model="theirs"), known)


class Lent(Runner):
    """Asks the models of the run, and has its environment judge nothing."""

    roles = ("policy", "judge")

    async def run(self, task: Task, context: RunnerContext) -> CompletedTask:
        said = await context.models["policy"].respond("What?", temperature=0.5)
        judged = await context.models["judge"].respond(f"Is {said.output_text} right?")
        reward = float(judged.output_text == "yes")
        return CompletedTask(Verdict(reward, info={"server": type(context.server).__name__}), "completed")


class Bare(ResourceServer):
    """An environment whose sessions nobody opens."""

    session_type = Session


def run(*tasks: Task, runner: Runner | None = None, **settings: Any) -> Ended:
    wanted = run_config(agent=runner or Whole(), tasks=tasks, **settings)
    return asyncio.run(asyncio.wait_for(execute(wanted), 30))


def test_what_it_says_is_the_row() -> None:
    ended = run(ask(0), ask(1, calls=True), repeats=2)
    assert ended.statuses() == ["truncated"] * 4
    one, _, other, _ = sorted(ended.rollouts, key=lambda rollout: rollout.key)
    assert (one.reward, one.stop_reason, dict(one.info)) == (1.0, "max_turns", {"n": 0})
    assert one.usage.input_tokens == 10
    assert other.usage.input_tokens == 20  # of the calls, where they are known
    assert len(other.model_calls) == 2
    assert one.row["rollout"]["model"] == "theirs"
    assert one.row["rollout"]["env"] is None
    assert ended.summary["usage"]["input_tokens"] == 60
    assert ended.summary["reward"]["mean"] == 1.0


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        ("setup", "env_error"),
        ("tool", "env_error"),
        ("verify", "verifier_error"),
        ("model", "model_error"),
        ("agent", "agent_error"),
        ("elsewhere", "agent_error"),
        (None, "agent_error"),
        (float("nan"), "verifier_error"),
    ],
)
def test_its_failures_are_those_of_their_owner(wanted: Any, status: str) -> None:
    assert run(ask(wanted=wanted)).statuses() == [status]


def test_it_is_given_nothing_that_it_brings() -> None:
    with pytest.raises(UsageError, match="brings its own environment: --env means nothing to it"):
        run(ask(), env=Bare())
    with pytest.raises(UsageError, match="brings its own model: --model means nothing to it"):
        run(ask(), models={"judge": ScriptedModel("yes")})
    with pytest.raises(UsageError, match="can be counted but not limited"):
        run(ask(), max_tokens=5)


def test_what_it_asks_of_the_run_must_be_there() -> None:
    models = {"policy": ScriptedModel("so")}
    with pytest.raises(UsageError, match="asks a `judge` model, which the run lacks"):
        run(ask(), runner=Lent(), models=models, env=Bare())
    with pytest.raises(UsageError, match="a run needs an environment"):
        run(ask(), runner=Lent(), models={**models, "judge": ScriptedModel("yes")})


def test_calls_of_the_models_of_the_run_are_recorded_and_paid_for() -> None:
    models = {"policy": ScriptedModel("so"), "judge": ScriptedModel("yes")}
    ended = run(ask(0), ask(1), runner=Lent(), models=models, env=Bare())
    assert ended.statuses() == ["completed"] * 2
    rollout = ended.rollouts[0]
    assert (rollout.reward, dict(rollout.info)) == (1.0, {"server": "Bare"})
    assert [call["role"] for call in rollout.model_calls] == ["policy", "judge"]
    assert rollout.usage.input_tokens == 20
    assert rollout.row["rollout"]["model"] == models["policy"].model_id
    spent = run(ask(0), ask(1), runner=Lent(), models=models, env=Bare(), max_tokens=1)
    assert set(spent.statuses()) == {"cancelled"}


def test_it_has_actors_of_its_own() -> None:
    class Arguing(Runner):
        async def run(self, task: Task, context: RunnerContext) -> CompletedTask:
            for name in ("one", "other"):
                await context.actor(name).respond([user_message("What?")], temperature=0.5)
            with pytest.raises(UsageError, match="cannot be called 'policy'"):
                context.actor("policy")
            with pytest.raises(UsageError, match="the runner asks for a `judge` model"):
                context.actor("third", "judge")
            with pytest.raises(UsageError, match="carried out by the session or runner"):
                await context.actor("one", "policy").call_tools([])
            return CompletedTask(Verdict(1.0), "completed")

    ended = run(ask(), runner=Arguing(), models={"policy": ScriptedModel("so", "no")}, env=Bare())
    assert [call["actor"] for call in ended.rollouts[0].model_calls] == ["one", "other"]


@pytest.mark.parametrize(
    ("error", "status"), [(AuthenticationError("no"), "cancelled"), (BadRequestError("no"), "completed")]
)
def test_an_error_of_a_model_that_hits_every_rollout_is_not_to_be_caught(error: ModelError, status: str) -> None:
    class Careless(Runner):
        async def run(self, task: Task, context: RunnerContext) -> CompletedTask:
            with suppress(ModelError):
                await context.models["policy"].respond("What?")
            return CompletedTask(Verdict(1.0), "completed")

    assert run(ask(), runner=Careless(), models={"policy": ScriptedModel(error)}, env=Bare()).statuses() == [status]


def test_what_is_no_completed_task_is_an_error_that_says_what_is() -> None:
    class Wrong(Whole):
        async def run(self, task: Task, context: RunnerContext) -> Any:
            return 1.0

    (rollout,) = run(ask(), runner=Wrong()).rollouts
    assert rollout.status == "agent_error"
    assert "the runner returned 1.0 and no CompletedTask" in (rollout.error or {})["message"]


def test_one_that_brings_its_environment_has_none_of_the_run() -> None:
    class Asks(Whole):
        async def run(self, task: Task, context: RunnerContext) -> CompletedTask:
            return CompletedTask(Verdict(1.0, info={"x": str(context.server)}), "completed")

    (rollout,) = run(ask(), runner=Asks()).rollouts
    assert "this run has no environment" in (rollout.error or {})["message"]


def test_an_environment_may_prefer_a_runner(isolated_plugins: IsolatedPlugins) -> None:
    site = isolated_plugins.alone()
    site.add("gym-lent", PLUGIN, group="gym.runners", name="lent")

    class Prefers(Bare):
        preferred_agent = "lent"

    wanted = run_config(models={"policy": ScriptedModel("so")}, env=Prefers(), tasks=[ask()])
    ended = asyncio.run(asyncio.wait_for(execute(wanted), 30))
    assert ended.statuses() == ["completed"]
    assert ended.rollouts[0].row["rollout"]["agent"] == "lent"


PLUGIN = """
from gym_core import CompletedTask, Runner, Verdict, hookimpl


class Lent(Runner):
    async def run(self, task, context):
        await context.models["policy"].respond("What?")
        return CompletedTask(Verdict(1.0), "completed")


@hookimpl(contract=1)
def gym_runners():
    return {"lent": Lent}
"""
