"""Intervals and the power of comparisons, held against simulated runs with a fixed seed."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gym_core.engine.metrics.intervals import interval_of_difference, interval_of_mean, student_t
from gym_core.engine.metrics.power import Noise
from gym_core.engine.metrics.rewards import RewardTally
from gym_core.engine.metrics.statistics import ClusteredMean


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


def shown(means: list[float], *, zero_or_one: bool) -> bool:
    """Whether a comparison with these differences shows one."""
    mean = ClusteredMean()
    for value in means:
        mean.add_single(value)
    assert mean.mean is not None
    found = interval_of_difference(
        mean.mean, mean.standard_error, tasks=len(means), zero_or_one=zero_or_one, within_unit=True
    )
    assert found is not None
    return not found[0] <= 0 <= found[1]


def share_shown(simulate: Callable[[random.Random], list[float]], *, zero_or_one: bool, rounds: int = 500) -> float:
    source = random.Random(11)
    return sum(shown(simulate(source), zero_or_one=zero_or_one) for _ in range(rounds)) / rounds


@pytest.mark.parametrize(("tasks", "repeats", "between"), [(12, 4, 0.0), (40, 2, 0.1), (80, 1, 0.2)])
def test_the_smallest_difference_is_shown_8_times_out_of_10(tasks: int, repeats: int, between: float) -> None:
    """Rewards of a task scatter by 0.3 in each run, and tasks by `between` in which of both is better."""
    noise = Noise(tasks, repeats, between**2, 2 * 0.3**2)
    smallest = noise.smallest_difference
    assert smallest is not None

    def differences(difference: float) -> Callable[[random.Random], list[float]]:
        deviation = math.sqrt(between**2 + 2 * 0.3**2 / repeats)
        return lambda source: [source.gauss(difference, deviation) for _ in range(tasks)]

    assert share_shown(differences(smallest), zero_or_one=False) == pytest.approx(0.8, abs=0.07)
    assert share_shown(differences(smallest / 2), zero_or_one=False) < 0.4
    assert share_shown(differences(0.0), zero_or_one=False) == pytest.approx(0.05, abs=0.03)


def test_repeats_and_tasks_needed_do_show_the_difference() -> None:
    """Verdicts: a task passes half the time or so, and a tenth more often in the second run."""
    source = random.Random(3)
    chances = [source.uniform(0.3, 0.6) for _ in range(60)]
    within = 2 * 0.25
    noise = Noise(60, 2, 0.0, within)
    repeats, tasks = noise.repeats_needed(0.1), noise.tasks_needed(0.1)
    assert repeats is not None
    assert tasks is not None

    def verdicts(count: int, each: int) -> Callable[[random.Random], list[float]]:
        def simulate(source: random.Random) -> list[float]:
            of = [chances[number % 60] for number in range(count)]
            pairs = zip(drawn(source, of, each), drawn(source, [one + 0.1 for one in of], each), strict=True)
            return [(sum(other) - sum(one)) / each for one, other in pairs]

        return simulate

    assert share_shown(verdicts(60, repeats), zero_or_one=False, rounds=200) == pytest.approx(0.8, abs=0.1)
    assert share_shown(verdicts(tasks, 2), zero_or_one=False, rounds=200) == pytest.approx(0.8, abs=0.1)
    assert share_shown(verdicts(60, max(1, repeats // 4)), zero_or_one=False, rounds=200) < 0.5


def test_the_tasks_disagree_too_much_for_any_number_of_repeats() -> None:
    noise = Noise(10, 4, 0.2, 0.1)
    assert noise.repeats_needed(0.05) is None
    assert (noise.tasks_needed(0.05) or 0) > 500
    assert Noise(10, 1, 0.0, None).to_wire(0.1) == {
        "smallest_difference": None,
        "tasks_needed": None,
        "repeats_needed": None,
    }


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
    assert interval_of_difference(0.5, None, tasks=1, zero_or_one=within_unit, within_unit=within_unit) is None
