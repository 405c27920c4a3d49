"""A number lent in pieces: whatever is lent, used, returned, lost or told late, never more of it is in use."""

from __future__ import annotations

from collections import deque

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gym_workers.leases import EVERYTHING, Lease, Lender

TOTAL = 100
WORKER = st.integers(0, 2)


class Lending(RuleBasedStateMachine):
    """One lender and three workers, with a queue of messages each way; a worker that dies is replaced.

    Half of what a worker uses is spent for good, the rest may be put back, as tokens and requests in flight are.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lender = Lender(TOTAL)
        self.spent = 0  # as the owner knows it
        self.really_spent = 0
        self.names = [0, 1, 2]
        self.ends = {name: Lease() for name in self.names}
        self.in_use = dict.fromkeys(self.names, 0)
        self.down: dict[int, deque[tuple[int, int]]] = {name: deque() for name in self.names}
        self.up: dict[int, deque[tuple[int, int]]] = {name: deque() for name in self.names}
        for name in self.names:
            self.lender.leases[name] = Lease()

    @rule(worker=WORKER, share=st.integers(0, TOTAL), keep=st.sampled_from([0, 5, 40, EVERYTHING]))
    def lend(self, worker: int, share: int, keep: int) -> None:
        amount = min(share, TOTAL - self.spent - self.lender.held)
        name = self.names[worker]
        self.lender.leases[name].add(amount, keep)
        self.down[name].append((amount, keep))

    @rule(worker=WORKER)
    def hear(self, worker: int) -> None:
        name = self.names[worker]
        if self.down[name]:
            self.ends[name].add(*self.down[name].popleft())

    @rule(worker=WORKER, amount=st.integers(1, TOTAL))
    def use(self, worker: int, amount: int) -> None:
        name = self.names[worker]
        self.in_use[name] += max(0, min(amount, min(self.ends[name].held, self.ends[name].keep) - self.in_use[name]))

    @rule(worker=WORKER, part=st.integers(0, 4))
    def finish(self, worker: int, part: int) -> None:
        name = self.names[worker]
        spent = self.in_use[name] * part // 4
        self.ends[name].spent += spent
        self.really_spent += spent
        self.in_use[name] = 0

    @rule(worker=WORKER)
    def tell(self, worker: int) -> None:
        name = self.names[worker]
        end = self.ends[name]
        end.settle(self.in_use[name])
        assert self.in_use[name] <= end.held <= max(self.in_use[name], end.keep)
        self.up[name].append((end.returned, end.spent))

    @rule(worker=WORKER)
    def be_told(self, worker: int) -> None:
        name = self.names[worker]
        if self.up[name]:
            lease = self.lender.leases[name]
            returned, spent = self.up[name].popleft()
            self.spent += spent - lease.spent
            lease.returned, lease.spent = returned, spent

    @rule(worker=WORKER)
    @precondition(lambda self: len(self.names) < 100)
    def die(self, worker: int) -> None:
        name = self.names[worker]
        self.spent += self.lender.leave(name)
        self.in_use.pop(name)
        self.names[worker] = new = max(self.names) + 1
        self.ends[new], self.lender.leases[new] = Lease(), Lease()
        self.in_use[new] = 0
        self.down[new], self.up[new] = deque(), deque()

    @invariant()
    def never_more_than_there_is(self) -> None:
        assert self.really_spent + sum(self.in_use.values()) <= self.spent + self.lender.held <= TOTAL

    @invariant()
    def nobody_thinks_better_of_a_worker_than_is_true(self) -> None:
        for name in self.names:
            assert self.lender.leases[name].held >= self.ends[name].held

    def teardown(self) -> None:
        """Once everything is taken back and told, everything that was not spent or lost is there again."""
        for worker, name in enumerate(self.names):
            self.lend(worker, 0, 0)
            while self.down[name]:
                self.hear(worker)
            self.in_use[name] = 0
            self.tell(worker)
            while self.up[name]:
                self.be_told(worker)
        assert self.lender.held == 0


TestLending = Lending.TestCase


def test_what_was_used_beyond_a_lease_is_told_as_less_than_nothing_returned() -> None:
    lease = Lease()
    lease.add(10, EVERYTHING)
    lease.spent = 14
    assert lease.settle(in_use=0)
    assert (lease.returned, lease.held) == (-4, 0)
