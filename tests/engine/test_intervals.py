"""Intervals of means, held against simulated runs with a fixed seed."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gym_core.engine.metrics.intervals import interval_of_mean, student_t
from gym_core.engine.metrics.rewards import RewardTally


def interval(rewards: list[list[float]]) -> list[float]:
    """What a run with these rewards, by task, reports as its interval."""
    repeats = max(map(len, rewards))
    tally = RewardTally(repeats)
    for task, of_task in enumerate(rewards):
        for reward in of_task:
            tally.add(str(task), reward, {})
    found = tally.result(0)["interval_95"]
    assert found is not None
    return [*found]


def drawn(source: random.Random, chances: list[float], repeats: int) -> list[list[float]]:
    return [[float(source.random() < chance) for _ in range(repeats)] for chance in chances]


@pytest.mark.parametrize(("degrees", "exact"), [(1, 12.706), (2, 4.303), (3, 3.182), (5, 2.571), (30, 2.042)])
def test_students_t(degrees: int, exact: float) -> None:
    assert student_t(degrees) == pytest.approx(exact, rel=0.01)


def test_zero_or_one_with_one_repeat_is_wilsons_interval() -> None:
    low, high = interval([[1.0]] * 8 + [[0.0]] * 2)
    assert (low, high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert interval([[1.0]] * 10) == pytest.approx([0.7225, 1.0], abs=1e-4)
    assert interval([[0.0] * 4] * 10) == pytest.approx([0.0, 0.2775], abs=1e-4)  # repeats are no tasks


@given(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=4), min_size=2, max_size=12))
def test_rewards_between_0_and_1_have_an_interval_within(rewards: list[list[float]]) -> None:
    low, high = interval(rewards)
    values = [reward for of_task in rewards for reward in of_task]
    assert 0 <= low <= math.fsum(values) / len(values) + 1e-6
    assert math.fsum(values) / len(values) - 1e-6 <= high <= 1


def test_other_rewards_are_not_held_to_0_and_1() -> None:
    low, high = interval([[0.0], [3.0], [-1.0]])
    assert low < -1
    assert high > 2


@pytest.mark.parametrize(("tasks", "repeats"), [(5, 1), (8, 4), (20, 1), (20, 4)])
@pytest.mark.parametrize("difficulty", [(1.0, 1.0), (6.0, 1.0)])
def test_the_interval_holds_the_truth_some_95_times_out_of_100(
    tasks: int, repeats: int, difficulty: tuple[float, float]
) -> None:
    source, held, rounds = random.Random(7), 0, 600
    truth = difficulty[0] / sum(difficulty)
    for _ in range(rounds):
        chances = [source.betavariate(*difficulty) for _ in range(tasks)]
        low, high = interval(drawn(source, chances, repeats))
        held += low <= truth <= high
    # 0.95 less what a share of 600 varies by; few outcomes make few intervals
    assert held / rounds >= 0.9


def test_flips_and_variances_are_those_of_the_rewards() -> None:
    """Tasks pass with chances of their own: the variance between them is found apart from that of their repeats."""
    source, tally = random.Random(5), RewardTally(4)
    chances = [source.uniform(0.2, 0.8) for _ in range(800)]
    rewards = drawn(source, chances, 4)
    for task, of_task in enumerate(rewards):
        for reward in of_task:
            tally.add(str(task), reward, {})
    result = tally.result(0)
    assert result["tasks"] == 800
    assert result["flips"] == {"tasks": 800, "flipped": sum(0 < sum(of_task) < 4 for of_task in rewards)}
    assert result["variance"]["between_tasks"] == pytest.approx(0.6**2 / 12, rel=0.15)
    assert result["variance"]["within_tasks"] == pytest.approx(0.25 - 0.6**2 / 12, rel=0.05)


def test_a_task_whose_other_rollouts_failed_has_no_repeats() -> None:
    tally = RewardTally(2)
    for task in ("a", "b"):
        tally.add(task, 1.0, {})
        tally.add(task, None, {})
    result = tally.result(2)
    assert result["flips"] == {"tasks": 0, "flipped": 0}
    assert result["variance"] == {"between_tasks": None, "within_tasks": None}


@pytest.mark.parametrize("within_unit", [True, False])
def test_one_task_has_no_interval(within_unit: bool) -> None:
    assert interval_of_mean(0.5, None, clusters=1, count=4, within_unit=within_unit) is None
