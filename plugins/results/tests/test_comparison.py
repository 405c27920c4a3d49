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
from gym_results.comparison import Statistics, difference, same_tasks
from gym_results.reading import ResultsFile
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
