"""One limit on requests over several workers: what one meets all heed, and a cap is a cap."""

from __future__ import annotations

import random
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gym_core.engine.model_calls.rate_limits import UNLIMITED, Limiter
from gym_core.spi import RunConfig, run_config
from gym_testing import FakeOpenAI, Received, Turn, faults
from gym_testing.isolation import IsolatedPlugins
from gym_workers.shared_limits import SharedLimit, WorkerLimiter
from tests.support import spread
from tests.support.loop import asynchronous
from tests.support.running import execute

NAME = "http://somewhere/v1"


class Network:
    """An endpoint's limit and the workers that share it, with messages that arrive in order and late."""

    def __init__(self, cap: int | None, workers: int, chance: random.Random) -> None:
        self.shown = Limiter(cap)
        self._chance = chance
        self._mail: dict[Any, deque[Callable[[], None]]] = {}
        self.endpoint = SharedLimit(NAME, self.shown, self._send)
        self._cap = cap
        self.workers: list[WorkerLimiter] = []
        self._names = [*range(workers)]
        for name in self._names:
            self.workers.append(self._join(name))
        while self.carry():
            pass

    def _join(self, name: int) -> WorkerLimiter:
        limiter = WorkerLimiter(lambda: None)
        limiter.cap(self._cap)
        self.endpoint.join(name)
        return limiter

    def replace(self, worker: int) -> None:
        """One dies with its requests, and another one comes."""
        name = self._names[worker]
        self.endpoint.leave(name)
        for way in ("to", "from"):
            self._mail.pop((way, name), None)
        self._names[worker] = new = max(self._names) + 1
        self.workers[worker] = self._join(new)

    def _send(self, worker: int, head: dict[str, Any]) -> None:
        def deliver() -> None:
            limiter = self.workers[self._names.index(worker)]
            if "share" in head:
                limiter.lent(*head["share"][1:])
            else:
                limiter.lower(head["lower"][1])

        self._mail.setdefault(("to", worker), deque()).append(deliver)

    def tell(self, worker: int) -> None:
        state = self.workers[worker].state()
        name = self._names[worker]
        self._mail.setdefault(("from", name), deque()).append(lambda: self.endpoint.told(name, state))

    def carry(self) -> bool:
        waiting = sorted(way for way, mail in self._mail.items() if mail)
        if waiting:
            self._mail[self._chance.choice(waiting)].popleft()()
        return bool(waiting)

    def settle(self) -> None:
        for _ in range(4):
            for number in range(len(self.workers)):
                self.tell(number)
            while self.carry():
                pass
            self.endpoint.deal()
            while self.carry():
                pass

    @property
    def inflight(self) -> int:
        return sum(limiter.inflight for limiter in self.workers)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("cap", [1, 2, 7])
def test_a_cap_is_never_exceeded_and_everybody_gets_his_turn(cap: int, seed: int) -> None:
    chance = random.Random(seed)
    net = Network(cap, 3, chance)
    wanted = [30, 30, 30]
    for _ in range(20_000):
        worker = chance.randrange(3)
        limiter = net.workers[worker]
        act = chance.randrange(6)
        if act == 0 and wanted[worker] and limiter.try_acquire():
            wanted[worker] -= 1
        elif act == 1 and limiter.inflight:
            limiter.succeeded()
            limiter.release()
        elif act == 2:
            limiter.waiting = wanted[worker]
            net.tell(worker)
        elif act == 3:
            net.endpoint.deal()
        else:
            net.carry()
        assert net.inflight <= cap
    assert wanted == [0, 0, 0]


@settings(max_examples=150, deadline=None)
@given(
    cap=st.sampled_from([None, 5, 40]),
    acts=st.lists(st.tuples(st.sampled_from(["start", "end", "complain", "tell", "deal", "die", *["carry"] * 4]),
                            st.integers(0, 2)), max_size=200),
    chance=st.randoms(use_true_random=False),
)  # fmt: skip
def test_whatever_happens_a_cap_is_kept_and_in_the_end_all_of_the_limit_is_dealt_out(
    cap: int | None, acts: list[tuple[str, int]], chance: random.Random
) -> None:
    net = Network(cap, 3, chance)
    for act, worker in acts:
        limiter = net.workers[worker]
        if act == "start":
            for _ in range(5):
                limiter.try_acquire()
        elif act == "end" and limiter.inflight:
            limiter.succeeded()
            limiter.release()
        elif act == "complain" and limiter.inflight:
            limiter.overloaded(limiter.epoch)
        elif act == "tell":
            net.tell(worker)
        elif act == "deal":
            net.endpoint.deal()
        elif act == "die":
            net.replace(worker)
        else:
            net.carry()
        assert net.inflight <= (cap or UNLIMITED)
    for limiter in net.workers:
        while limiter.inflight:
            limiter.release()
        limiter.waiting = 100
    net.settle()
    if net.endpoint.limited:
        dealt = sum(limiter.limit for limiter in net.workers)
        total = int(net.endpoint.total)
        assert total - 2 <= dealt <= total  # what does not divide by three is passed round, and may be on its way
    assert all(limiter.epoch == net.workers[0].epoch for limiter in net.workers)


