"""Runs of the backend `openai` against a scripted endpoint, on a clock that nobody waits for."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import os
import random
import re
import sys
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gym_core import Item, ResourceServer, Rollout, Session, Trajectory, tool
from gym_core.spi import Clock, Run, RunConfig, open_run, run_config
from gym_testing import FakeOpenAI, Received, call
from tests.support.agents import LoopAgent
from tests.support.envs import env
from tests.support.forks import gym_program
from tests.support.running import read_jsonl

TRANSPORTS = ("httptools", "aiohttp", "sdk")
DIALECTS = ("responses", "chat")
KEY = "sk-a-key-that-must-be-nowhere-4711"
FILES = ("x.jsonl", "x.failures.jsonl", "x.run.json", "x.summary.json")
_TASK = re.compile(rb"Task (\d+)\.")


class Adding(Session[Any]):
    """One tool; the reward is whether it was called once."""

    def setup(self) -> None:
        self.sums = 0

    @tool
    def add(self, a: int, b: int) -> int:
        """Add two numbers."""
        self.sums += 1
        return a + b

    def verify(self, trajectory: Trajectory) -> float:
        return float(self.sums == 1)


def task_number(request: Received) -> int:
    """The number of the task that a request belongs to."""
    found = _TASK.search(request.data)
    assert found is not None
    return int(found[1])


def work(request: Received) -> str | Item:
    """What a healthy model says: a call of the tool, then an answer."""
    return "done" if request.tool_outputs else call("add", a=1, b=2)


class VirtualClock:
    """Time that passes only when nothing is left but to wait for it.

    A sleep ends when no model call is under way and its turn has come; the clock jumps there. Draws of jitter come from
    a seed, or are all the same.
    """

    def __init__(self, seed: int | None = 0, jitter: float = 1.0) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self.busy: Callable[[], bool] = lambda: False
        self._draw = random.Random(seed).random if seed is not None else lambda: jitter
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._events: list[tuple[float, Callable[[], Coroutine[Any, Any, None]]]] = []
        self._acting: asyncio.Task[None] | None = None

    @property
    def clock(self) -> Clock:
        """This clock as the engine takes it."""
        return Clock(lambda: self.now, self.sleep, self._draw)

    async def sleep(self, seconds: float) -> None:
        """Sleep in virtual seconds."""
        self.slept.append(seconds)
        sleeper = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._numbers), sleeper))
        self._look_soon()
        await sleeper

    def at(self, time: float, act: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do something at a time, before anything else goes on."""
        self._events.append((time, act))

    def _look_soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(0.001, self._look)

    def _look(self) -> None:
        self._timer = None
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        if not self._sleepers:
            return
        if not self.busy() and self._acting is None:
            due, number, sleeper = heapq.heappop(self._sleepers)
            self.now = max(self.now, due)
            ripe = [event for event in self._events if event[0] <= self.now]
            if ripe:
                heapq.heappush(self._sleepers, (due, number, sleeper))
                self._events = [event for event in self._events if event not in ripe]
                self._acting = asyncio.create_task(ripe[0][1]())
                self._acting.add_done_callback(self._acted)
            else:
                sleeper.set_result(None)
        self._look_soon()

    def _acted(self, acting: asyncio.Task[None]) -> None:
        self._acting = None


class FastClock(VirtualClock):
    """Time that runs by itself, a thousand times as fast: for what happens at the same time."""

    @property
    def clock(self) -> Clock:
        loop = asyncio.get_running_loop()
        return Clock(lambda: loop.time() * 1000, lambda seconds: asyncio.sleep(seconds / 1000), self._draw)


@dataclass
class Outcome:
    """A run that has ended."""

    rollouts: list[Rollout]
    summary: dict[str, Any]
    error: BaseException | None
    run: Run[Any]
    output: Path | None

    @property
    def statuses(self) -> dict[str, str]:
        """How each rollout ended, by task."""
        return {rollout.task_id: rollout.status.value for rollout in self.rollouts}

    @property
    def retries(self) -> int:
        """How many attempts were made after first ones."""
        return self.run.gates["policy"].counts.retries

    def files(self) -> Iterator[Path]:
        """The files of the run."""
        assert self.output is not None
        yield from (self.output.with_name(name) for name in FILES)


def config(
    server: FakeOpenAI | str,
    *,
    transport: str = TRANSPORTS[0],
    api: str = "responses",
    tasks: Any = 1,
    session: type[Session[Any]] = Adding,
    environment: ResourceServer | str | None = None,
    options: dict[str, Any] | None = None,
    **settings: Any,
) -> RunConfig:
    """A run of the openai backend over a small environment with a tool."""
    base_url = server if isinstance(server, str) else server.base_url
    given = {"base_url": base_url, "api": api, "transport": transport, "api_key": KEY, **(options or {})}
    return run_config(
        models={"policy": "openai:fake-model"},
        model_options={"policy": given},
        env=environment or env(session, tasks),
        agent=LoopAgent(),
        **{"concurrency": 64, **settings},
    )


async def execute(wanted: RunConfig, clock: VirtualClock | None = None, *, stop: Any = None) -> Outcome:
    """Carry a run out. `stop`: a coroutine function that is given the run while it goes on."""
    clock = clock or VirtualClock()
    rollouts: list[Rollout] = []
    async with open_run(wanted, clock=clock.clock) as run:
        clock.busy = lambda: any(limiter.inflight for gate in run.gates.values() for limiter in gate.limiters)
        stopping = asyncio.create_task(stop(run)) if stop is not None else None
        summary = await run.execute(rollouts.append)
        if stopping is not None:
            await stopping
    output = wanted.destination.output
    return Outcome(rollouts, summary, run.error, run, Path(output) if output else None)


def check_account(outcome: Outcome, planned: set[tuple[str, int]]) -> None:
    """Every planned rollout ended once, files and summary tell the same, and the key is nowhere."""
    rows, failures, _, _ = outcome.files()
    kept, failed = read_jsonl(rows), read_jsonl(failures)
    keys = [(row["task_id"], row["rollout"]["repeat"]) for row in (*kept, *failed)]
    assert len(keys) == len(set(keys))
    counts = outcome.summary["rollouts"]
    if outcome.summary["state"] == "finished":
        assert set(keys) == planned
        assert outcome.error is None
    else:
        assert set(keys) <= planned
    assert [row["reward"] for row in failed] == [None] * len(failed)
    assert all(row["reward"] is not None for row in kept)
    assert counts["with_verdict"] == len(kept)
    assert counts["failed"] + counts["cancelled"] == len(failed)
    statuses = [row["rollout"]["status"] for row in (*kept, *failed)]
    assert outcome.summary["statuses"] == {status: statuses.count(status) for status in set(statuses)}
    assert sum(group["count"] for group in outcome.summary["errors"]) == len(failed)
    assert len(outcome.rollouts) == len(keys)
    for path in outcome.files():
        assert KEY.encode() not in (path.read_bytes() if path.exists() else b"")


def gym_command(server: FakeOpenAI, *arguments: str, fresh: bool = False) -> list[str]:
    """`gym run` of the weather environment as a process of its own; a `fresh` one is no fork."""
    program = [sys.executable, "-m", "gym_core"] if fresh else [str(gym_program())]
    command = [*program, "run", "--model", "openai:fake-model", "--env", "simple_weather"]
    return [*command, "-M", f"base_url={server.base_url}", *arguments]


def gym_environment() -> dict[str, str]:
    """Its environment: the key, and nothing from a `.env` file."""
    return {**os.environ, "OPENAI_API_KEY": KEY, "GYM_NO_DOTENV": "1"}
