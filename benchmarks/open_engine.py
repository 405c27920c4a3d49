"""What a rollout costs that is asked for, beside one of `collect`: `python benchmarks/open_engine.py [OPTIONS]`.

In one process, in turns: `collect` over all tasks with `--size` repeats, `Gym.groups` over the same tasks, and
`Gym.rollout` from as many callers as are in flight. The model is in the process and answers after `--latency-ms`, so
that nothing but the engine takes CPU: two model calls and a tool call for each rollout, and a verdict. Prints medians,
and ratios to `collect`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from loops import BenchServer, question

import gym_core
from gym_core import CallContext, ModelBackend, Request, Response, Task
from gym_core.spi import run_loop

USAGE = {"input_tokens": 100, "output_tokens": 20}


class InProcess(ModelBackend):
    """Calls the tool, then answers with what it said."""

    latency = 0.2

    async def respond(self, request: Request, context: CallContext) -> Response:
        """The next answer."""
        await asyncio.sleep(self.latency)
        items = request.input
        last = items[-1]
        if last.get("type") == "function_call_output":
            text = {"type": "output_text", "text": str(last["output"]), "annotations": []}
            said: dict[str, Any] = {"type": "message", "role": "assistant", "status": "completed", "content": [text]}
        else:
            city = str(items[0]["content"]).rpartition(" ")[2].rstrip("?")
            said = {
                "type": "function_call",
                "call_id": "call_1",
                "name": "get_weather",
                "arguments": f'{{"city": "{city}"}}',
            }
        return Response({"id": "r", "model": "m", "status": "completed", "output": [said], "usage": USAGE})


def task(number: int) -> Task:
    """One task."""
    city, text = question(number)
    return Task.ask(text, task_id=f"t{number}", city=city)


async def collected(tasks: list[Task], size: int, in_flight: int) -> int:
    """All of them by `collect`."""
    rewarded = 0
    rollouts = gym_core.collect(
        model=InProcess(), env=BenchServer(), agent="simple_agent", tasks=tasks, repeats=size, concurrency=in_flight
    )
    async for rollout in rollouts:
        rewarded += rollout.reward == 1.0
    return rewarded


async def in_groups(tasks: list[Task], size: int, in_flight: int) -> int:
    """All of them in groups, enough ahead to fill what may be in flight."""
    rewarded = 0
    async with gym_core.open(model=InProcess(), env=BenchServer(), agent="simple_agent", concurrency=in_flight) as gym:
        async for group in gym.groups(tasks, size, ahead=2 * in_flight // size):
            rewarded += sum(reward == 1.0 for reward in group.rewards)
    return rewarded


async def one_by_one(tasks: list[Task], size: int, in_flight: int) -> int:
    """Each by a caller of its own."""
    jobs = itertools.chain.from_iterable(itertools.repeat(tasks, size))
    async with gym_core.open(model=InProcess(), env=BenchServer(), agent="simple_agent", concurrency=in_flight) as gym:

        async def caller() -> int:
            return sum([(await gym.rollout(task)).reward == 1.0 for task in jobs])

        return sum(await asyncio.gather(*(caller() for _ in range(in_flight))))


CONTESTANTS: dict[str, Callable[[list[Task], int, int], Awaitable[int]]] = {
    "collect": collected,
    "Gym.groups": in_groups,
    "Gym.rollout": one_by_one,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--in-flight", type=int, default=4000)
    parser.add_argument("--rollouts", type=int, default=16_000)
    parser.add_argument("--size", type=int, default=8, help="of a group")
    parser.add_argument("--latency-ms", type=float, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    InProcess.latency = arguments.latency_ms / 1000
    tasks = [task(number) for number in range(arguments.rollouts // arguments.size)]
    expected = len(tasks) * arguments.size
    taken: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for _ in range(arguments.rounds):
        for name, contestant in CONTESTANTS.items():
            gc.collect()
            began = time.process_time()
            rewarded = run_loop(contestant(tasks, arguments.size, arguments.in_flight))  # type: ignore[arg-type]
            taken[name].append((time.process_time() - began) / expected)
            if rewarded != expected:
                raise SystemExit(f"{name}: {rewarded} of {expected} rollouts have their reward")
    collect = statistics.median(taken["collect"])
    print(f"{arguments.in_flight:,} in flight, {expected:,} rollouts, groups of {arguments.size}")
    print(f"{'':<14}{'CPU ms per rollout':>20}{'ratio':>8}")
    for name, times in taken.items():
        cpu = statistics.median(times)
        print(f"{name:<14}{1000 * cpu:>20.3f}{cpu / collect:>8.2f}")


if __name__ == "__main__":
    main()
