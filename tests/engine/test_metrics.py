"""Numbers over rewards, against the plainest way to compute them."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gym_core.engine.metrics.rewards import ClusteredMean, RewardTally, pass_at_k, pass_hat_k, powers_of_two

REWARDS = st.floats(-10, 10, allow_nan=False).map(lambda value: round(value, 3))


def plain_standard_error(clusters: list[list[float]]) -> float:
    """Miller 2024, equation 4, as it is printed: a double sum within each cluster."""
    values = [value for cluster in clusters for value in cluster]
    mean = sum(values) / len(values)
    total = sum((a - mean) * (b - mean) for cluster in clusters for a in cluster for b in cluster)
    return math.sqrt(max(0.0, total)) / len(values)


@given(st.lists(st.lists(REWARDS, min_size=1, max_size=5), min_size=2, max_size=12))
def test_clustered_standard_error(clusters: list[list[float]]) -> None:
    mean = ClusteredMean()
    for cluster in clusters:
        mean.add(cluster)
    values = [value for cluster in clusters for value in cluster]
    assert mean.mean == pytest.approx(sum(values) / len(values), abs=1e-9)
    assert mean.standard_error == pytest.approx(plain_standard_error(clusters), abs=1e-5)


def test_one_rollout_per_task_is_the_usual_standard_error() -> None:
    mean = ClusteredMean()
    for value in (0.0, 1.0, 1.0, 0.0):
        mean.add([value])
    assert mean.standard_error == pytest.approx(0.5 / math.sqrt(4))


def test_repeats_that_agree_are_no_further_evidence() -> None:
    alone, repeated = ClusteredMean(), ClusteredMean()
    for value in (0.0, 1.0, 1.0):
        alone.add([value])
        repeated.add([value] * 10)
    assert repeated.standard_error == pytest.approx(alone.standard_error)


def test_equal_rewards_have_no_error() -> None:
    mean = ClusteredMean()
    for _ in range(1000):
        mean.add([0.1])
    assert mean.standard_error == pytest.approx(0.0, abs=1e-6)


def test_rewards_far_from_zero_keep_their_error() -> None:
    mean = ClusteredMean()
    clusters = [[1e6 + value] for value in (0.0, 1.0, 1.0, 0.0)]
    for cluster in clusters:
        mean.add(cluster)
    assert mean.standard_error == pytest.approx(0.25, rel=1e-3)


def test_nothing_and_one_task_have_no_error() -> None:
    mean = ClusteredMean()
    assert (mean.mean, mean.standard_error) == (None, None)
    mean.add([])
    mean.add([1.0, 0.0])
    assert (mean.mean, mean.standard_error) == (0.5, None)


@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_and_pass_hat_k_are_averages_over_all_choices(case: tuple[int, int, int]) -> None:
    n, c, k = case
    choices = list(itertools.combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, choices)) / len(choices))
    assert pass_hat_k(n, c, k) == pytest.approx(sum(map(all, choices)) / len(choices))


@pytest.mark.parametrize(
    ("most", "ks"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (8, [1, 2, 4, 8]), (10, [1, 2, 4, 8, 10])]
)
def test_which_k_are_reported(most: int, ks: list[int]) -> None:
    assert powers_of_two(most) == ks


@given(
    st.integers(1, 4).flatmap(
        lambda repeats: st.tuples(
            st.just(repeats),
            st.lists(
                st.lists(st.none() | st.sampled_from([0.0, 0.5, 1.0]), min_size=repeats, max_size=repeats),
                min_size=1,
                max_size=6,
            ),
        )
    ),
    st.randoms(use_true_random=False),
)
def test_a_tally_is_the_same_in_whatever_order_rollouts_end(case: tuple[int, list[list[Any]]], random: Any) -> None:
    repeats, tasks = case
    arrivals = [(f"t{number}", reward) for number, rewards in enumerate(tasks) for reward in rewards]
    random.shuffle(arrivals)
    tally = RewardTally(repeats)
    for task_id, reward in arrivals:
        tally.add(task_id, reward, {} if reward is None else {"part": reward / 2})
    failures = sum(reward is None for _, reward in arrivals)
    found = tally.result(failures)

    clusters = [[reward for reward in rewards if reward is not None] for rewards in tasks]
    clusters = [cluster for cluster in clusters if cluster]
    values = [value for cluster in clusters for value in cluster]
    assert found["rollouts"] == len(values)
    assert found["left_out"] == failures
    assert found["mean_over_all"] == pytest.approx(sum(values) / len(arrivals))
    if values:
        assert found["mean"] == pytest.approx(sum(values) / len(values))
        assert found["components"]["part"]["mean"] == pytest.approx(found["mean"] / 2)
        assert found["components"]["part"]["rollouts"] == len(values)
    else:
        assert found["mean"] is None
    if len(clusters) > 1:
        assert found["standard_error"] == pytest.approx(plain_standard_error(clusters), abs=1e-5)
    for k in powers_of_two(repeats) if repeats > 1 else ():
        enough = [cluster for cluster in clusters if len(cluster) >= k]
        for name, measure in (("pass@k", pass_at_k), ("pass^k", pass_hat_k)):
            if not enough:
                assert str(k) not in found[name]
                continue
            expected = [measure(len(cluster), cluster.count(1.0), k) for cluster in enough]
            assert found[name][str(k)]["mean"] == pytest.approx(sum(expected) / len(expected), abs=1e-8)
            assert found[name][str(k)]["tasks"] == len(enough)
    assert ("pass@k" in found) is (repeats > 1)


def test_the_running_mean_counts_tasks_that_are_still_under_way() -> None:
    tally = RewardTally(2)
    assert tally.running_mean is None
    tally.add("a", 1.0, {})
    assert tally.running_mean == 1.0
    tally.add("b", 0.0, {})
    tally.add("b", 0.0, {})
    assert tally.running_mean == pytest.approx(1 / 3)


def test_a_component_that_only_some_verdicts_name_is_averaged_over_those() -> None:
    tally = RewardTally()
    tally.add("a", 1.0, {"part": 0.5})
    tally.add("b", 0.0, {})
    assert tally.result(0)["components"] == {"part": {"mean": 0.5, "standard_error": None, "rollouts": 1}}


def test_a_component_called_reward_does_not_become_the_reward() -> None:
    tally = RewardTally()
    tally.add("a", 1.0, {"reward": 0.0})
    assert tally.result(0)["mean"] == 1.0
