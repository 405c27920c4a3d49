"""Whole runs: who stops whom, what is counted, and what `collect` yields."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import gym_core
from gym_core import Rollout, Status, UsageError, tool
from gym_core.domain import errors
from gym_core.errors import AuthenticationError, BadRequestError
from gym_core.spi import open_run, run_config
from tests.support.agents import LoopAgent
from tests.support.envs import PlainSession, ask, env
from tests.support.loop import asynchronous, settle
from tests.support.models import ScriptedModel, call
from tests.support.running import config, execute, read_jsonl, run


def failing(*numbers: int, error: Exception | None = None) -> ScriptedModel:
    """A model that refuses the tasks of these numbers."""

    def answer(request: Any, context: Any) -> Any:
        bad = context.key[0] in {f"t{number}" for number in numbers}
        return (error or BadRequestError(f"refused {context.key[0]}", status=400)) if bad else "done"

    return ScriptedModel(answer)


def test_every_task_and_repeat_ends_once() -> None:
    ended = run(None, env(tasks=5), repeats=3, concurrency=4)
    assert sorted(rollout.key for rollout in ended.rollouts) == [(f"t{n}", r) for n in range(5) for r in range(3)]
    assert ended.summary["state"] == "finished"
    assert ended.error is None


@pytest.mark.parametrize(("limit", "keys"), [(0, 0), (2, 4), (99, 6), (None, 6)])
def test_the_limit_counts_tasks(limit: int | None, keys: int) -> None:
    ended = run(None, env(tasks=3), repeats=2, limit=limit)
    assert len(ended.rollouts) == keys
    assert ended.summary["rollouts"]["with_verdict"] == keys


def test_no_more_rollouts_than_asked_for_run_at_once() -> None:
    at_once: list[int] = []
    under_way: set[str] = set()

    class Watching(PlainSession):
        async def setup(self) -> None:
            under_way.add(self.task.task_id)
            await settle(5)
            at_once.append(len(under_way))

        def close(self) -> None:
            under_way.discard(self.task.task_id)

    run(None, env(Watching, 20), concurrency=4)
    assert max(at_once) == 4


def test_requests_at_once_are_capped_by_the_backend() -> None:
    under_way, at_once = 0, []

    async def answer(request: Any, context: Any) -> Any:
        nonlocal under_way
        under_way += 1
        at_once.append(under_way)
        await settle(3)
        under_way -= 1
        return "done"

    ended = run(ScriptedModel(answer, inflight=3), env(tasks=20), concurrency=20)
    assert max(at_once) == 3
    assert len(ended.rollouts) == 20


def test_one_failed_rollout_does_not_stop_the_others() -> None:
    ended = run(failing(1), env(tasks=4), concurrency=1)
    assert sorted(ended.statuses()) == ["completed"] * 3 + ["model_error"]
    assert ended.summary["state"] == "finished"
    assert ended.summary["rollouts"]["failed"] == 1


def deep(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "poison",
    [{"x": object()}, {"n": 10**5000}, {"d": deep(20_000)}, {"d": deep(1100)}],
    ids=["object", "longest int", "deepest", "deep"],
)
@pytest.mark.parametrize("where", ["setup", "row"])
def test_a_row_that_cannot_be_written_is_one_failure_and_not_the_end(poison: Any, where: str, tmp_path: Path) -> None:
    class Opening(PlainSession):
        def setup(self) -> Any:
            bad = self.task["bad"] and where == "setup"
            return [{"type": "message", "role": "user", "content": "x", "extra": poison}] if bad else []

    odd = {"x": poison} if where == "row" else {}
    tasks = [ask(0, bad=False), ask(1, bad=True, **odd), ask(2, bad=False)]
    ended = run(None, env(Opening, tasks), concurrency=1, output=tmp_path / "x.jsonl")
    assert ended.error is None
    assert [rollout.status.has_verdict for rollout in ended.rollouts] == [True, False, True]


def test_a_tool_that_answers_with_half_a_character_is_one_failure(tmp_path: Path) -> None:
    """As `os.fsdecode` of an odd file name is."""

    class Listing(PlainSession):
        @tool
        def names(self) -> str:
            """Names."""
            return "\ud800" if self.task["odd"] else "name"

    tasks = [ask(number, odd=number == 1) for number in range(3)]
    model = ScriptedModel(call("names"), "done")
    ended = run(model, env(Listing, tasks), concurrency=1, output=tmp_path / "x.jsonl")
    assert ended.error is None
    assert [rollout.task_id for rollout in ended.rollouts] == ["t0", "t1", "t2"]
    assert ended.rollouts[2].reward == 1.0
    written = read_jsonl(tmp_path / "x.jsonl") + read_jsonl(tmp_path / "x.failures.jsonl")
    assert sorted(row["task_id"] for row in written) == ["t0", "t1", "t2"]


def test_tasks_can_come_from_python() -> None:
    ended = run(None, env(tasks=9), tasks=[ask(3).row, ask(4)])
    assert [rollout.task_id for rollout in ended.rollouts] == ["t3", "t4"]


def test_tasks_can_come_from_an_endless_generator() -> None:
    def endless() -> Any:
        number = 0
        while True:
            yield ask(number)
            number += 1

    assert len(run(None, tasks=endless(), limit=5).rollouts) == 5


def test_tasks_can_come_from_an_asynchronous_generator() -> None:
    async def some() -> Any:
        for number in range(4):
            await asyncio.sleep(0)
            yield ask(number)

    ended = run(None, tasks=some(), concurrency=3)
    assert sorted(rollout.task_id for rollout in ended.rollouts) == ["t0", "t1", "t2", "t3"]


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        ([{"question": "x"}], "responses_create_params"),
        ([3], "JSON object"),
        ([gym_core.Task(ask(1).row, task_id="same"), gym_core.Task(ask(2).row, task_id="same")], "same"),
    ],
    ids=["no request", "no object", "given the same id"],
)
def test_wrong_tasks_are_refused_before_any_call(tasks: Any, words: str) -> None:
    model = ScriptedModel()
    with pytest.raises(UsageError, match=words):
        run(model, tasks=tasks)
    assert model.requests == []


def test_the_id_that_a_task_was_given_is_kept() -> None:
    row = {"responses_create_params": {"input": "a"}}
    ended = run(tasks=[gym_core.Task(row, task_id=name) for name in ("0", "b")], concurrency=1)
    assert [rollout.task_id for rollout in ended.rollouts] == ["0", "b"]


def test_an_environment_whose_tasks_cannot_be_listed_is_named() -> None:
    def broken() -> Any:
        yield ask(0)
        raise OSError("no such file")

    with pytest.raises(gym_core.errors.PluginError, match=r"tiny.*no such file"):
        run(None, env(tasks=broken()))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"repeats": 0}, "repeats"),
        ({"concurrency": 0}, "concurrency"),
        ({"limit": -1}, "limit"),
        ({"mode": "resume"}, "resume"),
        ({"mode": "resum", "output": "x.jsonl"}, "resum"),
        ({"seed": "one"}, "seed"),
        ({"input": "x.jsonl", "tasks": []}, "not both"),
        ({"output": "x.txt"}, r"\.jsonl"),
        ({"input": "missing.jsonl"}, "missing.jsonl"),
    ],
)
def test_a_wrong_configuration_says_what_is_wrong(settings: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        run(**settings)


@pytest.mark.parametrize(
    ("model", "server"),
    [(ScriptedModel, env()), (None, env()), (ScriptedModel(), None), (ScriptedModel(), PlainSession)],
)
def test_a_component_that_is_none_is_a_usage_error(model: Any, server: Any) -> None:
    with pytest.raises(UsageError):
        asyncio.run(execute(run_config(models={"policy": model}, env=server, agent=LoopAgent())))


def test_a_run_needs_a_policy() -> None:
    with pytest.raises(UsageError, match="needs a model"):
        asyncio.run(execute(run_config(models={"judge": ScriptedModel()}, env=env(), agent=LoopAgent())))


def test_components_are_opened_and_closed_around_the_run() -> None:
    events: list[str] = []

    def watched(base: Any, name: str) -> Any:
        class Watched(base):  # type: ignore[misc]  # the base is an argument
            async def __aenter__(self) -> Any:
                events.append(f"open {name}")
                return self

            async def __aexit__(self, *exc: object) -> None:
                events.append(f"close {name}")

        return Watched

    class Server(gym_core.ResourceServer):
        session_type = PlainSession

        def tasks(self) -> Any:
            events.append("tasks")
            return [ask()]

    run(watched(ScriptedModel, "model")(), watched(Server, "env")(), watched(LoopAgent, "agent")())
    assert events == ["open model", "open env", "open agent", "tasks", "close agent", "close env", "close model"]


def test_a_component_that_cannot_start_is_named_and_the_others_are_closed() -> None:
    closed: list[str] = []

    class Model(ScriptedModel):
        async def __aexit__(self, *exc: object) -> None:
            closed.append("model")

    class Agent(LoopAgent):
        async def __aenter__(self) -> Any:
            raise OSError("no room")

    with pytest.raises(gym_core.errors.PluginError, match=r"Agent.*agent could not start.*no room"):
        run(Model(), agent=Agent())
    assert closed == ["model"]


@pytest.mark.parametrize("error", [AuthenticationError("bad key"), errors.ConnectionFailedError("refused")])
def test_a_first_look_that_fails_refuses_the_run(error: Exception, tmp_path: Path) -> None:
    class Checked(ScriptedModel):
        async def check(self) -> Any:
            raise error

    with pytest.raises(UsageError, match=str(error)):
        run(Checked(), output=tmp_path / "x.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_what_a_first_look_warns_of_is_a_notice() -> None:
    class Checked(ScriptedModel):
        async def check(self) -> Any:
            return ["the context is short"]

    assert run({"policy": Checked(), "judge": Checked()}).notices == [
        "the context is short",
        "judge: the context is short",
    ]


def test_a_first_look_that_hangs_is_a_notice() -> None:
    class Checked(ScriptedModel):
        async def check(self) -> Any:
            await asyncio.Event().wait()

    from gym_core.spi import Deadlines

    ended = run(Checked(), deadlines=Deadlines(setup=0.05))
    assert "did not answer" in ended.notices[0]
    assert ended.statuses() == ["completed"]


@asynchronous
async def test_a_run_that_is_stopped_records_what_is_under_way() -> None:
    async def hang(request: Any, context: Any) -> Any:
        await asyncio.Event().wait()

    rollouts: list[Rollout] = []
    async with open_run(config(ScriptedModel(hang), env(tasks=10), concurrency=3)) as run:
        executing = asyncio.create_task(run.execute(rollouts.append))
        await settle(50)
        assert run.progress.in_flight == 3
        run.stop("enough")
        summary = await executing
    assert [rollout.status for rollout in rollouts] == [Status.CANCELLED] * 3
    assert rollouts[0].error is not None
    assert rollouts[0].error["message"] == "enough"
    assert (summary["state"], summary["message"]) == ("interrupted", "enough")
    assert summary["rollouts"]["cancelled"] == 3
    assert run.error is None


@asynchronous
async def test_a_session_that_is_being_closed_when_the_run_stops_is_closed_to_the_end() -> None:
    closing, closed = asyncio.Event(), []

    class Slow(PlainSession):
        async def close(self) -> None:
            closing.set()
            await settle(20)
            closed.append(self.task.task_id)

    async with open_run(config(None, env(Slow))) as run:
        executing = asyncio.create_task(run.execute())
        await closing.wait()
        run.stop("enough")
        await executing
    assert closed == ["t0"]


@asynchronous
async def test_a_session_whose_rollout_is_cancelled_is_closed_to_the_end() -> None:
    closed: list[str] = []

    class Slow(PlainSession):
        async def close(self) -> None:
            await settle(20)
            closed.append(self.task.task_id)

    async def hang(request: Any, context: Any) -> Any:
        await asyncio.Event().wait()

    async with open_run(config(ScriptedModel(hang), env(Slow, 3))) as run:
        executing = asyncio.create_task(run.execute())
        await settle(50)
        run.stop("enough")
        await executing
    assert sorted(closed) == ["t0", "t1", "t2"]
