"""`gym_core.open`: tasks, rollouts and groups as they are asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

import gym_core
from gym_core import (
    CompletedTask,
    Deadlines,
    Group,
    ResourceServer,
    Rollout,
    Runner,
    RunnerContext,
    Session,
    Status,
    Task,
    Trajectory,
    UsageError,
    Verdict,
)
from gym_core.errors import (
    AuthenticationError,
    BadRequestError,
    BrokenReplyError,
    BudgetExceeded,
    InputError,
    PluginError,
    StoreError,
)
from tests.support.agents import LoopAgent
from tests.support.envs import PlainSession, ask, env, row
from tests.support.loop import asynchronous, settle
from tests.support.models import ScriptedModel
from tests.support.running import read_jsonl
from tests.support.tokens import TokenModel
from tests.support.work import LINEAR, growth


def opened(model: Any = None, server: ResourceServer | None = None, **settings: Any) -> Any:
    """An open gym of test components."""
    settings = {"agent": LoopAgent(), "concurrency": 64, **settings}
    return gym_core.open(model=model or ScriptedModel(), env=server or env(tasks=10), **settings)


class Gate:
    """A model's answer that waits until it is let through."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.asked = 0
        self.cancelled = 0
        self.news = asyncio.Event()

    async def __call__(self, request: Any, context: Any) -> str:
        self.asked += 1
        self.news.set()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return "done"

    async def until(self, asked: int) -> None:
        """Wait until so many calls have come."""
        while self.asked < asked:
            self.news = asyncio.Event()
            await self.news.wait()


@asynchronous
async def test_many_that_are_asked_for_at_once_begin_a_few_at_a_time() -> None:
    gate = Gate()
    async with opened(ScriptedModel(gate)) as gym:
        task = await gym.task(0)
        going = [asyncio.create_task(gym.rollout(task)) for _ in range(40)]
        await asyncio.sleep(0)
        assert (gym.running, gym.waiting) == (16, 24)
        await gate.until(40)
        assert (gym.running, gym.waiting) == (40, 0)
        gate.open.set()
        assert keys(await asyncio.gather(*going)) == [("t0", repeat) for repeat in range(40)]


def keys(rollouts: Iterable[Rollout]) -> list[tuple[str, int]]:
    """Who they are."""
    return [(rollout.task_id, rollout.repeat) for rollout in rollouts]


def version_of(rollout: Rollout) -> Any:
    """The version of the weights in its one model call."""
    (call,) = rollout.model_calls
    return call["tokens"]["version"]


