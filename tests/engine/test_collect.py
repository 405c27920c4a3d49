"""`gym_core.collect`: a run from Python."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest

import gym_core
from gym_core import Rollout, Session, Status, Trajectory, UsageError
from gym_core.errors import AuthenticationError, BadRequestError
from tests.support.agents import LoopAgent
from tests.support.envs import PlainSession, env
from tests.support.loop import asynchronous, settle
from tests.support.models import ScriptedModel
from tests.support.running import collect, read_jsonl


def failing(*numbers: int, error: Exception | None = None) -> ScriptedModel:
    """A model that refuses the tasks of these numbers."""

    def answer(request: Any, context: Any) -> Any:
        bad = context.key[0] in {f"t{number}" for number in numbers}
        return (error or BadRequestError(f"refused {context.key[0]}", status=400)) if bad else "done"

    return ScriptedModel(answer)


def test_it_yields_every_rollout_failures_among_them() -> None:
    statuses = [rollout.status.value for rollout in collect(failing(1), env(tasks=3))]
    assert sorted(statuses) == ["completed", "completed", "model_error"]


@asynchronous
async def test_it_yields_while_others_run() -> None:
    release = asyncio.Event()

    async def answer(request: Any, context: Any) -> Any:
        if context.key[0] == "t1":
            await release.wait()
        return "done"

    stream = gym_core.collect(model=ScriptedModel(answer), env=env(tasks=2), agent=LoopAgent())
    first = await anext(stream)
    assert first.task_id == "t0"
    release.set()
    assert [rollout.task_id async for rollout in stream] == ["t1"]


@asynchronous
async def test_leaving_early_cancels_what_is_under_way_and_closes_the_sessions() -> None:
    closed: list[str] = []

    class Closing(PlainSession):
        def close(self) -> None:
            closed.append(self.task.task_id)

    async def answer(request: Any, context: Any) -> Any:
        if context.key[0] != "t0":
            await asyncio.Event().wait()
        return "done"

    model = ScriptedModel(answer)
    stream = gym_core.collect(model=model, env=env(Closing, 50), agent=LoopAgent(), concurrency=4)
    async for rollout in stream:
        assert rollout.task_id == "t0"
        break
    await stream.aclose()
    assert len(model.requests) <= 6
    assert len(closed) == len(model.requests)


@asynchronous
async def test_a_slow_reader_slows_the_run_down() -> None:
    model = ScriptedModel()
    stream = gym_core.collect(model=model, env=env(tasks=5000), agent=LoopAgent(), concurrency=2)
    await anext(stream)
    for _ in range(2000):
        await asyncio.sleep(0)
    assert len(model.requests) < 5000
    await stream.aclose()


@asynchronous
async def test_it_raises_what_stopped_the_run_after_the_last_rollout() -> None:
    seen: list[Rollout] = []
    stream = gym_core.collect(model=ScriptedModel(AuthenticationError("bad key")), env=env(), agent=LoopAgent())
    seen.append(await anext(stream))
    with pytest.raises(AuthenticationError, match="bad key"):
        await anext(stream)
    assert {rollout.status for rollout in seen} == {Status.CANCELLED}


@asynchronous
async def test_it_refuses_before_the_first_rollout() -> None:
    with pytest.raises(UsageError, match="nope"):
        await anext(gym_core.collect(model="nope", env=env()))


def test_it_takes_models_by_role() -> None:
    class Judged(Session[Any]):
        roles = ("judge",)

        async def verify(self, trajectory: Trajectory) -> float:
            return float((await self.models["judge"].respond("?")).output_text)

    models = {"policy": ScriptedModel(), "judge": ScriptedModel("0.25")}
    assert [rollout.reward for rollout in collect(models, env(Judged))] == [0.25]


def test_with_an_output_every_rollout_is_on_disk_before_it_is_yielded(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"

    async def main() -> None:
        many = 0
        async for _ in gym_core.collect(model=ScriptedModel(), env=env(tasks=5), agent=LoopAgent(), output=path):
            many += 1
            assert len(path.read_bytes().splitlines()) >= many

    asyncio.run(main())


def test_what_was_left_early_can_be_resumed(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"

    async def main() -> None:
        stream = gym_core.collect(
            model=ScriptedModel(), env=env(tasks=30), agent=LoopAgent(), output=path, concurrency=3
        )
        async for _ in stream:
            break
        await stream.aclose()

    asyncio.run(main())
    assert 1 <= len(read_jsonl(path)) < 30
    again = collect(None, env(tasks=30), output=path, mode="resume")
    assert sorted(row["task_id"] for row in read_jsonl(path)) == sorted(f"t{number}" for number in range(30))
    assert len(again) < 30


@asynchronous
async def test_a_reader_that_is_cancelled_leaves_no_session_open() -> None:
    opened: set[str] = set()

    class Counting(PlainSession):
        def setup(self) -> None:
            opened.add(self.task.task_id)

        def close(self) -> None:
            opened.discard(self.task.task_id)

    async def hang(request: Any, context: Any) -> Any:
        await asyncio.Event().wait()

    async def read() -> None:
        async for _ in gym_core.collect(model=ScriptedModel(hang), env=env(Counting, 5), agent=LoopAgent()):
            pass

    reading = asyncio.create_task(read())
    await settle(100)
    assert len(opened) == 5
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert opened == set()


@asynchronous
async def test_two_runs_at_once_do_not_mix() -> None:
    async def read(name: str) -> list[str]:
        stream = gym_core.collect(model=ScriptedModel(name), env=env(tasks=20), agent=LoopAgent(), concurrency=4)
        return [rollout.response.output_text async for rollout in stream]

    first, second = await asyncio.gather(read("a"), read("b"))
    assert (first, second) == (["a"] * 20, ["b"] * 20)


@asynchronous
async def test_the_garbage_collector_is_as_it_was_after_the_last_of_several_runs() -> None:
    usual, seen = gc.get_threshold(), []

    def answer(request: Any, context: Any) -> str:
        seen.append(gc.get_threshold()[0])
        return "done"

    gc.set_threshold(700, 10, 10)
    try:
        one = gym_core.collect(model=ScriptedModel(answer), env=env(tasks=2), agent=LoopAgent(), concurrency=1)
        other = gym_core.collect(model=ScriptedModel(answer), env=env(tasks=2), agent=LoopAgent(), concurrency=1)
        await anext(one)
        await anext(other)
        assert len([rollout async for rollout in one]) == 1
        assert len([rollout async for rollout in other]) == 1
        assert min(seen) > 700
        assert gc.get_threshold() == (700, 10, 10)
    finally:
        gc.set_threshold(*usual)
