"""The runner of an environment that is served: it works there, with the models of the run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest

import gym_core
from gym_core import CompletedTask, Rollout, Runner, RunnerContext, Task, UsageError, Verdict
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


class Says(Runner):
    """Says which it is."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    async def run(self, task: Task, context: RunnerContext) -> CompletedTask:
        return CompletedTask(Verdict(1.0, info={"name": self.name}), "completed")


class Opener:
    """Opens runners, and notes what was opened and closed, and whether in one task. `failures`: so many fail first."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.opened: list[str] = []
        self.closed: list[str] = []

    @asynccontextmanager
    async def __call__(self, options: Mapping[str, Any]) -> AsyncIterator[Runner]:
        self.opened.append(options["name"])
        if len(self.opened) <= self.failures:
            raise UsageError("it has no key yet", hint="export KEY")
        with anyio.CancelScope():  # which fails where it is left in another task
            yield Says(options["name"])
        self.closed.append(options["name"])


def asked(opener: Opener, *names: str) -> list[httpx.Response]:
    """The answers to tasks that want runners of these names, one after the other."""

    async def ask() -> list[httpx.Response]:
        server = served(env(PlainSession), runner=Says("first"), open_runner=opener)
        async with server as url, httpx.AsyncClient(base_url=url) as client:
            task = task_to_wire(Task.ask("Go.", task_id="t"))
            bodies = [{"task": task, "options": {"name": name} if name else {}} for name in names]
            return [await client.post("/v1/complete", json=body) for body in bodies]

    return in_loop(ask)


def test_one_with_other_options_is_opened_once_and_closed_at_the_end() -> None:
    opener = Opener()
    answers = asked(opener, "", "a", "b", "a", "")
    assert [answer.json()["verdict"]["info"]["name"] for answer in answers] == ["first", "a", "b", "a", "first"]
    assert (opener.opened, sorted(opener.closed)) == (["a", "b"], ["a", "b"])


def test_one_that_could_not_be_opened_is_tried_again() -> None:
    opener = Opener(failures=2)
    answers = asked(opener, "a", "a", "a", "a")
    assert [answer.status_code for answer in answers] == [422, 422, 200, 200]
    said = answers[0].json()["error"]
    assert (said["message"], said["field"], said["hint"]) == ("it has no key yet", "options", "export KEY")
    assert (opener.opened, opener.closed) == (["a"] * 3, ["a"])


def test_those_that_nobody_asks_for_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gym_http.serve.kept_runners._KEPT", 2)
    opener = Opener()
    asked(opener, "a", "b", "a", "c", "b", "a")
    assert opener.opened == ["a", "b", "c", "b", "a"]  # the one that was used last stays
    assert sorted(opener.closed) == sorted(opener.opened)