class TestTasks:
    @asynchronous
    async def test_they_are_found_by_index_and_named_as_a_run_names_them(self) -> None:
        tasks = [row(0), {**row(1), "task_id": "own"}, {**row(2)}]
        for each in (tasks[0], tasks[2]):
            del each["task_id"]
        async with opened(server=env(tasks=tasks)) as gym:
            assert [(await gym.task(index)).task_id for index in (2, 0, 1)] == ["3", "1", "own"]
            names = [
                rollout.task_id
                async for rollout in gym_core.collect(model=ScriptedModel(), env=env(tasks=tasks), agent=LoopAgent())
            ]
        assert sorted(names) == ["1", "3", "own"]

    @asynchronous
    async def test_they_may_be_gone_through_again(self) -> None:
        reads = 0

        class Once(ResourceServer):
            session_type = PlainSession

            def tasks(self) -> Iterable[Task]:
                nonlocal reads
                for number in range(5):
                    reads += 1
                    yield ask(number)

        async with gym_core.open(model=ScriptedModel(), env=Once(), agent=LoopAgent()) as gym:
            tasks = gym.tasks(1, 3)
            for _ in range(2):
                assert [task.task_id async for task in tasks] == ["t1", "t2", "t3"]
            assert reads == 4
            assert [task.task_id async for task in gym.tasks(3)] == ["t3", "t4"]
            assert [task.task_id async for task in gym.tasks(9)] == []

    @asynchronous
    async def test_there_may_be_no_end_to_them(self) -> None:
        async def forever() -> AsyncIterator[Task]:
            number = 0
            while True:
                yield ask(number)
                number += 1

        async with opened(tasks=forever()) as gym:
            assert (await gym.task(41)).task_id == "t41"

    @asynchronous
    async def test_of_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "tasks.jsonl"
        path.write_bytes(b"".join(orjson.dumps(row(number)) + b"\n" for number in range(300)))
        async with opened(input=path, limit=250) as gym:
            assert (await gym.task(249)).task_id == "t249"
            with pytest.raises(UsageError, match="has 250 tasks, and none at the index 250"):
                await gym.task(250)
            rollout = await gym.rollout(await gym.task(7))
            assert rollout.task_id == "t7"

    @pytest.mark.parametrize("index", [-1, 1.5, "3", True, None])
    @asynchronous
    async def test_other_indices_are_refused(self, index: Any) -> None:
        async with opened() as gym:
            with pytest.raises(UsageError, match="whole number of at least 0"):
                await gym.task(index)
            if index is not None:
                with pytest.raises(UsageError, match="whole number of at least 0"):
                    gym.tasks(0, index)

    @asynchronous
    async def test_a_broken_one_costs_itself_alone(self) -> None:
        rows = [row(0), {"no": "request"}, row(0), row(3)]
        async with opened(server=env(tasks=rows)) as gym:
            with pytest.raises(InputError, match=r"task 2: `responses_create_params` is missing"):
                await gym.task(1)
            with pytest.raises(InputError, match="stands on an earlier line already"):
                await gym.task(2)
            assert (await gym.rollout(await gym.task(3))).reward == 1.0
            groups = [group async for group in gym.groups(gym.tasks(), 2)]
        whole = sorted(group.task_id for group in groups if group.error is None)
        assert whole == ["t0", "t3"]
        messages = sorted(group.error["message"] for group in groups if group.error is not None)
        assert ["task 2" in messages[0], "task 3" in messages[1]] == [True, True]
        assert all(len(group) == 0 for group in groups if group.error is not None)

    @asynchronous
    async def test_broken_ones_may_be_left_out(self) -> None:
        async with opened(server=env(tasks=[row(0), 7, row(2)]), skip_invalid=True) as gym:
            assert [task.task_id async for task in gym.tasks()] == ["t0", "t2"]
        assert gym.summary["rollouts"]["skipped_rows"] == 1

    @asynchronous
    async def test_who_is_cancelled_while_one_is_read_ends_the_reading_for_nobody(self) -> None:
        gate = asyncio.Event()

        async def slow() -> AsyncIterator[Task]:
            for number in range(3):
                await gate.wait()
                yield ask(number)

        async with opened(tasks=slow()) as gym:
            first, second = (asyncio.create_task(gym.task(0)) for _ in range(2))
            await settle()
            first.cancel()
            await asyncio.wait([first])
            gate.set()
            assert (await second).task_id == "t0"
            assert [task.task_id async for task in gym.tasks()] == ["t0", "t1", "t2"]

    @asynchronous
    async def test_leaving_the_block_ends_the_wait_for_one(self) -> None:
        ended: list[str] = []

        async def never() -> AsyncIterator[Task]:
            try:
                await asyncio.Event().wait()
                yield ask(0)
            finally:
                ended.append("closed")

        async with opened(tasks=never()) as gym:
            waiting = asyncio.create_task(gym.task(0))
            await settle()
        assert ended == ["closed"]
        with pytest.raises(UsageError, match="none at the index 0"):
            await waiting

    @pytest.mark.parametrize("waits", [False, True])
    @asynchronous
    async def test_what_ends_their_reading_is_raised_to_whoever_asks(self, waits: bool) -> None:
        def broken() -> Iterable[Task]:
            yield ask(0)
            raise ZeroDivisionError("the loader")

        async def slowly() -> AsyncIterator[Task]:
            for task in broken():
                await asyncio.sleep(0)
                yield task

        async with opened(tasks=slowly() if waits else broken()) as gym:
            for _ in range(2):
                with pytest.raises(PluginError, match="its tasks cannot be listed: ZeroDivisionError: the loader"):
                    await gym.task(1)
                with pytest.raises(PluginError, match="the loader"):
                    async for _ in gym.groups(gym.tasks(), 2):
                        pass
            assert (await gym.task(0)).task_id == "t0"

    @asynchronous
    async def test_what_is_wrong_with_a_long_file_is_said_to_every_epoch(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gym_core.engine.tasks.source.CHECKED_WHOLE", 100)
        path = tmp_path / "tasks.jsonl"
        path.write_bytes(b"".join(orjson.dumps(row(number)) + b"\n" for number in range(100)) + b"{}\n")
        async with opened(input=path) as gym:
            for _ in range(2):
                groups = [group async for group in gym.groups(gym.tasks(), 1)]
                (bad,) = (group.error for group in groups if group.error is not None)
                assert f"{path}:101" in bad["message"]


class TestRollouts:
    @asynchronous
    async def test_the_same_task_any_number_of_times(self) -> None:
        async with opened() as gym:
            task = await gym.task(3)
            rollouts = [await gym.rollout(task) for _ in range(3)]
            group = await gym.group(task, 4)
            assert keys([*rollouts, *group]) == [("t3", number) for number in range(7)]
            assert len({rollout.row["rollout"]["seed"] for rollout in [*rollouts, *group]}) == 7
            assert gym.spent.rollouts == 7
            assert gym.spent.usage.total_tokens == 7 * 12

    @asynchronous
    async def test_of_rows_equal_ones_are_one_task(self) -> None:
        plain = {"responses_create_params": {"input": "Hi"}}
        async with opened() as gym:
            first, second = await gym.rollout(plain), await gym.rollout({**plain})
            other = await gym.rollout({"responses_create_params": {"input": "Ho"}})
            named = await gym.rollout(Task(plain, task_id="mine"))
            unnamed = await gym.rollout(Task.ask("Hi"))
        assert first.task_id == second.task_id != other.task_id
        assert (first.repeat, second.repeat, other.repeat) == (0, 1, 0)
        assert named.task_id == "mine"
        assert unnamed.task_id not in ("0", "")
        assert plain == {"responses_create_params": {"input": "Hi"}}

    @pytest.mark.parametrize(
        "bad", [7, None, "text", [], {}, {"responses_create_params": {}}, {**row(), "reward": 1.0}]
    )
    @asynchronous
    async def test_what_is_no_task_is_an_error_of_that_call(self, bad: Any) -> None:
        async with opened() as gym:
            with pytest.raises(InputError, match="this is no task"):
                await gym.rollout(bad)
            assert (await gym.rollout(row(1))).reward == 1.0

    @asynchronous
    async def test_sampling_goes_over_the_row_which_stays_as_it_is(self) -> None:
        model = ScriptedModel()
        task = Task.ask("Hi", params={"temperature": 0.5, "top_p": 0.9})
        async with opened(model) as gym:
            rollout = await gym.rollout(task, sampling={"temperature": 1.0, "extra": {"min_p": 0.1}})
            await gym.rollout(task)
        bodies = [
            {name: request.body.get(name) for name in ("temperature", "top_p", "min_p")} for request in model.requests
        ]
        assert bodies == [
            {"temperature": 1.0, "top_p": 0.9, "min_p": 0.1},
            {"temperature": 0.5, "top_p": 0.9, "min_p": None},
        ]
        assert rollout.row["responses_create_params"]["temperature"] == 0.5

    @asynchronous
    async def test_sampling_that_there_is_not_is_a_type_error(self) -> None:
        async with opened() as gym:
            with pytest.raises(TypeError, match="temprature"):
                await gym.rollout(row(), sampling={"temprature": 1.0})

    @asynchronous
    async def test_a_runner_is_asked_by_the_row_alone(self) -> None:
        class Answering(Runner):
            async def run(self, task: Task, context: RunnerContext) -> CompletedTask:
                await context.models["policy"].respond("?")
                return CompletedTask(Verdict(1.0), "completed")

        async with opened(agent=Answering()) as gym:
            assert (await gym.group(ask(), 2)).rewards == [1.0, 1.0]
            with pytest.raises(UsageError, match="`sampling` means nothing to it"):
                await gym.rollout(ask(), sampling={"temperature": 1.0})

    @asynchronous
    async def test_as_many_at_once_as_there_is_room_for_in_order(self) -> None:
        gate, started = Gate(), []

        async def answer(request: Any, context: Any) -> str:
            started.append(context.key)
            return await gate(request, context)

        async with opened(ScriptedModel(answer), concurrency=3) as gym:
            groups = [asyncio.create_task(gym.group(ask(number), 2)) for number in range(3)]
            await gate.until(3)
            await settle()
            assert (gym.running, gym.waiting) == (3, 3)
            gate.open.set()
            await asyncio.gather(*groups)
            assert (gym.running, gym.waiting) == (0, 0)
        assert started == [(f"t{number}", repeat) for number in range(3) for repeat in range(2)]

    @asynchronous
    async def test_one_that_is_cancelled_ends_with_its_session_and_its_model_call(self) -> None:
        closed: list[str] = []

        class Closing(PlainSession):
            def close(self) -> None:
                closed.append(self.task.task_id)

        gate = Gate()
        async with opened(ScriptedModel(gate), env(Closing, 4), concurrency=2) as gym:
            going = [asyncio.create_task(gym.rollout(await gym.task(number))) for number in range(3)]
            await gate.until(2)
            going[0].cancel()
            going[2].cancel()  # which waits for its turn
            with pytest.raises(asyncio.CancelledError):
                await going[0]
            assert (gate.cancelled, closed) == (1, ["t0"])
            gate.open.set()
            assert (await going[1]).reward == 1.0
            assert going[2].cancelled()
        assert gate.asked == 2

    @asynchronous
    async def test_a_group_that_is_cancelled_ends_whole_and_alone(self) -> None:
        gate = Gate()
        async with opened(ScriptedModel(gate)) as gym:
            first, second = (asyncio.create_task(gym.group(ask(number), 4)) for number in range(2))
            await gate.until(8)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            assert gate.cancelled == 4
            gate.open.set()
            assert [rollout.reward for rollout in await second] == [1.0] * 4

    @asynchronous
    async def test_leaving_the_block_ends_what_is_under_way(self) -> None:
        gate = Gate()
        async with opened(ScriptedModel(gate), concurrency=2) as gym:
            going = [asyncio.create_task(gym.group(ask(number), 2)) for number in range(2)]
            await gate.until(2)
        assert gate.cancelled == 2
        for group in await asyncio.gather(*going):
            assert {rollout.status for rollout in group} == {Status.CANCELLED}
            assert {(rollout.error or {})["message"] for rollout in group} == {"the gym was closed"}
        with pytest.raises(UsageError, match="the gym is closed"):
            await gym.rollout(ask())
        assert gym.summary["rollouts"]["cancelled"] == 4

    @asynchronous
    async def test_leaving_it_does_not_wait_for_code_that_ignores_its_end(self) -> None:
        class Stubborn(PlainSession):
            async def verify(self, trajectory: Trajectory) -> float:
                while True:
                    try:
                        await asyncio.sleep(60)
                    except asyncio.CancelledError:
                        continue

        async with opened(None, env(Stubborn)) as gym:
            going = asyncio.create_task(gym.rollout(ask()))
            await settle(50)
        assert (await going).status is Status.CANCELLED

    @asynchronous
    async def test_what_the_block_raises_passes(self) -> None:
        with pytest.raises(ZeroDivisionError):
            async with opened() as gym:
                raise ZeroDivisionError
        assert gym.summary["state"] == "interrupted"


class TestModels:
    @asynchronous
    async def test_another_one_for_one_rollout(self) -> None:
        own, other = ScriptedModel("own", name="own"), ScriptedModel("other", name="other")
        async with opened(own) as gym:
            texts = [
                (await gym.rollout(ask(), model=model)).response.output_text
                for model in (None, other, None, other, own)
            ]
            group = await gym.group(ask(), 2, model=other)
        assert texts == ["own", "other", "own", "other", "own"]
        assert {rollout.row["rollout"]["model"] for rollout in group} == {"other"}

    @asynchronous
    async def test_of_another_role(self) -> None:
        class Judged(Session[Any]):
            async def verify(self, trajectory: Trajectory) -> float:
                return float((await self.models["judge"].respond("?")).output_text)

        models = {"policy": ScriptedModel(), "judge": ScriptedModel("0.25")}
        async with opened(models, env(Judged)) as gym:
            assert (await gym.rollout(ask())).reward == 0.25
            assert (await gym.rollout(ask(), model={"judge": ScriptedModel("0.75")})).reward == 0.75
            with pytest.raises(UsageError, match="no model `critic` that another could stand in for"):
                await gym.rollout(ask(), model={"critic": ScriptedModel()})

    @pytest.mark.parametrize(
        ("override", "message"),
        [
            ({"model": "nope"}, "no model backend named 'nope'"),
            ({"model": 7}, "must be a reference or an instance of ModelBackend"),
            ({"model": ScriptedModel(), "model_options": {"x": 1}}, "options cannot be given for a component"),
        ],
    )
    @asynchronous
    async def test_one_that_cannot_be_is_an_error_of_that_call(self, override: Any, message: str) -> None:
        async with opened() as gym:
            with pytest.raises(UsageError, match=message):
                await gym.rollout(ask(), **override)
            assert (await gym.rollout(ask())).reward == 1.0

    @asynchronous
    async def test_one_that_is_refused_is_closed(self) -> None:
        class Refused(ScriptedModel):
            entered = left = 0

            async def __aenter__(self) -> Any:
                self.entered += 1
                return await super().__aenter__()

            async def __aexit__(self, *error: Any) -> None:
                self.left += 1

            async def check(self) -> Sequence[str]:
                raise AuthenticationError("bad key")

        model = Refused()
        async with opened() as gym:
            for number in range(2):
                with pytest.raises(UsageError, match="bad key"):
                    await gym.rollout(ask(), model=model)
                assert (model.entered, model.left) == (number + 1, number + 1)
            assert [*gym.summary] == []
        assert gym.summary["health"]["models"].keys() == {"policy"}

    @asynchronous
    async def test_one_without_a_price_is_refused_and_closed(self, tmp_path: Path) -> None:
        closed: list[str] = []

        class Closing(ScriptedModel):
            async def __aexit__(self, *error: Any) -> None:
                closed.append(self.describe().model_id)

        prices = tmp_path / "prices.toml"
        prices.write_text("[known]\ninput = 1\noutput = 1\n")
        async with opened(ScriptedModel(name="known"), prices=prices, max_cost=1.0) as gym:
            assert (await gym.rollout(ask(), model=Closing(name="known"))).reward == 1.0
            with pytest.raises(UsageError, match=r"there is none in .* known for the model `unknown`"):
                await gym.rollout(ask(), model=Closing(name="unknown"))
            assert closed == ["unknown"]
        assert closed == ["unknown", "known"]

    @asynchronous
    async def test_the_summary_counts_the_calls_of_all_by_role(self) -> None:
        def fails_once(request: Any, context: Any) -> Any:
            return BrokenReplyError("half") if len(other.requests) == 1 else "done"

        other = ScriptedModel(fails_once, name="other")
        async with opened(ScriptedModel(name="own")) as gym:
            await gym.group(ask(), 2)
            await gym.group(ask(), 3, model=other)
        assert gym.summary["rollouts"]["with_verdict"] == 5
        health = gym.summary["health"]["models"]
        assert health.keys() == {"policy"}
        assert (health["policy"]["calls"], health["policy"]["retries"]) == (5, 1)


class Ranked(PlainSession):
    """The reward is the number that the model says."""

    def verify(self, trajectory: Trajectory) -> float:
        return float(trajectory.output_text)


class Ranking(ResourceServer):
    """Scores groups: the share of the others that a rollout is better than."""

    session_type = Ranked

    def tasks(self) -> Iterable[Task]:
        return map(ask, range(10))

    def score_group(self, rollouts: Sequence[Rollout]) -> list[float]:
        ranked = sorted(rollout.reward or 0.0 for rollout in rollouts)
        return [ranked.index(rollout.reward or 0.0) / (len(ranked) - 1) for rollout in rollouts]


class TestGroups:
    @asynchronous
    async def test_they_are_scored_where_the_environment_does_that(self) -> None:
        async with opened(ScriptedModel(lambda request, context: str(context.key[1])), Ranking()) as gym:
            group = await gym.group(await gym.task(0), 3)
            assert group.rewards == [0.0, 0.5, 1.0]
            single = await gym.group(await gym.task(0), 1)
            assert single.verdicts == {}
            assert [rollout.reward for rollout in group] == [0.0, 1.0, 2.0]
        assert (gym.summary["groups"]["scored"], gym.summary["groups"]["failed"]) == (1, 0)

    @asynchronous
    async def test_leaving_the_block_ends_what_is_being_scored(self) -> None:
        began, ended = asyncio.Event(), asyncio.Event()

        class Slow(Ranking):
            async def score_group(self, rollouts: Sequence[Rollout]) -> list[float]:  # type: ignore[override]
                began.set()
                try:
                    await asyncio.sleep(60)
                finally:
                    ended.set()
                return []

        async with opened(ScriptedModel(lambda request, context: str(context.key[1])), Slow()) as gym:
            going = asyncio.create_task(gym.group(ask(), 2))
            await began.wait()
        assert ended.is_set()
        group = await going
        assert group.rewards == [0.0, 1.0]
        assert group.error == {
            "class": "Cancelled",
            "message": "the gym was closed",
            "phase": "score_group",
            "retryable": True,
        }
        assert gym.summary["groups"]["failed"] == 0

    def test_scores_are_handed_out_and_not_written_also_where_a_file_is_continued(self, tmp_path: Path) -> None:
        async def train(**settings: Any) -> Any:
            model = ScriptedModel(lambda request, context: str(context.key[1] % 3))
            async with opened(model, Ranking(), output=tmp_path / "x.jsonl", **settings) as gym:
                return (await gym.group(ask(), 3)).rewards

        assert asyncio.run(train()) == asyncio.run(train(mode="resume")) == [0.0, 0.5, 1.0]
        assert [each["rollout"]["repeat"] for each in read_jsonl(tmp_path / "x.jsonl")] == [*range(6)]
        assert not (tmp_path / "x.groups.jsonl").exists()

    @asynchronous
    async def test_they_come_as_they_are_whole(self) -> None:
        gate = Gate()

        async def answer(request: Any, context: Any) -> str:
            return await gate(request, context) if context.key == ("t0", 1) else "done"

        seen: list[str] = []
        async with opened(ScriptedModel(answer)) as gym:
            async for group in gym.groups(gym.tasks(0, 4), 2):
                assert keys(group) == [(group.task_id, 0), (group.task_id, 1)]
                seen.append(group.task_id)
                if len(seen) == 3:
                    gate.open.set()
        assert sorted(seen[:3]) == ["t1", "t2", "t3"]
        assert seen[3] == "t0"

    @asynchronous
    async def test_epochs_over_a_list(self) -> None:
        async with opened() as gym:
            tasks = [await gym.task(number) for number in range(3)]
            groups = [group async for group in gym.groups(tasks * 4, 2, ahead=2)]
        assert len({key for group in groups for key in keys(group)}) == len(groups) * 2 == 24

    @asynchronous
    async def test_no_more_of_them_are_made_ahead_than_asked_for(self) -> None:
        model = ScriptedModel()
        async with opened(model) as gym:
            stream = gym.groups(gym.tasks(), 2, ahead=3)
            await anext(stream)
            await settle(200)
            assert len(model.requests) == (3 + 1) * 2
            await stream.aclose()

    @asynchronous
    async def test_a_slow_source_keeps_nobody_from_getting_what_is_whole(self) -> None:
        async def slow() -> AsyncIterator[Task]:
            yield ask(0)
            await asyncio.Event().wait()

        async with opened() as gym:
            stream = gym.groups(slow(), 2)
            assert (await anext(stream)).task_id == "t0"
            await stream.aclose()

    @asynchronous
    async def test_leaving_the_loop_ends_what_is_under_way(self) -> None:
        gate = Gate()

        async def answer(request: Any, context: Any) -> str:
            return "done" if context.key[0] == "t0" else await gate(request, context)

        async with opened(ScriptedModel(answer)) as gym:
            stream = gym.groups(gym.tasks(), 2, ahead=4)
            async for _ in stream:
                break
            await gate.until(6)
            await stream.aclose()
            assert (gym.running, gym.waiting) == (0, 0)
            assert gate.cancelled == gate.asked

    @asynchronous
    async def test_what_the_tasks_raise_is_raised(self) -> None:
        def broken() -> Iterable[Task]:
            yield ask(0)
            raise ZeroDivisionError("the loader")

        async with opened() as gym:
            with pytest.raises(ZeroDivisionError, match="the loader"):
                async for _ in gym.groups(broken(), 2):
                    pass
            assert gym.running == 0

    @asynchronous
    async def test_rows_that_are_none_cost_themselves(self) -> None:
        async with opened() as gym:
            groups = [group async for group in gym.groups([row(0), {"x": 1}, row(2)], 2)]
        (bad,) = (group for group in groups if group.error is not None)
        assert (bad.error or {})["message"].startswith("task 2 of these: this is no task")
        assert (bad.error or {})["class"] == "InputError"

    @pytest.mark.parametrize(("size", "ahead"), [(0, 1), (-1, 1), (2.0, 1), (True, 1), (1, 0), (1, "2")])
    @asynchronous
    async def test_other_sizes_are_refused(self, size: Any, ahead: Any) -> None:
        async with opened() as gym:
            with pytest.raises(UsageError, match="whole number of at least 1"):
                async for _ in gym.groups([ask()], size, ahead=ahead):
                    pass


class TestFailures:
    @asynchronous
    async def test_one_comes_back_without_a_reward(self) -> None:
        def answer(request: Any, context: Any) -> Any:
            return BadRequestError("no", status=400) if context.key == ("t0", 1) else "done"

        async with opened(ScriptedModel(answer)) as gym:
            group = await gym.group(ask(), 3)
        assert [rollout.status for rollout in group] == [Status.COMPLETED, Status.MODEL_ERROR, Status.COMPLETED]
        assert group.rewards == [1.0, None, 1.0]

    @asynchronous
    async def test_what_hits_all_alike_is_raised_and_may_be_tried_again(self) -> None:
        key = {"good": False}

        def answer(request: Any, context: Any) -> Any:
            return "done" if key["good"] else AuthenticationError("bad key")

        async with opened(ScriptedModel(answer)) as gym:
            with pytest.raises(AuthenticationError, match="bad key"):
                await gym.rollout(ask())
            with pytest.raises(AuthenticationError, match="bad key"):
                await gym.group(ask(), 3)
            with pytest.raises(AuthenticationError, match="bad key"):
                async for _ in gym.groups([ask(number) for number in range(100)], 2):
                    pass
            key["good"] = True
            assert (await gym.rollout(ask())).reward == 1.0

    @asynchronous
    async def test_the_first_rollouts_that_a_model_refuses_alike(self) -> None:
        async with opened(ScriptedModel(BadRequestError("no such field", status=400))) as gym:
            for _ in range(4):
                assert (await gym.rollout(ask())).status is Status.MODEL_ERROR
            with pytest.raises(gym_core.errors.RunStopped, match="the first 5 rollouts all failed alike: no"):
                await gym.rollout(ask())

    @asynchronous
    async def test_a_budget_holds(self) -> None:
        async with opened(concurrency=1, max_tokens=2_000) as gym:

            async def spend() -> None:
                for _ in range(1000):
                    await gym.group(ask(), 2)

            with pytest.raises(BudgetExceeded, match=r"`max_tokens=2000` is reached"):
                await spend()
            assert gym.spent.usage.total_tokens <= 2_000
        assert gym.summary["budget"]["spent_tokens"] <= 2_000

    @asynchronous
    async def test_a_group_of_which_some_have_a_verdict_is_handed_out(self) -> None:
        def answer(request: Any, context: Any) -> Any:
            return AuthenticationError("bad key") if context.key[1] == 1 else "done"

        async with opened(ScriptedModel(answer)) as gym:
            assert (await gym.group(ask(), 3)).rewards == [1.0, None, 1.0]

    @asynchronous
    async def test_time_limits_hold(self) -> None:
        class Slow(PlainSession):
            async def verify(self, trajectory: Trajectory) -> float:
                await asyncio.sleep(60)
                return 1.0

        async with opened(None, env(Slow), deadlines=Deadlines(verify=0.05)) as gym:
            assert (await gym.rollout(ask())).status is Status.TIMED_OUT

    @asynchronous
    async def test_the_tokens_of_a_rollout_are_limited(self) -> None:
        async with opened(max_rollout_tokens=1) as gym:
            assert (await gym.rollout(ask())).status is Status.COMPLETED


class TestOutput:
    def test_nothing_is_written_unless_asked(self) -> None:
        async def main() -> None:
            async with opened() as gym:
                await gym.group(ask(), 2)

        asyncio.run(main())
        assert not list(Path().iterdir())

    def test_rows_are_on_disk_before_they_are_handed_out_and_their_keys_are_unique(self, tmp_path: Path) -> None:
        path = tmp_path / "x.jsonl"

        async def train(**settings: Any) -> None:
            async with opened(output=path, **settings) as gym:
                before = len(read_jsonl(path))
                async for group in gym.groups([ask(0), ask(1)] * 3, 2):
                    rows = {(each["task_id"], each["rollout"]["repeat"]) for each in read_jsonl(path)}
                    assert {*keys(group)} <= rows
                assert len(read_jsonl(path)) == before + 12

        asyncio.run(train())
        with pytest.raises(UsageError, match="exists already"):
            asyncio.run(train())
        asyncio.run(train(mode="resume"))
        rows = [(each["task_id"], each["rollout"]["repeat"]) for each in read_jsonl(path)]
        assert sorted(rows) == [(f"t{number}", repeat) for number in range(2) for repeat in range(12)]
        asyncio.run(train(mode="overwrite"))
        assert len(read_jsonl(path)) == 12
        assert {each.name for each in tmp_path.iterdir()} == {
            "x.jsonl", "x.run.json", "x.summary.json", "x.tools.jsonl"
        }  # fmt: skip

    @asynchronous
    async def test_failures_and_what_was_cancelled_are_on_record(self, tmp_path: Path) -> None:
        gate, path = Gate(), tmp_path / "x.jsonl"

        async def answer(request: Any, context: Any) -> Any:
            return BadRequestError("no", status=400) if context.key[0] == "t1" else await gate(request, context)

        async with opened(ScriptedModel(answer), output=path) as gym:
            going = asyncio.create_task(gym.rollout(ask(0)))
            await gym.rollout(ask(1))
            await gate.until(1)
            going.cancel()
            await asyncio.wait([going])
        failures = read_jsonl(tmp_path / "x.failures.jsonl")
        assert {each["task_id"]: each["rollout"]["status"] for each in failures} == {
            "t0": "cancelled",
            "t1": "model_error",
        }

    @asynchronous
    async def test_what_is_cancelled_before_its_turn_is_on_record_and_heard_of(self, tmp_path: Path) -> None:
        gate, path = Gate(), tmp_path / "x.jsonl"
        heard: list[tuple[str, int]] = []

        class Diary:
            @gym_core.hookimpl(contract=1)
            def gym_rollout_finished(self, run: Any, rollout: Rollout) -> None:
                heard.append(rollout.key)

        async with opened(ScriptedModel(gate), output=path, concurrency=1, extensions=[Diary()]) as gym:
            going = [asyncio.create_task(gym.group(ask(number), 2)) for number in range(3)]
            await gate.until(1)
            going[2].cancel()
            await asyncio.wait([going[2]])
            assert gym.cancel() == 4
            groups = await asyncio.gather(*going[:2])
            assert gym.spent.rollouts == 6
        failures = read_jsonl(tmp_path / "x.failures.jsonl")
        written = [(each["task_id"], each["rollout"]["repeat"]) for each in failures]
        assert sorted(written) == sorted(heard) == [(f"t{number}", repeat) for number in range(3) for repeat in (0, 1)]
        assert {each["rollout"]["status"] for each in failures} == {"cancelled"}
        assert {key for group in groups for key in keys(group)} <= {*written}
        assert gym.summary["rollouts"]["cancelled"] == 6

    @asynchronous
    async def test_a_row_that_cannot_be_written_says_so_to_who_asked_for_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from gym_core.engine.storage.store import ResultStore

        def full(self: Any, rollout: Any) -> None:
            raise StoreError("the disk is full")

        async with opened(output=tmp_path / "x.jsonl") as gym:
            monkeypatch.setattr(ResultStore, "write", full)
            with pytest.raises(StoreError, match="the disk is full"):
                await gym.rollout(ask())
            with pytest.raises(StoreError, match="the disk is full"):
                await gym.group(ask(), 2)


class TestWeights:
    @asynchronous
    async def test_the_announced_version_stands_in_the_tokens_of_calls_that_began_after(self) -> None:
        model = TokenModel("done")
        async with opened(model) as gym:
            first = await gym.rollout(ask())
            gym.version = "17"
            second = await gym.rollout(ask())
            gym.version = 18
            third = await gym.rollout(ask())
            assert gym.version == "18"
            other = await gym.rollout(ask(), model=TokenModel("done", versions=("frozen",)))
        assert [version_of(each) for each in (first, second, third, other)] == [None, "17", "18", "frozen"]
        assert "18" in third.sequences()[0].versions

    @asynchronous
    async def test_a_call_under_way_keeps_the_version_that_it_began_with(self) -> None:
        gate = Gate()
        async with opened(TokenModel(gate)) as gym:
            gym.version = "1"
            going = asyncio.create_task(gym.rollout(ask()))
            await gate.until(1)
            gym.version = "2"
            gate.open.set()
            assert version_of(await going) == "1"

    @pytest.mark.parametrize("version", [None, 1.5, True, ["1"]])
    @asynchronous
    async def test_other_versions_are_refused(self, version: Any) -> None:
        async with opened() as gym:
            with pytest.raises(UsageError, match="a version must be text or a whole number"):
                gym.version = version

    @asynchronous
    async def test_what_is_stale_is_cancelled_and_never_judged(self) -> None:
        gate = Gate()
        async with opened(ScriptedModel(gate), concurrency=5) as gym:
            gym.version = 1
            old = asyncio.create_task(gym.group(ask(0), 2))
            await gate.until(2)
            gym.version = 2
            new = asyncio.create_task(gym.group(ask(1), 2))
            await gate.until(4)
            assert gym.cancel(older_than=1) == 0
            assert gym.cancel(older_than=2) == 2
            for rollout in await old:
                assert (rollout.status, rollout.reward, rollout.stop_reason) == (Status.CANCELLED, None, "stale")
                assert (rollout.error or {})["message"] == "its weights are older than version 2"
            assert gate.cancelled == 2
            gate.open.set()
            assert (await new).rewards == [1.0, 1.0]
            assert gym.cancel() == 0

    @pytest.mark.parametrize(("older_than", "cancelled"), [(0, 0), (5, 0), (6, 1), (7, 1), ("9", 1), (99, 2)])
    @asynchronous
    async def test_versions_that_are_numbers_are_ordered(self, older_than: Any, cancelled: int) -> None:
        gate = Gate()
        async with opened(ScriptedModel(gate)) as gym:
            going = []
            for number, version in enumerate((5, 9)):
                gym.version = version
                going.append(asyncio.create_task(gym.rollout(ask())))
                await gate.until(number + 1)
            assert gym.cancel(older_than=older_than) == cancelled
            with pytest.raises(UsageError, match="the version 'other' has not been announced"):
                gym.cancel(older_than="other")
            gate.open.set()
            statuses = [rollout.status for rollout in await asyncio.gather(*going)]
        assert statuses.count(Status.CANCELLED) == cancelled

    @asynchronous
    async def test_everything_may_be_cancelled_what_waits_too(self) -> None:
        gate = Gate()
        async with opened(ScriptedModel(gate), concurrency=2) as gym:
            going = [asyncio.create_task(gym.group(ask(number), 3)) for number in range(2)]
            await gate.until(2)
            assert gym.cancel() == 6
            groups = await asyncio.gather(*going)
            assert {rollout.status for group in groups for rollout in group} == {Status.CANCELLED}
            gate.open.set()
            assert (await gym.rollout(ask())).reward == 1.0

    @asynchronous
    async def test_a_pause_waits_for_calls_and_lets_none_begin(self) -> None:
        gate, seen = Gate(), []
        model = TokenModel(gate)
        async with opened(model) as gym:
            gym.version = "1"
            first = asyncio.create_task(gym.rollout(ask(0)))
            await gate.until(1)

            async def update() -> None:
                async with gym.paused():
                    seen.append(gate.asked)
                    await settle(50)
                    seen.append(gate.asked)
                    gym.version = "2"

            updating = asyncio.create_task(update())
            await settle()
            second = asyncio.create_task(gym.rollout(ask(1)))
            await settle(50)
            assert (gate.asked, seen) == (1, [])
            gate.open.set()
            await updating
            versions = [version_of(rollout) for rollout in await asyncio.gather(first, second)]
        assert (versions, seen) == (["1", "2"], [1, 1])

    @asynchronous
    async def test_calls_that_a_pause_breaks_off_are_made_again(self) -> None:
        gate = Gate()
        model = TokenModel(gate)
        async with opened(model) as gym:
            gym.version = "1"
            going = asyncio.create_task(gym.group(ask(), 3))
            await gate.until(3)
            async with gym.paused(abort=True):
                assert gate.cancelled == 3
                gym.version = "2"
                gate.open.set()
                await settle(50)
                assert gate.asked == 3
            group = await going
        assert group.rewards == [1.0] * 3
        for rollout in group:
            assert (version_of(rollout), rollout.model_calls[0]["attempts"]) == ("2", 2)

    @asynchronous
    async def test_or_their_rollouts_are_cancelled(self) -> None:
        gate = Gate()
        working = asyncio.Event()

        class Slow(PlainSession):
            async def verify(self, trajectory: Trajectory) -> float:
                await working.wait()
                return 1.0

        async def answer(request: Any, context: Any) -> str:
            return "done" if context.key[1] == 0 else await gate(request, context)

        async with opened(ScriptedModel(answer), env(Slow)) as gym:
            going = asyncio.create_task(gym.group(ask(), 2))
            await gate.until(1)
            await settle()
            async with gym.paused(abort=True, retry=False):
                assert gate.cancelled == 1
            working.set()
            kept, cut = await going
        assert kept.reward == 1.0  # no call of it was under way
        assert (cut.status, cut.stop_reason, cut.reward) == (Status.CANCELLED, "stale", None)

    def test_breaking_off_calls_is_as_much_work_as_there_are(self) -> None:
        def cut(size: int) -> None:
            async def main() -> None:
                gate = Gate()
                async with opened(ScriptedModel(gate), concurrency=size) as gym:
                    going = asyncio.create_task(gym.group(ask(), size))
                    await gate.until(size)
                    async with gym.paused(abort=True, retry=False):
                        assert {rollout.stop_reason for rollout in await going} == {"stale"}

            asyncio.run(main())

        assert growth("asyncio", cut, 50) <= LINEAR

    @pytest.mark.parametrize("given_up", [True, False])
    @asynchronous
    async def test_a_call_that_ignores_its_end_holds_up_no_pause(self, given_up: bool) -> None:
        released = asyncio.Event()

        async def stubborn(request: Any, context: Any) -> str:
            while not released.is_set():
                try:
                    await released.wait()
                except asyncio.CancelledError:
                    continue
            return "done"

        class Careless(LoopAgent):
            async def run(self, episode: Any) -> Any:
                self.left = asyncio.create_task(super().run(episode))
                await settle()
                return gym_core.Stop(gym_core.StopReason.COMPLETED)

        agent = LoopAgent() if given_up else Careless()
        async with opened(ScriptedModel(stubborn), agent=agent) as gym:
            going = asyncio.create_task(gym.rollout(ask()))
            await settle()
            if given_up:
                gym.cancel()
            await going
            async with asyncio.timeout(10), gym.paused():
                pass
            released.set()

    @asynchronous
    async def test_a_pause_counts_towards_no_time_limit(self) -> None:
        async with opened(deadlines=Deadlines(rollout=0.2)) as gym:
            async with gym.paused():
                going = asyncio.create_task(gym.rollout(ask()))
                await asyncio.sleep(0.4)
            assert (await going).reward == 1.0

    @asynchronous
    async def test_a_rollout_that_is_cancelled_in_a_pause_ends(self) -> None:
        async with opened() as gym:
            async with gym.paused(), gym.paused():
                going = asyncio.create_task(gym.rollout(ask()))
                await settle(50)
                going.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await going
            assert (await gym.rollout(ask())).reward == 1.0

    @asynchronous
    async def test_a_pause_with_a_budget_reserves_nothing_for_calls_that_wait(self) -> None:
        async with opened(concurrency=4, max_tokens=60_000) as gym:
            async with gym.paused():
                going = asyncio.create_task(gym.group(ask(), 4))
                await settle(50)
            assert (await going).rewards == [1.0] * 4
        assert gym.summary["budget"]["spent_tokens"] == 4 * 12

    @asynchronous
    async def test_a_judge_at_another_endpoint_goes_on(self) -> None:
        class Judged(Session[Any]):
            async def verify(self, trajectory: Trajectory) -> float:
                await begin.wait()
                return float((await self.models["judge"].respond("?")).output_text)

        begin = asyncio.Event()
        models = {"policy": ScriptedModel(role="policy"), "judge": ScriptedModel("1", name="judge", role="judge")}
        async with opened(models, env(Judged)) as gym:
            going = asyncio.create_task(gym.rollout(ask()))
            await settle(50)
            async with gym.paused():
                begin.set()
                assert (await going).reward == 1.0

    @pytest.mark.parametrize(("name", "waits"), [("policy", True), ("elsewhere", False)])
    @asynchronous
    async def test_another_judge_waits_where_it_is_at_the_policys_endpoint(self, name: str, waits: bool) -> None:
        class Judged(Session[Any]):
            async def verify(self, trajectory: Trajectory) -> float:
                reached.set()
                await begin.wait()
                return float((await self.models["judge"].respond("?")).output_text)

        reached, begin = asyncio.Event(), asyncio.Event()
        models = {"policy": ScriptedModel(name="policy"), "judge": ScriptedModel("1", name="judge")}
        judge = ScriptedModel("0.5", name=name)
        async with opened(models, env(Judged)) as gym:
            going = asyncio.create_task(gym.rollout(ask(), model={"judge": judge}))
            await reached.wait()
            async with gym.paused():
                begin.set()
                if waits:
                    await settle(200)
                    assert judge.requests == []
                else:
                    await going
            assert (await going).reward == 0.5


class TestSettings:
    def test_those_that_a_run_has_alone_are_type_errors(self) -> None:
        for name in ("repeats", "workers", "finish_at", "retry_failed", "concurency"):
            with pytest.raises(TypeError, match=f"an open gym has no setting `{name}`"):
                opened(None, None, **{name: 2})

    @asynchronous
    async def test_a_file_may_name_the_components(self, tmp_path: Path) -> None:
        path = tmp_path / "run.toml"
        path.write_text('model = "local"\nenv = "simple_weather"\nrepeats = 3\nconcurrency = 7\n')
        async with gym_core.open(config=path, model=ScriptedModel(), env=env(), agent=LoopAgent()) as gym:
            assert (await gym.rollout(ask())).reward == 1.0
        path.write_text("workers = 2\n")
        with pytest.raises(UsageError, match="runs its rollouts in this process"):
            async with gym_core.open(config=path, model="local", env="simple_weather"):
                pass

    @asynchronous
    async def test_it_refuses_on_entering(self) -> None:
        with pytest.raises(UsageError, match=r"`model=REF`|a run needs a model"):
            async with gym_core.open(env=env()):
                pass
        with pytest.raises(UsageError, match="no model backend named 'nope'"):
            async with gym_core.open(model="nope", env=env()):
                pass

    @asynchronous
    async def test_extensions_hear_of_it(self) -> None:
        heard: list[str] = []

        class Diary:
            @gym_core.hookimpl(contract=1)
            def gym_rollout_finished(self, run: Any, rollout: Rollout) -> None:
                heard.append(rollout.task_id)

            @gym_core.hookimpl(contract=1)
            def gym_group_finished(self, run: Any, group: Group) -> None:
                heard.append(f"group of {len(group)}")

        async with opened(extensions=[Diary()]) as gym:
            await gym.group(ask(3), 2)
        assert heard == ["t3", "t3", "group of 2"]


class TestMixing:
    @asynchronous
    async def test_streams_are_taken_by_ratio(self) -> None:
        async with opened(server=env(tasks=30, name="a")) as one, opened(server=env(tasks=30, name="b")) as two:
            mixed: list[Any] = []
            async for group in gym_core.mix([(one.groups(one.tasks(), 2), 3), (two.groups(two.tasks(), 2), 1)]):
                mixed.append(group.rollouts[0].row["rollout"]["env"])
                if len(mixed) % 4 == 0:
                    assert mixed.count("a") == 3 * mixed.count("b")
            assert mixed.count("a") == 30
            assert (one.running, two.running) == (0, 0)

    @asynchronous
    async def test_every_stretch_has_its_share_to_within_one(self) -> None:
        async def numbers(name: str) -> AsyncIterator[str]:
            while True:
                yield name

        weights = {"a": 0.5, "b": 0.3, "c": 0.2}
        taken: list[str] = []
        stream = gym_core.mix([(numbers(name), weight) for name, weight in weights.items()])
        async for name in stream:
            taken.append(name)
            for each, weight in weights.items():
                assert abs(taken.count(each) - weight * len(taken)) <= 1
            if len(taken) == 100:
                break
        await stream.aclose()

    @asynchronous
    async def test_what_a_stream_raises_is_raised_and_the_others_are_closed(self) -> None:
        closed: list[str] = []

        async def fine() -> AsyncIterator[int]:
            try:
                while True:
                    yield 1
            finally:
                closed.append("fine")

        async def broken() -> AsyncIterator[int]:
            yield 2
            raise ZeroDivisionError("loader")

        with pytest.raises(ZeroDivisionError, match="loader"):
            async for _ in gym_core.mix([(fine(), 1), (broken(), 1)]):
                pass
        assert closed == ["fine"]

    @pytest.mark.parametrize("weight", [0, -1, float("inf"), float("nan"), "1", True, None])
    @asynchronous
    async def test_other_weights_are_refused(self, weight: Any) -> None:
        async with opened() as gym:
            with pytest.raises(UsageError, match="the weight of a stream must be a number above 0"):
                await anext(gym_core.mix([(gym.groups(gym.tasks(), 2), weight)]))

    @asynchronous
    async def test_of_nothing_comes_nothing(self) -> None:
        nothing: list[tuple[AsyncIterator[Group], float]] = []
        assert [group async for group in gym_core.mix(nothing)] == []