def test_a_complaint_lowers_all_once_per_burst_and_answers_raise_it_again() -> None:
    net = Network(None, 2, random.Random(1))
    for limiter in net.workers:
        for _ in range(50):
            assert limiter.try_acquire()
    before = [limiter.epoch for limiter in net.workers]
    for limiter, epoch in zip(net.workers, before, strict=True):
        for _ in range(10):
            limiter.overloaded(epoch)
    net.settle()
    assert net.endpoint.total == pytest.approx(70)
    assert net.shown.decreases == 1
    assert sum(limiter.limit for limiter in net.workers) == 70
    for limiter in net.workers:
        while limiter.inflight > limiter.limit:
            limiter.release()
    net.settle()
    for _ in range(70):  # one round of answers
        limiter = max(net.workers, key=lambda limiter: limiter.inflight)
        limiter.succeeded()
        net.settle()
    assert 70.5 < net.endpoint.total < 71.5


def test_a_complaint_of_one_worker_is_heeded_by_the_other() -> None:
    net = Network(None, 2, random.Random(1))
    for limiter in net.workers:
        for _ in range(10):
            limiter.try_acquire()
    net.workers[0].overloaded(net.workers[0].epoch)
    net.settle()
    assert [limiter.limit for limiter in net.workers] == [7, 7]
    assert not any(limiter.try_acquire() for limiter in net.workers)


def test_who_leaves_leaves_his_share_to_the_others() -> None:
    net = Network(6, 2, random.Random(1))
    net.settle()
    assert sum(limiter.limit for limiter in net.workers) == 6
    net.workers[1].waiting = 9
    net.settle()
    net.endpoint.leave(0)
    net.endpoint.deal()
    while net.carry():
        pass
    assert net.workers[1].limit == 6


@pytest.mark.skipif(sys.platform == "win32", reason="needs Unix sockets")
class TestRuns:
    def config(self, server: FakeOpenAI, **options: Any) -> RunConfig:
        given = {"base_url": server.base_url, "api_key": "sk-nobody", "transport": "aiohttp", **options}
        return run_config(
            models={"policy": "openai:fake-model"},
            model_options={"policy": given},
            env="spread_env",
            agent="spread_agent",
            tasks=[spread.told(number) for number in range(40)],
            concurrency=16,
            workers=2,
        )

    @pytest.mark.slow
    @asynchronous
    async def test_workers_share_a_cap(self, isolated_plugins: IsolatedPlugins) -> None:
        isolated_plugins.keep("openai")
        spread.install(isolated_plugins)
        async with FakeOpenAI("done") as server:
            ended = await execute(self.config(server, max_inflight=3))
        assert ended.statuses() == ["completed"] * 40
        assert server.peak <= 3

    @pytest.mark.slow
    @asynchronous
    async def test_rate_limits_slow_all_down_and_fail_nobody(self, isolated_plugins: IsolatedPlugins) -> None:
        isolated_plugins.keep("openai")
        spread.install(isolated_plugins)

        def turn(request: Received) -> Turn:
            return faults.rate_limited(retry_after_ms=5) if request.number < 12 else "done"

        async with FakeOpenAI(turn) as server:
            ended = await execute(self.config(server))
        assert ended.statuses() == ["completed"] * 40
        assert ended.summary["health"]["models"]["policy"]["decreases"] >= 1
        assert ended.summary["health"]["models"]["policy"]["retries"] == 12


def test_nothing_is_dealt_where_there_is_no_limit(tmp_path: Path) -> None:
    net = Network(None, 2, random.Random(1))
    net.endpoint.deal()
    assert not net.carry()
