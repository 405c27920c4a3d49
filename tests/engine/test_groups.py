"""Rollouts of a task in a run: scheduled together, scored together, on disk before anybody hears of them as a group."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gym_core
from gym_core import (
    ComponentContext,
    Deadlines,
    Group,
    ResourceServer,
    Rollout,
    RunInfo,
    Task,
    Trajectory,
    UsageError,
    Verdict,
    hookimpl,
)
from gym_core.engine.run.groups import Groups
from gym_core.engine.storage.groups import GroupLines
from gym_core.engine.storage.store import FreshRollout, ResultStore
from gym_core.errors import StoreError
from gym_core.spi import RunControl, open_run
from gym_results.comparison import Statistics
from gym_results.rescoring import open_rescore
from gym_testing import Served
from tests.support.agents import LoopAgent
from tests.support.envs import PlainSession, ask, env
from tests.support.models import ScriptedModel, Turn
from tests.support.running import Ended, config, execute, read_jsonl, run


class Worded(PlainSession):
    """The reward is how many words the answer has, in tens; an answer of `?` cannot be judged."""

    def verify(self, trajectory: Trajectory) -> Any:
        if trajectory.output_text == "?":
            raise ValueError("this is no answer")
        return Verdict(len(trajectory.output_text.split()) / 10, {"words": float(len(trajectory.output_text.split()))})


def relative(rollouts: Sequence[Rollout]) -> list[Verdict]:
    """What a reward is above the mean of its group."""
    mean = sum(rollout.reward or 0.0 for rollout in rollouts) / len(rollouts)
    return [Verdict((rollout.reward or 0.0) - mean, info={"mean": mean}) for rollout in rollouts]


def best(rollouts: Sequence[Rollout]) -> list[float]:
    """1 for the best of a group, the first on a tie, and 0 for all others."""
    first = max(rollouts, key=lambda rollout: rollout.reward or 0.0)
    return [float(rollout is first) for rollout in rollouts]


def scoring(
    score: Callable[[Sequence[Rollout]], Any] = relative, tasks: Any = 3, session: Any = Worded
) -> ResourceServer:
    """An environment of so many tasks that scores groups like this."""

    class Scoring(ResourceServer):
        """A test's environment."""

        session_type = session

        def tasks(self) -> Any:
            return [ask(number) for number in range(tasks)] if isinstance(tasks, int) else tasks

        def score_group(self, rollouts: Sequence[Rollout]) -> Any:
            return score(rollouts)

    return Scoring(None, ComponentContext(name="scoring"))


def words(request: Any, context: Any) -> str:
    """An answer of as many words as the repeat."""
    return " ".join(["word"] * (context.key[1] + 1))


def speaking(turn: Turn = words) -> ScriptedModel:
    return ScriptedModel(turn)


def lines(output: Path) -> list[dict[str, Any]]:
    path = output.with_name("x.groups.jsonl")
    return read_jsonl(path) if path.exists() else []


