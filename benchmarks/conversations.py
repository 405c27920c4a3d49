"""What a long rollout costs: bytes of its row and CPU per turn, for 10, 100 and 1,000 turns of several kinds of agents.

    .venv/bin/python benchmarks/conversations.py

`record` is the part of the CPU that finding and noting who was shown what takes; `encoding` is that of writing each
request as JSON, as a backend does, and grows with the length of the conversation whoever records it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from gym_core import (
    Agent,
    Episode,
    Item,
    ModelBackend,
    ResourceServer,
    Response,
    Session,
    Stop,
    StopReason,
    Task,
    encode_json,
    tool,
    user_message,
)
from gym_core.engine.rollout.recording import Recording
from gym_core.spi import run_rollout
from gym_testing.rehearsal import open_stage

KINDS = ("loop", "compacts", "elides", "sub-agents")
TEXT = "What the tool found, in a sentence or two, as tools say it. " * 3


class Model(ModelBackend):
    """Calls the tool every time, and encodes what it is asked as a transport would."""

    encoding = 0.0
    calls = 0

    async def respond(self, request: Any, context: Any) -> Response:
        began = time.process_time()
        orjson.dumps(request.body)
        Model.encoding += time.process_time() - began
        Model.calls += 1
        made = {"type": "function_call", "call_id": f"c{Model.calls}", "name": "look", "arguments": '{"at": 1}'}
        usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
        return Response({"id": "r", "status": "completed", "output": [made], "usage": usage})


class Looking(Session[Any]):
    """One tool."""

    @tool
    def look(self, at: int) -> str:
        """Look."""
        return TEXT

    def verify(self, trajectory: Any) -> float:
        return 1.0


class Working(Agent):
    """Turns of one kind."""

    def __init__(self, kind: str, turns: int) -> None:
        super().__init__()
        self.kind = kind
        self.turns = turns

    async def run(self, episode: Episode) -> Stop:
        actors = [episode.actor(f"helper {n}") for n in range(3)] if self.kind == "sub-agents" else [episode]
        held: list[list[Item]] = [[*episode.request.input] for _ in actors]
        for turn in range(self.turns):
            actor, items = actors[turn % len(actors)], held[turn % len(actors)]
            response = await actor.respond(items)
            items += [*response.output, *await actor.call_tools(response.function_calls)]
            if self.kind == "compacts" and turn % 50 == 49:
                items[1:] = [user_message(f"Until turn {turn}: nothing was found.")]
            if self.kind == "elides" and len(items) > 20:
                old = next(place for place in (-20, -19) if "output" in items[place])
                items[old] = {**items[old], "output": "..."}
        return Stop(StopReason.MAX_TURNS)


class World(ResourceServer):
    """Where it looks."""

    session_type = Looking


RECORDS = ("asks", "answered", "ran", "call_number")


@contextmanager
def timing(spent: list[float]) -> Iterator[None]:
    """Add up what the recording takes."""
    inner = {name: getattr(Recording, name) for name in RECORDS}

    def timed(function: Any) -> Any:
        def method(*given: Any, **more: Any) -> Any:
            began = time.process_time()
            try:
                return function(*given, **more)
            finally:
                spent.append(time.process_time() - began)

        return method

    for name, function in inner.items():
        setattr(Recording, name, timed(function))
    try:
        yield
    finally:
        for name, function in inner.items():
            setattr(Recording, name, function)


async def measure(kind: str, turns: int) -> tuple[int, float, float]:
    """Bytes of the row, and seconds of CPU for it and within them for requests as JSON."""
    Model.encoding = 0.0
    async with open_stage(World(), {"policy": Model()}, Working(kind, turns)) as stage:
        began = time.process_time()
        rollout = await run_rollout(stage, Task.ask("Look.", task_id="t"))
        size = len(encode_json(rollout.row))
        spent = time.process_time() - began
        assert len(rollout.model_calls) == turns, rollout.error
    return size, spent, Model.encoding


async def main() -> None:
    """Print one line per kind and length."""
    print(f"{'kind':12}{'turns':>6}{'bytes/turn':>12}{'us/turn':>10}{'encoding':>10}{'record':>8}{'of 10 turns':>13}")
    for kind in KINDS:
        least = 0.0
        for turns in (10, 100, 1000):
            runs = [await measure(kind, turns) for _ in range(max(3, 300 // turns))]
            size, seconds, encoding = min(runs, key=lambda run: run[1])
            spent: list[float] = []
            with timing(spent):
                await measure(kind, turns)
            least = least or seconds / turns
            figures = (1e6 * seconds / turns, 1e6 * encoding / turns, 1e6 * sum(spent) / turns)
            print(f"{kind:12}{turns:6}{size / turns:12.0f}{figures[0]:10.1f}{figures[1]:10.1f}{figures[2]:8.1f}"
                  f"{seconds / turns / least:13.2f}")  # fmt: skip


if __name__ == "__main__":
    asyncio.run(main())
