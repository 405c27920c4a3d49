"""Numbers computed again from files, broken down by fields, and compared task by task."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gym_core import UsageError
from gym_core.engine.comparison import Statistics, difference, same_tasks
from gym_core.engine.metrics.breakdown import SHOWN, TRACKED, Breakdown, field_value, label
from gym_core.engine.metrics.rewards import RewardTally
from gym_core.engine.storage.reading import ResultsFile
from tests.support.envs import ask, env
from tests.support.models import ScriptedModel
from tests.support.running import Ended, read_jsonl, run


def collected(path: Path, rewards: dict[str, float], *, fails: Any = (), **settings: Any) -> Ended:
    """A run over tasks with these rewards; `fails`: the keys of rollouts that fail."""
    tasks = [ask(number, reward_wanted=reward, name=name) for number, (name, reward) in enumerate(rewards.items())]
    for task, name in zip(tasks, rewards, strict=True):
        task.row["task_id"] = task.task_id = name
    model = ScriptedModel(lambda request, context: ValueError("no") if context.key in fails else "yes")
    return run(model, env(tasks=tasks), output=path, **settings)


def rewards(count: int) -> dict[str, float]:
    return {f"t{number}": number % 4 / 4 for number in range(count)}


@pytest.mark.parametrize("repeats", [1, 3])
def test_statistics_agree_with_the_summary_of_the_run(tmp_path: Path, repeats: int) -> None:
    path = tmp_path / "x.jsonl"
    by = ["name", "rollout.stop_reason", "responses_create_params.input.0.role"]
    collected(path, rewards(20), fails={("t3", 0), ("t5", repeats - 1)}, repeats=repeats, by=by)
    summary = orjson.loads(path.with_name("x.summary.json").read_bytes())
    result = Statistics(path, by=by).result
    for name in ("reward", "statuses", "usage", "cost", "tools", "errors", "mean_seconds"):
        assert result[name] == summary[name], name
    for name in ("with_verdict", "failed", "cancelled"):
        assert result["rollouts"][name] == summary["rollouts"][name]
    assert result["run_id"] == summary["run_id"]
    assert result["repeats"] == repeats
    assert ("pass@k" in result["reward"]) is (repeats > 1)


def test_repeats_are_found_without_a_manifest(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    summary = collected(path, rewards(4), repeats=3).summary
    path.with_name("x.run.json").unlink()
    assert Statistics(path).result["reward"] == summary["reward"]


def test_a_retried_failure_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    tries = iter((ValueError("no"), ValueError("no"), "yes", "yes"))
    model = ScriptedModel(lambda request, context: next(tries))
    run(model, env(tasks=2), output=path)
    second = run(model, env(tasks=2), output=path, mode="resume", retry_failed=True)
    assert Statistics(path).result["rollouts"] == {"with_verdict": 2, "failed": 0, "cancelled": 0}
    assert Statistics(path).result["reward"] == second.summary["reward"]


def test_of_several_failed_attempts_the_last_counts(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    tries = iter((ValueError("one"), ValueError("two")))
    model = ScriptedModel(lambda request, context: next(tries))
    run(model, env(), output=path)
    run(model, env(), output=path, mode="resume", retry_failed=True)
    assert len(read_jsonl(path.with_name("x.failures.jsonl"))) == 2
    (group,) = Statistics(path).result["errors"]
    assert group["count"] == 1
    assert "two" in group["example"]


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    collected(path, rewards(3))
    with path.open("ab") as file:
        file.write(b'{"task_id": "t9", "resp')
    statistics = Statistics(path)
    assert statistics.torn == 23
    assert statistics.result["rollouts"]["with_verdict"] == 3


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.jsonl", None, "cannot be read"),
        ("x.jsonl", b"", "holds no rollout"),
        ("x.jsonl", b"\n\n", "holds no rollout"),
        ("x.jsonl", b"{broken\n{}\n", "x.jsonl:1: not valid JSON"),
        ("x.jsonl", b'{"responses_create_params": {"input": "hi"}}\n', "x.jsonl:1: not a row that gym wrote"),
        ("x.jsonl", b"[1]\n", "not a row that gym wrote"),
        ("x.jsonl", b'{"task_id": "a", "response": {}, "rollout": {"run_id": "r"}}\n', "it lacks `rollout.repeat`"),
        ("x.failures.jsonl", b"", "x.jsonl, with which it is read"),
        ("x.csv", b"", "ends in `.jsonl`"),
    ],
)
def test_what_is_no_results_file_is_refused(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=re.escape(words)):
        Statistics(path)


def test_files_put_together_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    collected(path, rewards(2))
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(UsageError, match=r"x\.jsonl:3: repeat 0 of the task 't0' stands on an earlier line"):
        list(ResultsFile(path).rollouts())


@given(
    st.dictionaries(st.sampled_from("abcdefgh"), st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2),
)
def test_a_paired_difference_is_that_of_the_common_tasks(pairs: dict[str, tuple[float, float]]) -> None:
    first, second = _means({name: one for name, (one, _) in pairs.items()} | {"only": 9.0}), _means({})
    second.task_means = {hash(name): other for name, (_, other) in pairs.items()}
    found = difference(first, second)
    assert found is not None
    values = [other - one for one, other in pairs.values()]
    mean = sum(values) / len(values)
    error = math.sqrt(sum((value - mean) ** 2 for value in values)) / len(values)
    assert found["difference"] == pytest.approx(mean, abs=1e-8)
    assert found["standard_error"] == pytest.approx(error, abs=1e-6)
    assert (found["tasks"], found["only_first"], found["only_second"]) == (len(pairs), 1, 0)
    low, high = found["interval_95"]
    assert low <= found["difference"] <= high
    assert found["correlation"] is None or -1 <= found["correlation"] <= 1


def _means(means: dict[str, float]) -> Statistics:
    statistics = Statistics.__new__(Statistics)
    statistics.path = Path("x.jsonl")
    statistics.zero_or_one = statistics.within_unit = False
    statistics.repeats = 1
    statistics.result = {"reward": {}}
    statistics.task_means = {hash(name): mean for name, mean in means.items()}
    return statistics


def test_repeats_of_a_task_are_one_value_of_a_difference(tmp_path: Path) -> None:
    collected(tmp_path / "a.jsonl", {"x": 0.0, "y": 0.5}, repeats=4, fails={("x", 2)})
    collected(tmp_path / "b.jsonl", {"x": 0.5, "y": 0.5, "z": 1.0})
    first, second = (Statistics(tmp_path / name, for_comparison=True) for name in ("a.jsonl", "b.jsonl"))
    found = difference(first, second)
    assert found is not None
    assert (found["difference"], found["tasks"], found["only_second"]) == (0.25, 2, 1)
    assert found["standard_error"] == pytest.approx(0.25 / math.sqrt(2))
    assert difference(second, first) == found | {
        "first": found["second"],
        "second": found["first"],
        "difference": -0.25,
        "interval_95": [-high for high in reversed(found["interval_95"])],
        "only_first": 1,
        "only_second": 0,
        "better": 0,
        "worse": 1,
    }


def test_runs_without_a_common_task_cannot_be_paired(tmp_path: Path) -> None:
    collected(tmp_path / "a.jsonl", {"x": 0.0})
    collected(tmp_path / "b.jsonl", {"y": 0.0})
    first, second = (Statistics(tmp_path / name, for_comparison=True) for name in ("a.jsonl", "b.jsonl"))
    assert difference(first, second) is None


def test_manifests_tell_when_inputs_differ(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.tasks.jsonl").write_bytes(orjson.dumps(ask(1, extra=name).row) + b"\n")
    for name, tasks in (("one", "a"), ("two", "a"), ("three", "b")):
        run(ScriptedModel(), env(), input=tmp_path / f"{tasks}.tasks.jsonl", output=tmp_path / f"{name}.jsonl")
    one, two, three = (Statistics(tmp_path / f"{name}.jsonl") for name in ("one", "two", "three"))
    assert same_tasks(one, two)
    assert not same_tasks(one, three)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a", 1),
        ("b.c", "x"),
        ("b.d.1", 7),
        ("dotted.name", True),
        ("missing", None),
        ("b.missing.c", None),
        ("b.d.9", None),
        ("b.c.x", None),
    ],
)
def test_a_dotted_path_leads_into_a_row(path: str, value: Any) -> None:
    assert field_value({"a": 1, "b": {"c": "x", "d": [6, 7]}, "dotted.name": True}, path) == value


def test_labels() -> None:
    assert [label(value) for value in ("x", 1, 2.5, True, None, {"a": [1]})] == [
        "x",
        "1",
        "2.5",
        "true",
        "(none)",
        '{"a":[1]}',
    ]
    assert len(label("x" * 5000)) == 200


def test_repeats_in_one_group_are_one_cluster_there() -> None:
    tally, groups = RewardTally(2, ["side"]), {"left": RewardTally(2), "right": RewardTally(2)}
    for task, side in (("a", "left"), ("b", "right"), ("c", "left"), ("d", "right")):
        for reward in (float(task in "ab"), 1.0):
            tally.add(task, reward, {}, {"side": side})
            groups[side].add(task, reward, {})
    tally.add("e", None, {}, {"side": "left"})
    values = tally.result(1)["by"]["side"]["values"]
    assert list(values) == ["left", "right"]
    for side, alone in groups.items():
        result = alone.result(0)
        assert values[side]["mean"] == result["mean"]
        assert values[side]["standard_error"] == result["standard_error"]
    assert values["left"]["left_out"] == 1


def test_a_rollouts_own_field_may_split_a_task() -> None:
    tally = RewardTally(2, ["rollout.stop_reason"])
    tally.add("a", 1.0, {}, {"rollout": {"stop_reason": "completed"}})
    tally.add("a", 0.0, {}, {"rollout": {"stop_reason": "max_turns"}})
    values = tally.result(0)["by"]["rollout.stop_reason"]["values"]
    assert {name: (group["mean"], group["rollouts"]) for name, group in values.items()} == {
        "completed": (1.0, 1),
        "max_turns": (0.0, 1),
    }


def test_values_are_in_natural_order_and_none_comes_last() -> None:
    breakdown = Breakdown("level")
    for level in ("level 10", "level 9", None, "7"):
        breakdown.group({"level": level}, failed=False).add_single(1.0)
    assert list(breakdown.result()["values"]) == ["7", "level 9", "level 10", "(none)"]
    assert breakdown.result()["others"] is None


def test_too_many_values_are_counted_together() -> None:
    breakdown = Breakdown("id")
    for number in range(TRACKED + 100):
        for _ in range(2 if number < 10 else 1):
            breakdown.group({"id": number}, failed=False).add_single(0.5)
    breakdown.group({"id": -1}, failed=True)
    result = breakdown.result()
    assert len(result["values"]) == SHOWN
    assert list(result["values"])[:10] == [str(number) for number in range(10)]
    assert result["others"] == {
        "values": TRACKED - SHOWN,
        "more": True,
        "rollouts": TRACKED + 110 - SHOWN - 10,
        "left_out": 1,
        "mean": 0.5,
    }