def rewards_of(output: Path) -> dict[str, dict[int, float]]:
    """What groups came to, by task and repeat; the last line of a task counts."""
    return {
        line["task_id"]: {verdict["repeat"]: round(verdict["reward"], 6) for verdict in line["verdicts"]}
        for line in lines(output)
    }


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Two accounts of groups, but for what adding in another order changes in a sum that is all but zero."""
    assert {**one, "reward": 0} == {**other, "reward": 0}
    assert one["reward"] == pytest.approx(other["reward"], abs=1e-6)


def keys(rollouts: Sequence[Rollout]) -> list[tuple[str, int]]:
    return [rollout.key for rollout in rollouts]


def collected(**given: Any) -> list[Group]:
    async def main() -> list[Group]:
        wanted: dict[str, Any] = {"model": speaking(), "env": scoring(), "agent": LoopAgent(), **given}
        return [group async for group in gym_core.collect_groups(**wanted)]

    return asyncio.run(asyncio.wait_for(main(), 30))


# Order


TOGETHER = [("t0", 0), ("t0", 1), ("t1", 0), ("t1", 1), ("t2", 0), ("t2", 1)]
BREADTH = [("t0", 0), ("t1", 0), ("t2", 0), ("t0", 1), ("t1", 1), ("t2", 1)]


@pytest.mark.parametrize(
    ("server", "group", "order"),
    [
        (env(tasks=3), None, BREADTH),
        (env(tasks=3), False, BREADTH),
        (env(tasks=3), True, TOGETHER),
        (scoring(), None, TOGETHER),
        (scoring(), True, TOGETHER),
        (scoring(), False, BREADTH),
    ],
)
def test_the_rollouts_of_a_task_run_together_where_that_is_asked_or_the_environment_scores_groups(
    server: ResourceServer, group: bool | None, order: list[tuple[str, int]]
) -> None:
    ended = run(speaking(), server, repeats=2, concurrency=1, group=group)
    assert keys(ended.rollouts) == order


def test_a_long_file_is_read_once(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(
        b"".join(orjson.dumps({"id": n, "responses_create_params": {"input": "x"}}) + b"\n" for n in range(2_500))
    )
    ended = run(speaking("x"), env(), input=source, repeats=2, concurrency=8, group=True)
    order = [int(task_id) for task_id, _ in keys(ended.rollouts)]
    assert len(order) == 5_000
    assert all(abs(place // 2 - task) <= 8 for place, task in enumerate(order))


# What a group comes to


def test_groups_are_written_beside_rows_which_keep_their_own(tmp_path: Path) -> None:
    output = tmp_path / "x.jsonl"
    ended = run(speaking(), scoring(), repeats=3, output=output)
    assert {row["reward"] for row in read_jsonl(output)} == {0.1, 0.2, 0.3}
    assert rewards_of(output) == {f"t{n}": {0: -0.1, 1: 0.0, 2: 0.1} for n in range(3)}
    line = lines(output)[0]
    assert list(line) == ["task_id", "verdicts", "error"]
    assert line["verdicts"][0].keys() == {"repeat", "reward", "components", "info"}
    assert line["error"] is None
    groups = ended.summary["groups"]
    assert (groups["scored"], groups["failed"], groups["errors"]) == (3, 0, [])
    assert groups["reward"]["mean"] == pytest.approx(0.0)
    assert ended.summary["reward"]["mean"] == pytest.approx(0.2), "that of the rows"


def test_a_run_without_groups_has_no_such_file(tmp_path: Path) -> None:
    ended = run(speaking(), env(Worded, 3), repeats=2, group=True, output=tmp_path / "x.jsonl")
    assert not (tmp_path / "x.groups.jsonl").exists()
    assert ended.summary["groups"] is None


def test_a_group_is_on_disk_when_it_is_announced_and_comes_after_its_rollouts(tmp_path: Path) -> None:
    output = tmp_path / "x.jsonl"
    told: list[Any] = []

    def announce(group: Group) -> None:
        assert group.task_id in rewards_of(output)
        assert {(row["task_id"], row["rollout"]["repeat"]) for row in read_jsonl(output)} >= {*keys(group.rollouts)}
        assert {*keys(group.rollouts)} <= {*told}
        told.append(group)

    async def main() -> None:
        async with open_run(config(speaking(), scoring(), repeats=3, output=output)) as opened:
            await opened.execute(lambda rollout: told.append(rollout.key), announce_group=announce)

    asyncio.run(main())
    groups = [one for one in told if isinstance(one, Group)]
    assert sorted(group.task_id for group in groups) == ["t0", "t1", "t2"]
    assert all([one.repeat for one in group] == [0, 1, 2] for group in groups)


def test_a_failed_member_leaves_the_group(tmp_path: Path) -> None:
    def answer(request: Any, context: Any) -> str:
        return "?" if context.key == ("t1", 1) else words(request, context)

    groups = {
        group.task_id: group for group in collected(model=speaking(answer), repeats=3, output=tmp_path / "x.jsonl")
    }
    group = groups["t1"]
    assert [rollout.status.value for rollout in group] == ["completed", "verifier_error", "completed"]
    assert group.rewards == [pytest.approx(-0.1), None, pytest.approx(0.1)]
    assert rewards_of(tmp_path / "x.jsonl")["t1"] == {0: -0.1, 2: 0.1}


def test_a_group_of_one_is_not_scored_and_is_said_to_be_none(tmp_path: Path) -> None:
    ended = run(speaking(), scoring(lambda rollouts: 1 / 0), output=tmp_path / "x.jsonl")
    assert "see --repeats" in ended.notices[-1]
    assert ended.summary["groups"]["failed"] == 0
    assert not (tmp_path / "x.groups.jsonl").exists()


@pytest.mark.parametrize(
    ("score", "words_of_it"),
    [
        (lambda rollouts: 1 / 0, "division by zero"),
        (lambda rollouts: [1.0], "returned 1 verdicts for 2 rollouts"),
        (lambda rollouts: [1.0] * 3, "returned 3 verdicts for 2 rollouts"),
        (lambda rollouts: [1.0, float("nan")], "must be a finite number"),
        (lambda rollouts: asyncio.Event().wait(), "score_group did not end within 0.1 s"),
    ],
)
def test_what_goes_wrong_is_the_groups_failure_and_the_rollouts_keep_their_verdicts(
    score: Any, words_of_it: str, tmp_path: Path
) -> None:
    output = tmp_path / "x.jsonl"
    ended = run(speaking(), scoring(score), repeats=2, output=output, deadlines=Deadlines(verify=0.1))
    assert ended.error is None
    assert ended.statuses() == ["completed"] * 6
    assert {row["reward"] for row in read_jsonl(output)} == {0.1, 0.2}
    assert all(words_of_it in line["error"]["message"] and line["verdicts"] == [] for line in lines(output))
    groups = ended.summary["groups"]
    assert (groups["scored"], groups["failed"]) == (0, 3)
    assert groups["errors"][0]["count"] == 3
    assert words_of_it in groups["errors"][0]["example"]


def test_a_group_that_fails_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    run(speaking(), scoring(lambda rollouts: 1 / 0), repeats=2)
    assert [record.levelname for record in caplog.records if "was not scored" in record.message].count("WARNING") == 1


# Python


def test_groups_are_yielded_whole() -> None:
    groups = collected(env=scoring(best), repeats=4)
    assert [group.rewards for group in groups] == [[0.0, 0.0, 0.0, 1.0]] * 3
    assert [rollout.reward for rollout in groups[0]] == [0.1, 0.2, 0.3, 0.4]
    judged = groups[0].judged
    assert [rollout.reward for rollout in judged] == [0.0, 0.0, 0.0, 1.0]
    assert judged[3].row["rollout"]["own_reward"] == 0.4
    assert judged[3].reward_components == {"words": 4.0}
    assert groups[0].rollouts[3].reward == 0.4, "the rollout itself is as it was"


def test_an_environment_that_scores_none_has_groups_all_the_same() -> None:
    groups = collected(env=env(Worded, 3), repeats=2)
    assert [(group.task_id, group.rewards, dict(group.verdicts)) for group in groups] == [
        (f"t{n}", [0.1, 0.2], {}) for n in range(3)
    ]


def test_a_result_has_its_groups() -> None:
    result = gym_core.run_sync(model=speaking(), env=scoring(), agent=LoopAgent(), repeats=2, progress=False)
    assert sorted(group.task_id for group in result.groups) == ["t0", "t1", "t2"]
    assert {round(record["group_reward"], 6) for record in result.records()} == {-0.05, 0.05}
    plain = gym_core.run_sync(model=speaking(), env=env(), agent=LoopAgent(), repeats=2, progress=False)
    assert plain.groups == []
    assert "group_reward" not in plain.records()[0]


def test_what_groups_contradict_is_refused() -> None:
    with pytest.raises(UsageError, match="leave `group` out"):
        collected(group=False)
    with pytest.raises(UsageError, match="`group` must be True, False or None"):
        run(speaking(), scoring(), group="yes")


def test_a_slow_reader_slows_the_run_down() -> None:
    model = speaking()

    async def main() -> None:
        groups = gym_core.collect_groups(
            model=model, env=scoring(tasks=200), agent=LoopAgent(), repeats=4, concurrency=4
        )
        async for _ in groups:
            await asyncio.sleep(0.02)
            break
        assert len(model.requests) < 100
        await groups.aclose()

    asyncio.run(main())


# Extensions


class Listener:
    def __init__(self) -> None:
        self.groups: list[Group] = []

    @hookimpl(contract=1)
    def gym_group_finished(self, run: RunInfo, group: Group) -> None:
        self.groups.append(group)


def test_an_extension_hears_of_each_group() -> None:
    listener = Listener()
    run(speaking(), scoring(), repeats=2, extensions=[listener])
    assert sorted(group.task_id for group in listener.groups) == ["t0", "t1", "t2"]
    assert all(len(group.verdicts) == 2 for group in listener.groups)
    run(speaking(), env(tasks=2), repeats=2, group=True, extensions=[listener])
    assert len(listener.groups) == 5
    run(speaking(), env(tasks=2), repeats=2, extensions=[listener])
    assert len(listener.groups) == 5, "a run without groups announces none"


# Going on


def stopped(after: int, output: Path, model: Any = None, server: Any = None, **given: Any) -> Ended:
    """A run that is stopped once so many rollouts are on disk."""

    async def main() -> Ended:
        rollouts: list[Rollout] = []
        async with open_run(config(model or speaking(), server or scoring(), output=output, **given)) as opened:

            def announce(rollout: Rollout) -> None:
                rollouts.append(rollout)
                if len(rollouts) == after:
                    opened.stop("enough")

            summary = await opened.execute(announce)
        return Ended(rollouts, summary, opened.error, opened.notices)

    return asyncio.run(asyncio.wait_for(main(), 30))


def test_a_group_that_was_cut_is_whole_once_the_run_is_resumed(tmp_path: Path) -> None:
    output = tmp_path / "x.jsonl"
    ended = stopped(5, output, repeats=3, concurrency=1)
    assert rewards_of(output).keys() <= {"t0"}, "of t1 two have ended"
    groups = collected(repeats=3, output=output, mode="resume", concurrency=1)
    assert [group.task_id for group in groups][-1] == "t2"
    assert {"t1", "t2"} <= {group.task_id for group in groups}
    assert [rollout.repeat for rollout in groups[-2]] == [0, 1, 2]
    assert rewards_of(output) == {f"t{n}": {0: -0.1, 1: 0.0, 2: 0.1} for n in range(3)}
    assert ended.summary["state"] == "interrupted"


def test_a_missing_line_is_made_and_no_other(tmp_path: Path) -> None:
    output, asked = tmp_path / "x.jsonl", []

    def score(rollouts: Sequence[Rollout]) -> list[Verdict]:
        asked.append(rollouts[0].task_id)
        return relative(rollouts)

    first = run(speaking(), scoring(score), repeats=3, output=output)
    groups = output.with_name("x.groups.jsonl")
    whole = groups.read_bytes().splitlines(keepends=True)
    groups.write_bytes(whole[0] + whole[2][: len(whole[2]) // 2])  # one is missing, one is torn
    asked.clear()
    model = speaking()
    again = run(model, scoring(score), repeats=3, output=output, mode="resume")
    assert model.requests == []
    assert len(asked) == 2
    assert rewards_of(output).keys() == {"t0", "t1", "t2"}
    assert_same(again.summary["groups"], first.summary["groups"])
    asked.clear()
    assert run(model, scoring(score), repeats=3, output=output, mode="resume").summary["groups"]["scored"] == 3
    assert asked == []


def test_a_group_whose_failures_are_retried_is_scored_again(tmp_path: Path) -> None:
    output = tmp_path / "x.jsonl"

    def answer(request: Any, context: Any) -> str:
        return "?" if context.key == ("t1", 1) else words(request, context)

    run(speaking(answer), scoring(), repeats=3, output=output)
    assert rewards_of(output)["t1"] == {0: -0.1, 2: 0.1}
    ended = run(speaking(), scoring(), repeats=3, output=output, mode="resume", retry_failed=True)
    assert rewards_of(output)["t1"] == {0: -0.1, 1: 0.0, 2: 0.1}
    assert [line["task_id"] for line in lines(output)].count("t1") == 2
    assert (ended.summary["groups"]["scored"], ended.summary["groups"]["reward"]["rollouts"]) == (3, 9)
    assert_same(Statistics(output).result["groups"], ended.summary["groups"])


def test_a_group_that_failed_is_scored_again_with_retry_failed_alone(tmp_path: Path) -> None:
    output = tmp_path / "x.jsonl"
    run(speaking(), scoring(lambda rollouts: 1 / 0), repeats=2, output=output)
    for retry, failed in ((False, 3), (True, 0)):
        ended = run(
            speaking(), scoring(), repeats=2, output=output, mode="resume", retry_failed=retry, accept_changes=True
        )
        assert (ended.summary["groups"]["failed"], ended.summary["groups"]["scored"]) == (failed, 3 - failed)
        assert_same(Statistics(output).result["groups"], ended.summary["groups"])


def test_more_repeats_make_the_groups_larger(tmp_path: Path) -> None:
    output = tmp_path / "x.jsonl"
    run(speaking(), scoring(), repeats=2, output=output)
    ended = run(speaking(), scoring(), repeats=4, output=output, mode="resume")
    assert rewards_of(output) == {f"t{n}": {0: -0.15, 1: -0.05, 2: 0.05, 3: 0.15} for n in range(3)}
    assert ended.summary["groups"]["reward"]["rollouts"] == 12


def test_a_rollout_that_is_let_go_leaves_the_group_until_the_run_is_resumed(tmp_path: Path) -> None:
    output = tmp_path / "x.jsonl"

    async def answer(request: Any, context: Any) -> str:
        if context.key == ("t2", 2):
            await asyncio.Event().wait()
        return words(request, context)

    run(speaking(answer), scoring(), repeats=3, output=output, finish_at=0.8)
    assert rewards_of(output)["t2"] == {0: -0.05, 1: 0.05}
    run(speaking(), scoring(), repeats=3, output=output, mode="resume")
    assert rewards_of(output)["t2"] == {0: -0.1, 1: 0.0, 2: 0.1}


def test_what_stops_a_run_ends_what_is_being_scored(tmp_path: Path) -> None:
    output = tmp_path / "x.jsonl"
    server = scoring(lambda rollouts: asyncio.Event().wait())

    async def main() -> None:
        async with open_run(config(speaking(), server, repeats=2, output=output)) as opened:
            running = asyncio.create_task(opened.execute())
            while len(read_jsonl(output)) < 6:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.02)
            opened.stop("enough")
            summary = await running
            assert summary["state"] == "interrupted"

    asyncio.run(asyncio.wait_for(main(), 20))
    assert lines(output) == []
    ended = run(speaking(), scoring(), repeats=2, output=output, mode="resume", accept_changes=True)
    assert ended.rollouts == []
    assert ended.summary["groups"]["scored"] == 3


class Endless:
    """Scoring that never ends of itself. `ended`: how many groups of it were cut off."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended = 0

    async def __call__(self, rollouts: Sequence[Rollout]) -> Any:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended += 1


