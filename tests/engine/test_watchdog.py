"""Who holds the event loop, and how late it is."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gym_core import Trajectory, tool
from gym_core.engine.observers import health, run_observers
from gym_core.engine.observers import watchdog as watchdogs
from gym_core.engine.observers.health import LagTally
from gym_core.engine.observers.watchdog import Watchdog
from tests.support.agents import FunctionAgent
from tests.support.envs import PlainSession, ask, env
from tests.support.models import ScriptedModel, call
from tests.support.running import run

logger = logging.getLogger("gym")


class Release(logging.Handler):
    """Lets go of whoever holds the loop as soon as that has been said."""

    def __init__(self) -> None:
        super().__init__()
        self.said = threading.Event()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.__dict__.get("event") == "loop_held":
            self.messages.append(record.getMessage())
            self.said.set()


@pytest.fixture(autouse=True)
def dogs(monkeypatch: pytest.MonkeyPatch) -> list[Watchdog]:
    """The watchdogs of a test, which are impatient."""
    made: list[Watchdog] = []

    def watchdog() -> Watchdog:
        made.append(Watchdog())
        return made[-1]

    monkeypatch.setattr(health, "PROBE_SECONDS", 0.01)
    monkeypatch.setattr(watchdogs, "LIMIT", 0.3)
    monkeypatch.setattr(watchdogs, "SAMPLE", 0.02)
    monkeypatch.setattr(run_observers, "Watchdog", watchdog)
    return made


@pytest.fixture
def release() -> Iterator[Release]:
    handler = Release()
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def spin(said: threading.Event) -> None:
    while not said.wait(0.01):
        pass


def test_a_verifier_that_holds_the_loop_is_named_with_its_session_and_task(release: Release) -> None:
    class Slow(PlainSession):
        def verify(self, trajectory: Trajectory) -> float:
            spin(release.said)
            return 1.0

    ended = run(None, env(Slow))
    (message,) = release.messages
    assert "Slow.verify" in message
    assert "of Slow, task 't0'" in message
    assert "@blocking" in message
    (held,) = ended.summary["health"]["loop_held"]
    assert (held["session"], held["task_id"], held["count"]) == ("Slow", "t0", 1)
    assert held["seconds"] >= 0.2
    assert ended.summary["health"]["loop_lag"]["max"] >= 0.15


def test_a_function_is_named_once_and_counted_every_time(release: Release, dogs: list[Watchdog]) -> None:
    def counted() -> int:
        return sum(hold.count for hold in dogs[0].holds.values())

    class Slow(PlainSession):
        def verify(self, trajectory: Trajectory) -> float:
            before = counted()
            while counted() == before:
                time.sleep(0.01)
            return 1.0

    ended = run(None, env(Slow, tasks=2), concurrency=1)
    assert len(release.messages) == 1
    (held,) = ended.summary["health"]["loop_held"]
    assert held["count"] == 2


def test_a_tool_and_an_agent_are_named_too(release: Release) -> None:
    class Tooled(PlainSession):
        @tool
        def think(self) -> str:
            """Think."""
            spin(release.said)
            return ""

    run(ScriptedModel(call("think"), "done"), env(Tooled))
    assert "Tooled.think" in release.messages[0]
    release.said.clear()

    async def work(episode: Any) -> str:
        spin(release.said)
        return "done"

    run(None, None, FunctionAgent(work))
    assert "work" in release.messages[1] or "FunctionAgent.run" in release.messages[1]


def test_many_short_functions_are_nobodys_fault(release: Release) -> None:
    class Brief(PlainSession):
        def verify(self, trajectory: Trajectory) -> float:
            time.sleep(0.015)
            return 1.0

    ended = run(None, env(Brief, tasks=[ask(number) for number in range(60)]), concurrency=60)
    assert ended.summary["health"]["loop_held"] == []
    assert release.messages == []


def test_a_loop_that_waits_is_not_late() -> None:
    async def later(request: Any, context: Any) -> str:
        await asyncio.sleep(0.3)
        return "done"

    ended = run(ScriptedModel(later))
    assert ended.summary["health"]["loop_held"] == []


@given(st.lists(st.floats(0, 100), min_size=1, max_size=300))
def test_the_p99_is_at_most_a_fifth_above_the_true_one(delays: list[float]) -> None:
    tally = LagTally()
    for delay in delays:
        tally.add(delay)
    rank = -(-len(delays) * 99 // 100)
    true = sorted(delays)[rank - 1]
    assert tally.max == max(delays)
    assert true - 1e-9 <= tally.quantile(0.99) <= max(true * 1.2, 1e-4) + 1e-9


def test_the_summary_says_how_long_was_waited_for_the_models() -> None:
    ended = run(ScriptedModel(inflight=1), env(tasks=4))
    policy = ended.summary["health"]["models"]["policy"]
    assert (policy["calls"], policy["retries"], policy["decreases"]) == (4, 0, 0)
    assert policy["waited_seconds"] >= 0
