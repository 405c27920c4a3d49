"""One budget over several workers: it is never exceeded, and it is used."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gym_core import Request, Usage
from gym_core.engine.model_calls.budget import Budget, Meter
from gym_core.engine.model_calls.prices import Price, Rates
from gym_core.engine.model_calls.reservations import Reservation, Reservations
from gym_core.errors import BudgetExceeded
from gym_workers.shared_budget import SharedBudget, WorkerBudget
from tests.support.loop import asynchronous
from tests.support.models import ScriptedModel
from tests.support.running import read_jsonl
from tests.support.spread import told
from tests.support.spread_runs import run

PRICE = Price(Rates(input=3, cached=1, output=10))


class Network:
    """A coordinator and its workers with messages that arrive in order, and late: one at a time, by chance."""

    def __init__(self, budget: Budget, workers: int, chance: random.Random) -> None:
        self.budget = budget
        self._chance = chance
        self._mail: dict[Any, deque[Callable[[], None]]] = {}
        self._dirty: set[int] = set()
        self.shared_budget = SharedBudget(budget, self._send, workers)
        self.workers: dict[int, WorkerBudget] = {}
        for number in range(workers):
            meters = {"policy": Meter("policy", ScriptedModel(), PRICE)}
            self.workers[number] = WorkerBudget(
                meters,
                tokens=budget.max_tokens is not None,
                cost=budget.max_cost is not None,
                changed=partial(self._changed, number),
            )
            self.shared_budget.join(number)

    def _changed(self, worker: int, urgent: bool) -> None:
        self._dirty.add(worker)

    def _send(self, worker: int, head: dict[str, Any]) -> None:
        self._mail.setdefault(("to", worker), deque()).append(lambda: self._deliver(worker, head))

    def _deliver(self, worker: int, head: dict[str, Any]) -> None:
        if worker in self.workers:
            if "lend" in head:
                self.workers[worker].lent(*head["lend"])
            else:
                self.workers[worker].deny(head["deny"])

    def die(self, worker: int) -> None:
        del self.workers[worker]
        self._mail.pop(("from", worker), None)
        self._dirty.discard(worker)
        self.shared_budget.leave(worker, died=True)

    def step(self) -> bool:
        """Carry one message on; False when there is none."""
        for worker in sorted(self._dirty):
            state = self.workers[worker].state()
            self._mail.setdefault(("from", worker), deque()).append(partial(self.shared_budget.told, worker, state))
        self._dirty.clear()
        waiting = [way for way, mail in self._mail.items() if mail]
        if not waiting:
            return False
        self._mail[self._chance.choice(sorted(waiting))].popleft()()
        return True


def call(budget: Budget, size: int) -> Reservation:
    return Reservations(budget).for_call("policy", Request({"input": "x" * size, "max_output_tokens": size}))


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize(
    "limits", [{"max_tokens": 60_000}, {"max_cost": 4e-7}, {"max_tokens": 60_000, "max_cost": 5e-7}]
)
@asynchronous
async def test_what_all_spend_never_exceeds_the_limit(limits: dict[str, Any], seed: int) -> None:
    chance = random.Random(seed)
    total = Budget({"policy": Meter("policy", ScriptedModel(), PRICE)}, **limits)
    net = Network(total, 3, chance)
    spent = [0, 0]
    denied = 0

    async def caller(worker: int) -> None:
        nonlocal denied
        budget = net.workers[worker]
        for _ in range(40):
            reservation = call(budget, chance.randrange(50, 900))
            try:
                if not reservation.try_take():
                    await reservation.take()
            except BudgetExceeded:
                denied += 1
                return
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            if chance.random() < 0.1:
                spent[0] += reservation.tokens
                spent[1] += reservation.cost
                reservation.close()
            else:
                usage = Usage(
                    chance.randrange(1, reservation.input_tokens), chance.randrange(reservation.output_tokens or 1)
                )
                spent[0] += usage.total_tokens
                spent[1] += PRICE.of(usage)
                reservation.settle(usage)

    callers = [asyncio.create_task(caller(number % 3)) for number in range(9)]
    victim = seed % 5 == 0
    steps = 0
    while not all(task.done() for task in callers):
        net.step()
        await asyncio.sleep(0)
        steps += 1
        if victim and steps == 60:
            victim = False
            net.die(1)
            for task in callers[1::3]:
                task.cancel()
        assert total.max_tokens is None or spent[0] <= total.max_tokens
        assert total.max_cost is None or spent[1] <= total.max_cost
        assert steps < 100_000
    while net.step():
        pass
    await asyncio.gather(*callers, return_exceptions=True)
    assert denied
    assert "is reached" in total.exhausted
    assert total.max_tokens is None or total.spent_tokens >= spent[0]
    assert total.max_cost is None or total.spent_cost >= spent[1]
    if seed % 5:
        assert (total.spent_tokens, total.spent_cost) == (spent[0], spent[1])
    assert total.max_tokens is None or total.spent_tokens <= total.max_tokens
    assert total.max_cost is None or total.spent_cost <= total.max_cost


@pytest.mark.slow
@pytest.mark.usefixtures("spread_plugins")
@pytest.mark.skipif(sys.platform == "win32", reason="needs Unix sockets")
@pytest.mark.parametrize("die", [False, True], ids=["all live", "one dies"])
def test_a_run_over_workers_stays_within_its_tokens_and_can_be_resumed(die: bool, tmp_path: Path) -> None:
    once = str(tmp_path / "died")
    tasks = [
        told(number, usage=[100, 50], **({"die_once": once} if die and number == 7 else {})) for number in range(60)
    ]
    settings: dict[str, Any] = {
        "tasks": tasks, "output": tmp_path / "x.jsonl", "model_options": {"policy": {"max_output_tokens": 50}},
    }  # fmt: skip
    first = run(**settings, max_tokens=6_000)
    budget = first.summary["budget"]
    assert isinstance(first.error, BudgetExceeded)
    assert first.summary["state"] == "stopped"
    assert budget["spent_tokens"] <= 6_000
    rows = read_jsonl(tmp_path / "x.jsonl")
    assert sum(row["rollout"]["usage"]["total_tokens"] for row in rows) <= budget["spent_tokens"]
    stopped = [rollout for rollout in first.rollouts if rollout.reward is None]
    assert {(rollout.status.value, rollout.stop_reason) for rollout in stopped} == {("cancelled", "budget")}
    if not die:  # what is left would not have been enough for another call
        assert budget["spent_tokens"] + 900 > 6_000
    again = run(**settings, max_tokens=100_000, mode="resume")
    assert again.error is None
    assert again.summary["rollouts"]["with_verdict"] == 60
    assert again.summary["budget"]["spent_tokens"] == 60 * 150
