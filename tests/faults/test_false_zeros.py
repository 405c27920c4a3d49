"""No failure is taken for a reward, wherever a trainer takes rewards: a few rollouts of each fault of the benchmark."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks import false_zeros
from benchmarks.false_zeros import (
    FAULTS,
    GROUPED,
    HANDED,
    IN_TRL,
    MASKED_ROWS,
    READERS,
    SERVED,
    WELL,
    Account,
    line,
    measured,
    true_reward,
)

ROLLOUTS = 4


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(false_zeros, "SECONDS", 0.7)
    yield
    false_zeros.free_disk()


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_becomes_a_reward_in_any_place(fault: str) -> None:
    account = measured(fault, ROLLOUTS)
    full = fault == "full disk"
    served = () if full else tuple(SERVED)
    places = {*READERS, *HANDED, *served}
    assert set(account.read) == places
    assert account.asked == ROLLOUTS
    assert account.served == dict.fromkeys(served, ROLLOUTS)
    for place in places:
        assert account.false(place) == 0, place
        assert account.shifted(place) == 0, place
        rewards = [reward for _, _, reward in account.read[place] if reward is not None]
        if (fault, place) != ("cancellation", GROUPED):  # of a group whose caller leaves nothing is told
            assert rewards, f"{place} has the rewards of those that are well"
        assert {*rewards} <= {*false_zeros.TRUE}
    assert line(account)[-2] == ("not run: no TRL" if fault in IN_TRL else "befalls nothing")
    handed = next(iter(HANDED))
    for place in () if full else (handed, *served):
        recovered = fault == "weight update in a call" and (ROLLOUTS if place in SERVED else ROLLOUTS // 2)
        valid = {(task, member) for task, member, reward in account.read[place] if reward is not None}
        without = {(task, member) for task, member, _ in account.read[place]} - valid
        lost = 2 * WELL if (fault, place) == ("cancellation", GROUPED) else 0
        assert len(without) == ROLLOUTS - recovered + lost
        assert lost or min((member for _, member in without), default=WELL) >= WELL


def test_what_counts_false_rewards_does_see_them() -> None:
    account = Account("raising verifier")
    well = [("raising verifier 0", member, true_reward(member)) for member in range(WELL)]
    asked, for_trl, run, masked = "an open gym's", "those for TRL", "`POST /run`", MASKED_ROWS
    account.read[asked] = [*well, ("raising verifier 0", 2, None), ("raising verifier 0", 3, 0.0)]
    account.read[run] = [*well, ("raising verifier 0", 2, true_reward(2))]
    account.read[for_trl] = [("raising verifier 0", 0, 0.0)]
    bare = {"task_id": "raising verifier 0", "_ng_rollout_index": 2, "reward": 0.0}
    half = {**bare, "mask_sample": True}
    whole = {**half, "instance_config": {"mask_sample": True}}
    account.read[masked] = [reward for row in (bare, half, whole) for reward in READERS[masked](row)]
    places = (asked, run, for_trl, masked)
    assert [account.false(place) for place in places] == [1, 1, 1, 2]
    assert [account.shifted(place) for place in places] == [1, 1, 1, 1]


def test_what_came_before_the_end_of_a_training_is_counted_as_that() -> None:
    told = {"before": 40, "false": 0, "groups": 10, "shifted": 0, "training": "stops with StoreError"}
    assert line(Account("full disk", in_trl=told))[-2:] == ("ends the training; 0 of 40 before it", "0 of 10")
