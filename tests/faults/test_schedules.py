"""Whatever an endpoint does wrong and in which order, every rollout ends once, as a row or as a failure."""

from __future__ import annotations

import asyncio
import itertools
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from gym_core import Item, Trajectory
from gym_testing import Delivery, FakeOpenAI, Received, Reply, answer, faults, think
from tests.support.endpoints import Adding, Outcome, VirtualClock, check_account, config, execute, work

PATIENCE = 60.0
ELSEWHERE = [("sdk", "responses"), ("sdk", "chat"), ("aiohttp", "chat"), ("httptools", "chat")]
TELEPATHY = {"type": "telepathy", "waves": [1, 2]}


@dataclass(frozen=True)
class Kind:
    """One way to treat a call. `reply`: what is sent, made from what a healthy model would say.

    `then`: what the rollout does after it: `again` (the same call), `on` (it was an answer), or how it ends.
    """

    name: str
    then: str
    reply: Callable[[Reply], Reply]

    def __repr__(self) -> str:
        return self.name


def _fault(then: str, reply: Reply, name: str = "") -> Kind:
    return Kind(name or repr(reply), then, lambda healthy: reply)


RETRIED = [
    _fault("again", faults.rate_limited()),
    _fault("again", faults.rate_limited(retry_after=2), "429 seconds"),
    _fault("again", faults.rate_limited(in_seconds=2), "429 date"),
    _fault("again", faults.rate_limited(retry_after_ms=20), "429 ms"),
    *(_fault("again", faults.server_error(status)) for status in (500, 502, 503, 504, 529)),
    _fault("again", faults.error(408)),
    _fault("again", faults.error(409)),
    _fault("again", faults.html(502)),
    _fault("again", faults.drop_before()),
    _fault("again", faults.drop_inside()),
    _fault("again", faults.broken_json()),
    _fault("again", faults.wrong_shape()),
    _fault("again", faults.wrong_shape({"output": "done", "choices": "done"}), "no list"),
    _fault("again", faults.wrong_shape({"output": ["done"], "choices": ["done"]}), "no items"),
    _fault("again", Reply("[]", name="a list")),
    _fault("again", Reply("", name="empty")),
    _fault("again", faults.wrong_length(30)),
    _fault("again", faults.wrong_length(-30)),
]
ANSWERS = [
    Kind("fine", "on", lambda healthy: healthy),
    Kind("slow", "on", lambda healthy: replace(healthy, delivery=Delivery.SLOW, seconds=0.01)),
    Kind("drop after", "on", lambda healthy: replace(healthy, delivery=Delivery.DROP_AFTER)),
    Kind("unknown items", "on", lambda healthy: replace(healthy, content=[TELEPATHY, think("Hm."), *_items(healthy)])),
    Kind("unknown fields", "on", lambda healthy: replace(healthy, fields={"mood": {"is": "good"}})),
    Kind("no usage", "on", lambda healthy: replace(healthy, usage=None)),
    Kind("large", "on", lambda healthy: replace(healthy, fields={"padding": "x" * 500_000})),
]
ENDING = [
    _fault("model_error", faults.bad_request()),
    _fault("model_error", faults.error(422)),
    _fault("truncated", faults.context_length()),
    _fault("completed", faults.content_filter()),
]
FATAL = [
    _fault("stop", faults.wrong_key()),
    _fault("stop", faults.no_quota()),
    _fault("stop", faults.model_not_found()),
    _fault("stop", faults.html(200)),
]
HANG = _fault("again", faults.hang())

schedules = st.lists(st.lists(st.sampled_from([*RETRIED, *ANSWERS, *ENDING]), max_size=4), min_size=1, max_size=4)
wild_schedules = st.lists(
    st.lists(st.sampled_from([*RETRIED, *ANSWERS, *ENDING, *FATAL, HANG]), max_size=6), min_size=1, max_size=8
)


def _items(healthy: Reply) -> list[Item]:
    return healthy.items or []


class Numbered(Adding):
    """Says at its start which rollout of the run it is, so that the endpoint can tell them apart."""

    numbers = itertools.count()

    def setup(self) -> Any:
        super().setup()
        return [{"type": "message", "role": "user", "content": f"Rollout {next(type(self).numbers)}."}]

    def verify(self, trajectory: Trajectory) -> float:
        return 1.0


