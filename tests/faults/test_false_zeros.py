"""No failure is taken for a reward, wherever a trainer takes rewards: a few rollouts of each fault of the benchmark."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks import false_zeros
from benchmarks.false_zeros import (
    ASKED,
    FAULTS,
    FOR_TRL,
    FOR_VERL,
    READERS,
    SERVED,
    WELL,
    Account,
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
    places = {*READERS, ASKED, FOR_TRL, FOR_VERL} | (set() if full else {SERVED})
    assert set(account.read) == places
    assert account.asked == ROLLOUTS
    assert account.served == (0 if full else ROLLOUTS)
    for place in places:
        assert account.false(place) == 0, place
        assert account.shifted(place) == 0, place
        rewards = [reward for _, _, reward in account.read[place] if reward is not None]
        assert rewards, f"{place} has the rewards of those that are well"
        assert {*rewards} <= {*false_zeros.TRUE}
    recovered = {ASKED: ROLLOUTS // 2, SERVED: ROLLOUTS} if fault == "weight update in a call" else {}
    for place in () if full else (ASKED, SERVED):
        without = [member for _, member, reward in account.read[place] if reward is None]
        assert len(without) == ROLLOUTS - recovered.get(place, 0)
        assert min(without, default=WELL) >= WELL


def test_what_counts_false_rewards_does_see_them() -> None:
    account = Account("raising verifier")
    well = [("raising verifier 0", member, true_reward(member)) for member in range(WELL)]
    account.read[ASKED] = [*well, ("raising verifier 0", 2, None), ("raising verifier 0", 3, 0.0)]
    account.read[SERVED] = [*well, ("raising verifier 0", 2, true_reward(2))]
    account.read[FOR_TRL] = [("raising verifier 0", 0, 0.0)]
    assert [account.false(place) for place in (ASKED, SERVED, FOR_TRL)] == [1, 1, 1]
    assert [account.shifted(place) for place in (ASKED, SERVED, FOR_TRL)] == [1, 1, 1]
