"""The runner of an environment that is served: it works there, with the models of the run."""

from __future__ import annotations

from typing import Any

import httpx

import gym_core
from gym_core import CompletedTask, Rollout, Runner, RunnerContext, Task, Verdict
from gym_http.protocol.wire import task_to_wire
from tests.support.envs import PlainSession, env
from tests.support.models import ScriptedModel
from tests.support.served_envs import in_loop, served


class Judges(Runner):
    """Asks the policy, and a judge about what it said."""

    async def run(self, task: Task, context: RunnerContext) -> CompletedTask:
        said = (await context.models["policy"].respond("Go.")).output_text
        async with context.endpoint("judge") as endpoint:
            assert endpoint.base_url
        judged = await context.models["judge"].respond(said)
        return CompletedTask(Verdict(float(judged.output_text), info={"said": said}), "completed")


def collected(**models: Any) -> Rollout:
    async def collect() -> Rollout:
        async with served(env(PlainSession), runner=Judges()) as url:
            (rollout,) = [one async for one in gym_core.collect(model=models, env=url, limit=1)]
            return rollout

    return in_loop(collect)


def test_all_models_of_the_run_are_offered_to_it() -> None:
    rollout = collected(policy=ScriptedModel("well"), judge=ScriptedModel("0.5", role="judge"))
    assert (rollout.reward, rollout.info["said"]) == (0.5, "well")
    assert [call["role"] for call in rollout.model_calls] == ["policy", "judge"]


def test_one_that_the_run_lacks_is_named() -> None:
    rollout = collected(policy=ScriptedModel("well"))
    assert rollout.reward is None
    assert "`judge` model" in str(rollout.error)


def test_its_options_are_those_of_its_server() -> None:
    async def ask() -> httpx.Response:
        async with served(env(PlainSession), runner=Judges()) as url, httpx.AsyncClient() as client:
            body = {"task": task_to_wire(Task.ask("Go.", task_id="t")), "options": {"strict": True}}
            return await client.post(f"{url}/v1/complete", json=body)

    answer = in_loop(ask)
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "options")
