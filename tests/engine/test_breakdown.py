"""Rewards by the values of a field."""

from __future__ import annotations

from typing import Any

import pytest

from gym_core.engine.metrics.breakdown import SHOWN, TRACKED, Breakdown, field_value, label
from gym_core.engine.metrics.rewards import RewardTally


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
