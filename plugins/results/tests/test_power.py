"""The power of comparisons, held against simulated runs with a fixed seed."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from gym_core.spi import ClusteredMean
from gym_results.power import Noise, interval_of_difference


def drawn(source: random.Random, chances: list[float], repeats: int) -> list[list[float]]:
    return [[float(source.random() < chance) for _ in range(repeats)] for chance in chances]


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


@pytest.mark.parametrize("within_unit", [True, False])
def test_a_difference_over_one_task_has_no_interval(within_unit: bool) -> None:
    assert interval_of_difference(0.5, None, tasks=1, zero_or_one=within_unit, within_unit=within_unit) is None
