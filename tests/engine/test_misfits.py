"""A row that does not fit an environment is the row's fault, and its failure names the field."""

from __future__ import annotations

import asyncio
import os
import pickle
from typing import Any

import pytest

from gym_core import ComponentContext, ResourceServer, Session, Task, errors
from tests.serve.environments import serving
from tests.serve.serving import served_agent
from tests.support.envs import PlainSession, env, row
from tests.support.loop import asynchronous
from tests.support.running import config, execute, run
from tests.support.served_envs import served


class InInit(PlainSession):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.start = self.task["start"]


class InSetup(PlainSession):
    def setup(self) -> None:
        self.start = self.task["start"]


class Directly(PlainSession):
    async def setup(self) -> None:
        await asyncio.sleep(0)
        self.start = self.task.row["start"]


class WithoutACause(PlainSession):
    def setup(self) -> None:
        start = dict(self.task).pop("start")
        raise AssertionError(start)


class InVerify(PlainSession):
    def verify(self, trajectory: Any) -> float:
        return float(self.task["start"])


class Opening(ResourceServer):
    """Reads the row before there is a session."""

    session_type = PlainSession

    def tasks(self) -> Any:
        return [row()]

    def open_session(self, task: Task, context: Any) -> Any:
        assert task["start"] is not None
        return super().open_session(task, context)


def opening() -> ResourceServer:
    return Opening(None, ComponentContext(name="tiny"))


SERVERS = {
    kind.__name__: (lambda kind=kind: env(kind, [row()]))
    for kind in (InInit, InSetup, Directly, WithoutACause, InVerify)
} | {"open_session": opening}
every_seam = pytest.mark.parametrize("make", SERVERS.values(), ids=SERVERS)


def named(error: Any) -> None:
    assert error["field"] == "start"
    assert error["message"].startswith("`start` is missing")
    assert error["class"] in ("MissingField", "FieldError")
    assert error["retryable"] is False


@every_seam
def test_in_a_run(make: Any) -> None:
    (rollout,) = run(None, make()).rollouts
    assert rollout.reward is None
    named(rollout.error)


@every_seam
@asynchronous
async def test_in_a_run_with_the_environment_elsewhere(make: Any) -> None:
    async with served(make()) as url:
        (rollout,) = (await execute(config(None, url))).rollouts
    named(rollout.error)


@every_seam
@asynchronous
async def test_served_with_an_agent(make: Any) -> None:
    async with served_agent(server=make()) as server:
        status, body = await server.post("/run", row())
    assert status == 422
    named(body["error"])
    assert body["row"]["reward"] is None


@every_seam
@asynchronous
async def test_served_alone(make: Any) -> None:
    async with serving(make()) as server:
        seeded = await server.ask("POST", "/seed_session", row())
    if make is SERVERS["InVerify"]:
        assert seeded.status == 200
        return
    assert (seeded.status, seeded.error["field"]) == (422, "start")


def test_what_a_task_has_not_reads_as_a_mapping_does() -> None:
    task = Task(row())
    assert task.get("start") is None
    assert "start" not in task
    with pytest.raises(KeyError):
        task["start"]
    with pytest.raises(errors.FieldError) as caught:
        task["start"]
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.field, again.message) == ("start", caught.value.message)


class Buggy(PlainSession):
    def setup(self) -> None:
        cache: dict[Any, Any] = {}
        cache[self.task.task_id, 1]


class Session7(Session[Any]):
    def setup(self) -> None:
        nothing: dict[str, Any] = {}
        nothing["responses_create_params"]

    def verify(self, trajectory: Any) -> float:
        return 1.0


class Variable(PlainSession):
    def setup(self) -> None:
        os.environ["NO_SUCH_VARIABLE"]


class Table(PlainSession):
    def setup(self) -> None:
        {"Paris": 1}[self.task["city"]]


class Tables(PlainSession):
    def setup(self) -> None:
        [{"Paris": 1}[city] for city in self.task["cities"]]


@pytest.mark.parametrize("session", [Buggy, Session7, Variable, Table, Tables])
def test_a_key_that_is_no_field_of_the_row_is_the_environments_own(session: Any) -> None:
    (rollout,) = run(None, env(session, [row(city="Rome", cities=["Paris", "Rome"])])).rollouts
    assert rollout.error is not None
    assert rollout.error["class"] == "KeyError"