def test_whoever_steers_a_run_ends_what_is_being_scored(tmp_path: Path) -> None:
    async def main() -> Ended:
        scorer, controls = Endless(), []

        class Steering:
            @hookimpl(contract=1)
            def gym_run_control(self, run: RunInfo, control: RunControl) -> None:
                controls.append(control)

        wanted = config(
            speaking(), scoring(scorer), repeats=2, output=tmp_path / "x.jsonl", extensions=[Steering()],
            deadlines=Deadlines(verify=600),
        )  # fmt: skip
        running = asyncio.create_task(execute(wanted))
        await scorer.begun.wait()
        while not controls:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        await asyncio.to_thread(controls[0].stop, "enough")
        ended = await running
        assert scorer.ended > 0
        return ended

    ended = asyncio.run(asyncio.wait_for(main(), 30))
    assert (ended.summary["state"], ended.summary["message"]) == ("stopped", "enough")
    assert lines(tmp_path / "x.jsonl") == []


@pytest.mark.parametrize("writes", [1, 5])
def test_a_full_disk_ends_what_is_being_scored(writes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = ResultStore.write

    async def main() -> Ended:
        scorer, written = Endless(), 0

        def full(self: ResultStore, rollout: FreshRollout) -> None:
            nonlocal written
            if written == 2 * writes:
                raise StoreError("the disk is full")
            write(self, rollout)
            written += 1

        monkeypatch.setattr(ResultStore, "write", full)
        wanted = config(
            speaking(), scoring(scorer, 10), repeats=2, concurrency=20, output=tmp_path / "x.jsonl",
            deadlines=Deadlines(verify=600),
        )  # fmt: skip
        return await execute(wanted)

    ended = asyncio.run(asyncio.wait_for(main(), 30))
    assert (ended.summary["state"], str(ended.error)) == ("stopped", "the disk is full")


def test_a_run_that_is_cancelled_while_groups_are_scored_is_not_called_finished(tmp_path: Path) -> None:
    async def main() -> None:
        scorer = Endless()
        wanted = config(speaking(), scoring(scorer), repeats=2, output=tmp_path / "x.jsonl")
        running = asyncio.create_task(execute(wanted))
        while len(read_jsonl(tmp_path / "x.jsonl")) < 6:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        await scorer.begun.wait()
        await asyncio.sleep(0.02)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(asyncio.wait_for(main(), 30))
    assert orjson.loads((tmp_path / "x.summary.json").read_bytes())["state"] == "interrupted"


def test_overwrite_leaves_no_group_of_before(tmp_path: Path) -> None:
    output = tmp_path / "x.jsonl"
    run(speaking(), scoring(), repeats=2, output=output)
    with pytest.raises(UsageError, match="exists already"):
        run(speaking(), env(), output=output)
    run(speaking(), env(), output=output, mode="overwrite")
    assert not (tmp_path / "x.groups.jsonl").exists()


def test_what_is_no_file_of_groups_is_refused(tmp_path: Path) -> None:
    output, groups = tmp_path / "x.jsonl", tmp_path / "x.groups.jsonl"
    run(speaking(), scoring(), repeats=2, output=output)
    whole = groups.read_bytes()
    for odd in (
        b'{"task_id":"t0"}\n',
        b"[]\n",
        b'{"task_id":"t0","verdicts":[{"repeat":0,"reward":null}],"error":null}\n',
    ):
        groups.write_bytes(whole + odd)
        with pytest.raises(UsageError, match=r"x\.groups\.jsonl:4: not a group that gym wrote"):
            run(speaking(), scoring(), repeats=2, output=output, mode="resume")
        with pytest.raises(UsageError, match=r"x\.groups\.jsonl:4"):
            Statistics(output)
    groups.write_text("a note\n")
    with pytest.raises(UsageError, match="holds no results of a run"):
        run(speaking(), scoring(), repeats=2, output=output, mode="overwrite")
    with pytest.raises(UsageError, match="an output file ends in"):
        run(speaking(), scoring(), output=tmp_path / "y.groups.jsonl")


# Whatever happens


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    tasks=st.integers(1, 5),
    repeats=st.integers(1, 4),
    limit=st.none() | st.integers(0, 5),
    concurrency=st.integers(1, 6),
    stops=st.lists(st.integers(1, 6), max_size=3),
    seed=st.integers(0, 10_000),
    streamed=st.booleans(),
)
def test_whatever_is_stopped_and_resumed_each_rollout_ends_once_and_each_group_is_whole(
    tasks: int,
    repeats: int,
    limit: int | None,
    concurrency: int,
    stops: list[int],
    seed: int,
    streamed: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    output = tmp_path_factory.mktemp("groups") / "x.jsonl"
    chance = random.Random(seed)
    broken = {(f"t{n}", repeat) for n in range(tasks) for repeat in range(repeats) if chance.random() < 0.25}

    async def answer(request: Any, context: Any) -> str:
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        return "?" if context.key in broken else words(request, context)

    async def score(rollouts: Sequence[Rollout]) -> list[Verdict]:
        await asyncio.sleep(0)
        return relative(rollouts)

    async def endless() -> Any:
        for number in range(tasks):
            yield ask(number)

    def given_tasks() -> Any:
        return endless() if streamed else [ask(number) for number in range(tasks)]

    wanted: dict[str, Any] = {"repeats": repeats, "limit": limit, "concurrency": concurrency}
    announced: list[str] = []
    for number, after in enumerate([*stops, None]):
        given_now = {**wanted, "tasks": given_tasks(), "mode": "resume" if number else "new"}

        async def main(after: int | None = after, given_now: Any = given_now) -> None:
            rollouts: list[Rollout] = []
            async with open_run(config(speaking(answer), scoring(score), output=output, **given_now)) as opened:

                def announce(rollout: Rollout) -> None:
                    rollouts.append(rollout)
                    if len(rollouts) == after:
                        opened.stop("enough")

                def announce_group(group: Group) -> None:
                    assert [rollout.repeat for rollout in group] == [*range(repeats)]
                    announced.append(group.task_id)

                await opened.execute(announce, announce_group=announce_group)
                assert opened.error is None

        asyncio.run(asyncio.wait_for(main(), 20))
    count = tasks if limit is None else min(tasks, limit)
    rows = read_jsonl(output) if output.exists() else []
    failures = output.with_name("x.failures.jsonl")
    failed = read_jsonl(failures) if failures.exists() else []
    standing = [row for row in failed if row["rollout"]["status"] != "cancelled"]
    found = [(row["task_id"], row["rollout"]["repeat"]) for row in (*rows, *standing)]
    assert sorted(found) == [(f"t{n}", repeat) for n in range(count) for repeat in range(repeats)]
    for number in range(count):
        have = {row["rollout"]["repeat"] for row in rows if row["task_id"] == f"t{number}"}
        assert rewards_of(output).get(f"t{number}", {}).keys() == (have if len(have) >= 2 else set())


# Memory


def test_no_more_is_held_than_the_groups_under_way() -> None:
    most = 0

    async def main() -> None:
        nonlocal most
        wanted = config(speaking(), scoring(tasks=300), repeats=4, concurrency=8)
        async with open_run(wanted) as opened:
            groups = opened.groups
            assert isinstance(groups, Groups)

            def announce(rollout: Rollout) -> None:
                nonlocal most
                most = max(most, groups.held)

            await opened.execute(announce)
            assert groups.held == 0

    asyncio.run(main())
    assert 0 < most <= 8 * 4


def test_a_slow_scorer_slows_the_run_down() -> None:
    model, begun, gate = speaking(), 0, asyncio.Event()

    async def score(rollouts: Sequence[Rollout]) -> list[Verdict]:
        nonlocal begun
        begun += 1
        await gate.wait()
        return relative(rollouts)

    async def main() -> None:
        async with open_run(config(model, scoring(score, tasks=200), repeats=4, concurrency=8)) as opened:
            running = asyncio.create_task(opened.execute())
            await asyncio.sleep(0.3)
            assert begun == 2, "as many rollouts are scored at once as run at once"
            assert len(model.requests) <= 6 * 8
            gate.set()
            assert (await running)["groups"]["scored"] == 200

    asyncio.run(asyncio.wait_for(main(), 30))


def test_lines_of_groups_are_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.groups.jsonl"
    verdict = {"repeat": 0, "reward": 0.5, "components": {}, "info": {}}
    path.write_bytes(
        b"".join(orjson.dumps({"task_id": f"t{n}", "verdicts": [verdict], "error": None}) + b"\n" for n in range(1_000))
    )
    found = GroupLines(path)
    assert all(found.covers(f"t{n}", [0]) for n in range(1_000))
    assert len(found) == 1_000
    assert found._read.cache_info().currsize <= 64


# Elsewhere


def test_a_served_environment_scores_the_groups_of_a_run(tmp_path: Path) -> None:
    async def main() -> Ended:
        async with Served(scoring()) as served, served.remote() as there:
            return await execute(config(speaking(), there, repeats=3, output=tmp_path / "x.jsonl"))

    ended = asyncio.run(asyncio.wait_for(main(), 30))
    assert ended.summary["groups"]["scored"] == 3
    assert rewards_of(tmp_path / "x.jsonl") == {f"t{n}": {0: -0.1, 1: 0.0, 2: 0.1} for n in range(3)}


# Verified again


@pytest.mark.parametrize("group", [True, False])
def test_groups_are_scored_again_with_the_rollouts(group: bool, tmp_path: Path) -> None:
    output = tmp_path / "x.jsonl"

    def answer(request: Any, context: Any) -> str:
        return "?" if context.key == ("t1", 1) else words(request, context)

    run(speaking(answer), scoring(), repeats=3, output=output, group=group)

    async def main() -> dict[str, Any]:
        async with open_rescore(output, env=scoring(best), output=tmp_path / "y.jsonl") as opened:
            return await opened.execute()

    summary = asyncio.run(asyncio.wait_for(main(), 30))
    found = {line["task_id"]: line for line in read_jsonl(tmp_path / "y.groups.jsonl")}
    assert [verdict["reward"] for verdict in found["t0"]["verdicts"]] == [0.0, 0.0, 1.0]
    assert [verdict["repeat"] for verdict in found["t1"]["verdicts"]] == [0, 2]
    assert (summary["groups"]["scored"], summary["groups"]["failed"]) == (3, 0)
    assert_same(Statistics(tmp_path / "y.jsonl").result["groups"], summary["groups"])


def test_what_is_verified_again_is_read_beside_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: Any, context: Any) -> str:
        return "?" if context.key == ("t1", 1) else words(request, context)

    output = tmp_path / "x.jsonl"
    run(speaking(answer), scoring(), repeats=3, output=output)
    held: list[str] = []
    open_path = Path.open

    def opening(self: Path, *arguments: Any, **keywords: Any) -> Any:
        if threading.current_thread() is threading.main_thread():
            held.append(self.name)
        return open_path(self, *arguments, **keywords)

    async def main() -> dict[str, Any]:
        async with open_rescore(output, env=scoring(best), output=tmp_path / "y.jsonl") as opened:
            monkeypatch.setattr(Path, "open", opening)
            return await opened.execute()

    summary = asyncio.run(asyncio.wait_for(main(), 30))
    assert summary["groups"]["scored"] == 3
    assert not {*held} & {"x.jsonl", "x.failures.jsonl", "y.jsonl", "y.failures.jsonl"}


def test_tasks_of_any_name_are_put_together(tmp_path: Path) -> None:
    tasks = [Task.ask("x", task_id=name) for name in ("a#0", "ü", " ", "1")]
    run(speaking(), scoring(), tasks=tasks, repeats=2, output=tmp_path / "x.jsonl")
    assert rewards_of(tmp_path / "x.jsonl").keys() == {"a#0", "ü", " ", "1"}