class Endpoint:
    """Treats each rollout by its own list, and is healthy when that is used up. `told`: what was done to each."""

    def __init__(self, lists: list[list[Kind]]) -> None:
        self.lists = lists
        self.told: dict[int, list[Kind]] = {}

    def __call__(self, request: Received) -> Reply:
        found = re.search(rb"Rollout (\d+)\.", request.data)
        assert found is not None
        number = int(found[1])
        told = self.told.setdefault(number, [])
        planned = self.lists[number] if number < len(self.lists) else []
        kind = planned[len(told)] if len(told) < len(planned) else ANSWERS[0]
        told.append(kind)
        return kind.reply(answer(work(request)))


def expected(planned: list[Kind]) -> str:
    """How a rollout ends that is treated like this: it needs two answers."""
    answers = 0
    for kind in planned:
        if kind.then == "on":
            answers += 1
        elif kind.then != "again":
            return kind.then
        if answers == 2:
            break
    return "completed"


def play(lists: list[list[Kind]], *, tasks: int, repeats: int = 1, hangs: float = 30.0, **settings: Any) -> Any:
    """Run against a schedule; returns the outcome and what was told to each rollout."""
    endpoint = Endpoint(lists)

    async def main() -> Outcome:
        async with FakeOpenAI(endpoint) as server:
            with tempfile.TemporaryDirectory() as folder:
                session = type("Session", (Numbered,), {"numbers": itertools.count()})
                made = config(
                    server,
                    tasks=tasks,
                    repeats=repeats,
                    session=session,
                    output=Path(folder) / "x.jsonl",
                    options={"request_timeout": hangs},
                    **settings,
                )
                ended = await execute(made, VirtualClock(seed=None, jitter=0.5))
                check_account(ended, {(f"t{task}", repeat) for task in range(tasks) for repeat in range(repeats)})
                return ended

    return asyncio.run(asyncio.wait_for(main(), PATIENCE)), endpoint.told


def check_retries(told: dict[int, list[Kind]]) -> None:
    """After what is not to be tried again, nothing was."""
    for kinds in told.values():
        assert all(kind.then in ("again", "on") for kind in kinds[:-1]), kinds


def examples(number: int) -> settings:
    return settings(
        max_examples=number, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
    )


def exactly(transport: str, api: str, lists: list[list[Kind]]) -> None:
    ended, told = play(lists, tasks=len(lists), concurrency=2, transport=transport, api=api)
    assert ended.summary["state"] == "finished"
    statuses = [ended.statuses[f"t{number}"] for number in range(len(lists))]
    assert statuses == [expected(planned) for planned in lists]
    check_retries(told)


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["httptools", "aiohttp"])
@examples(45)
@given(lists=schedules)
def test_every_rollout_ends_as_its_replies_say(transport: str, lists: list[list[Kind]]) -> None:
    exactly(transport, "responses", lists)


@pytest.mark.slow
@pytest.mark.parametrize(("transport", "api"), ELSEWHERE)
@examples(15)
@given(lists=schedules)
def test_every_rollout_ends_as_its_replies_say_elsewhere(transport: str, api: str, lists: list[list[Kind]]) -> None:
    exactly(transport, api, lists)


def anyhow(transport: str, api: str, lists: list[list[Kind]], concurrency: int) -> None:
    ended, told = play(lists, tasks=4, repeats=2, concurrency=concurrency, transport=transport, api=api, hangs=1.0)
    event(ended.summary["state"])
    check_retries(told)
    stopping = any(kind.then == "stop" for kinds in told.values() for kind in kinds)
    if stopping:
        assert ended.summary["state"] == "stopped"
        assert ended.error is not None
    elif ended.error is not None:  # the first ones were all refused alike
        assert sum(kind.then == "model_error" for kinds in told.values() for kind in kinds) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["httptools", "aiohttp"])
@examples(25)
@given(lists=wild_schedules, concurrency=st.integers(1, 8))
def test_whatever_happens_every_rollout_ends_once(transport: str, lists: list[list[Kind]], concurrency: int) -> None:
    anyhow(transport, "responses", lists, concurrency)


@pytest.mark.slow
@pytest.mark.parametrize(("transport", "api"), ELSEWHERE)
@examples(8)
@given(lists=wild_schedules, concurrency=st.integers(1, 8))
def test_whatever_happens_every_rollout_ends_once_elsewhere(
    transport: str, api: str, lists: list[list[Kind]], concurrency: int
) -> None:
    anyhow(transport, api, lists, concurrency)
