"""The contestants of `overhead.py`, each a process of its own: `loops.py KIND ROLLOUTS IN_FLIGHT BASE_URL`.

`bare` posts the same requests with aiohttp, orjson and uvloop and does nothing else: two model calls and one tool call
per rollout, a check of the answer, no files. `gym` is the whole engine through the openai backend: discovery, options,
agent, tool validation, verifier, retries, deadlines, limiter, progress, one row per rollout on disk. `gym-weather` is
the same with `simple_weather`, whose verifier reads the answer closely.

Prints one JSON line. CPU is user and system time of the loop itself, without start-up and imports.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import orjson
import uvloop

from gym_core import ResourceServer, Session, Task, Trajectory, tool
from gym_core.spi import run_config

CITIES = ["Paris", "Tokyo", "Oslo", "Lima", "Cairo", "Rome", "Berlin", "Madrid"]
MODEL = "stand-in"


def get_weather(city: str) -> str:
    """The tool's answer, the same for both."""
    return json.dumps({"city": city, "condition": "snowy", "temperature_c": -3})


class BenchSession(Session):
    """As much work as the bare loop does."""

    @tool
    def get_weather(self, city: str) -> str:
        """Get the weather in a city.

        Args:
            city: The city's name.
        """
        return get_weather(city)

    def verify(self, trajectory: Trajectory) -> float:
        """Whether the answer names the city and a tool was called."""
        called = any(item.get("type") == "function_call" for item in trajectory.items)
        return float(called and self.task["city"] in trajectory.output_text)


class BenchServer(ResourceServer):
    """Questions about the weather."""

    session_type = BenchSession


def question(number: int) -> tuple[str, str]:
    """(city, question)."""
    city = CITIES[number % len(CITIES)]
    return city, f"What is the weather in {city}?"


def row(number: int) -> bytes:
    """One task as a JSON line."""
    city, text = question(number)
    return orjson.dumps({**Task.ask(text).row, "city": city, "cities": [city]}) + b"\n"


def answered(call: dict[str, Any]) -> dict[str, Any]:
    """What answers a call in the bare loop."""
    output = get_weather(**json.loads(call["arguments"]))
    return {"type": "function_call_output", "call_id": call["call_id"], "output": output}


async def bare(rollouts: int, in_flight: int, base_url: str) -> tuple[float, float, float]:
    """(CPU seconds, wall seconds, mean reward) of the bare loop, with the client that GYM_OPENAI_TRANSPORT names."""
    client = os.environ.get("GYM_OPENAI_TRANSPORT", "aiohttp")
    if client != "aiohttp":
        from gym_openai_model.transports import TransportConfig, open_transport

        headers = {"authorization": "Bearer none", "content-type": "application/json"}
        transport = open_transport(cast(Any, client), TransportConfig(), headers)
        async with transport:

            async def through_transport(data: bytes) -> bytes:
                return (await transport.post(f"{base_url}/responses", data)).body

            return await _loop(rollouts, in_flight, through_transport)
    import aiohttp

    headers = {"authorization": "Bearer none", "content-type": "application/json"}
    url = f"{base_url}/responses"
    # With the timeouts that everybody gets: whoever takes them out hangs some night.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=in_flight)) as session:

        async def post(data: bytes) -> bytes:
            async with session.post(url, data=data, headers=headers) as reply:
                return await reply.read()

        return await _loop(rollouts, in_flight, post)


async def _loop(rollouts: int, in_flight: int, post: Callable[[bytes], Awaitable[bytes]]) -> tuple[float, float, float]:
    from gym_core.contract.tools import class_tools

    tools = [spec.schema for spec in class_tools(BenchSession)]
    rewards: list[float] = []

    async def rollout(number: int) -> float:
        city, text = question(number)
        items: list[dict[str, Any]] = [{"role": "user", "content": text}]
        while True:
            output = orjson.loads(await post(orjson.dumps({"model": MODEL, "input": items, "tools": tools})))["output"]
            items += output
            calls = [item for item in output if item["type"] == "function_call"]
            if not calls:
                called = any(item.get("type") == "function_call" for item in items)
                return float(called and city in output[-1]["content"][0]["text"])
            items += map(answered, calls)

    async def worker(numbers: Iterator[int]) -> None:
        rewards.extend([await rollout(number) for number in numbers])

    numbers = iter(range(rollouts))
    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*(worker(numbers) for _ in range(in_flight)))
    return time.process_time() - cpu, time.perf_counter() - wall, sum(rewards) / len(rewards)


async def gym(
    rollouts: int, in_flight: int, base_url: str, tasks: Path, *, weather: bool = False
) -> tuple[float, float, float]:
    """The same of the engine."""
    from gym_core.engine.run.opening import open_run

    with tempfile.TemporaryDirectory() as folder:
        config = run_config(
            models={"policy": f"openai:{MODEL}"},
            model_options={"policy": {"base_url": base_url, "api": "responses", "api_key": "sk-benchmark-no-secret"}},
            env="simple_weather" if weather else BenchServer(),
            agent="simple_agent",
            input=tasks,
            output=Path(folder, "rows.jsonl"),
            concurrency=in_flight,
        )
        gc.set_threshold(50_000, 20, 50)  # as `gym run` does
        async with open_run(config) as run:
            cpu, wall = time.process_time(), time.perf_counter()
            summary = await run.execute()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        if summary["rollouts"]["with_verdict"] != rollouts:
            raise SystemExit(f"rollouts are missing: {summary['rollouts']} {summary['errors']}")
        return cpu, wall, summary["reward"]["mean"]


def main() -> None:
    """Run one contestant."""
    kind, rollouts, in_flight, base_url = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    if kind == "bare":
        cpu, wall, reward = uvloop.run(bare(rollouts, in_flight, base_url))
    else:
        with tempfile.NamedTemporaryFile(suffix=".jsonl") as tasks:
            tasks.writelines(row(number) for number in range(rollouts))
            tasks.flush()
            weather = kind == "gym-weather"
            cpu, wall, reward = uvloop.run(gym(rollouts, in_flight, base_url, Path(tasks.name), weather=weather))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result = {"kind": kind, "cpu": cpu / rollouts, "wall": wall, "reward": reward, "peak_mb": peak}
    print(json.dumps({**result, "rollouts": rollouts, "in_flight": in_flight}))


if __name__ == "__main__":
    main()
