"""What an adapter costs beside its home alone: `python benchmarks/homes.py HOME [OPTIONS]`.

HOME is `gymnasium`, `reasoning_gym`, `verifiers` or `inspect`, which has to be importable. The home alone plays the
same work against the same stand-in endpoint: by its own runner where it has one (verifiers, Inspect), else by a bare
loop that posts with aiohttp and calls the library (Gymnasium, reasoning-gym). In turns, each `--rounds` times; printed
are the medians of CPU per rollout, of this process and of those that it has waited for, and what gym adds to a model
call. What the start of a run takes, a child process that makes tasks say, is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from standin import MODEL, running_standin

import gym_core
from gym_core.spi import run_loop

TURNS = 4
"""Model calls of a rollout in several turns."""
FEW = 4
"""So many rollouts show what a run's start costs."""
KEY = "GYM_BENCH_KEY"

Contestant = Callable[[str, int, int], Awaitable[float]]
"""Takes the endpoint, how many rollouts, and how many at once; gives the mean reward."""

TALK = f"""
import verifiers as vf
from datasets import Dataset

class Talk(vf.MultiTurnEnv):
    async def env_response(self, messages, state, **kwargs):
        return [vf.UserMessage(content="Go on.")]

def said(completion, **kwargs):
    return float(len(completion) == {2 * TURNS - 1})

def load_environment(count=1):
    rows = [dict(question=f"Say {{number}}.", answer=str(number)) for number in range(count)]
    return Talk(max_turns={TURNS}, dataset=Dataset.from_list(rows), rubric=vf.Rubric(funcs=[said]))
"""
TASK = f"""
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageUser
from inspect_ai.scorer import includes
from inspect_ai.solver import solver

@solver
def talk():
    async def solve(state, generate):
        for turn in range({TURNS}):
            if turn:
                state.messages.append(ChatMessageUser(content="Go on."))
            state = await generate(state)
        return state
    return solve

@task
def chat(count: int = 1):
    samples = [Sample(id=str(number), input=f"Say {{number}}.", target="nothing") for number in range(count)]
    return Task(dataset=samples, solver=talk(), scorer=includes())
"""


@dataclass(frozen=True, slots=True)
class Pair:
    """A home alone and through gym. `calls`: model calls of a rollout."""

    alone: Contestant
    through_gym: Contestant
    calls: int


async def collected(env: Any, base_url: str, in_flight: int, **settings: Any) -> float:
    """The mean reward of a run of gym."""
    rewards = []
    options = {"base_url": base_url, "api_key": "none"}
    run = gym_core.collect(model=f"openai:{MODEL}", model_options=options, env=env, concurrency=in_flight, **settings)
    async for rollout in run:
        if rollout.error is not None:
            raise SystemExit(f"a rollout failed: {rollout.error['message']}")
        rewards.append(rollout.reward)
    return statistics.fmean(rewards)


async def bare(base_url: str, rollouts: int, in_flight: int, play: Callable[[int, Any], Awaitable[float]]) -> float:
    """The mean reward of a bare loop. `play` is given a number, and what posts items and gives the answer's text."""
    import aiohttp

    headers = {"authorization": "Bearer none", "content-type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=in_flight)) as session:

        async def say(items: list[Any]) -> str:
            data = orjson.dumps({"model": MODEL, "input": items})
            async with session.post(f"{base_url}/responses", data=data, headers=headers) as reply:
                output = orjson.loads(await reply.read())["output"]
            items += output
            return str(output[-1]["content"][0]["text"])

        numbers = iter(range(rollouts))

        async def worker() -> list[float]:
            return [await play(number, say) for number in numbers]

        found = await asyncio.gather(*(worker() for _ in range(in_flight)))
    return statistics.fmean(reward for rewards in found for reward in rewards)


# Gymnasium


def talking() -> str:
    """Register an environment that is talked to `TURNS` times; its id."""
    import gymnasium

    class Talk(gymnasium.Env[str, str]):
        action_space = gymnasium.spaces.Text(200, charset="".join(map(chr, range(32, 127))))
        observation_space = action_space

        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[str, dict[str, Any]]:
            super().reset(seed=seed)
            self.turn = 0
            return "Say something.", {}

        def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
            self.turn += 1
            return "Go on.", 1.0, self.turn == TURNS, False, {}

    if "gym-bench/Talk-v0" not in gymnasium.registry:
        gymnasium.register("gym-bench/Talk-v0", Talk)
    return "gym-bench/Talk-v0"


async def gymnasium_alone(base_url: str, rollouts: int, in_flight: int) -> float:
    """Gymnasium's own loop of steps."""
    import gymnasium

    name = talking()

    async def play(number: int, say: Any) -> float:
        world = gymnasium.make(name)
        observation, _ = world.reset(seed=number)
        items: list[Any] = [{"role": "user", "content": observation}]
        earned = 0.0
        while True:
            observation, reward, terminated, truncated, _ = world.step(await say(items))
            earned += float(reward)
            if terminated or truncated:
                return earned
            items.append({"role": "user", "content": observation})

    return await bare(base_url, rollouts, in_flight, play)


async def gymnasium_in_gym(base_url: str, rollouts: int, in_flight: int) -> float:
    """The same through the adapter."""
    return await collected(f"gymnasium:{talking()}", base_url, in_flight, env_options={"tasks": rollouts})


# reasoning-gym

FAMILY = "spell_backward"


async def reasoning_alone(base_url: str, rollouts: int, in_flight: int) -> float:
    """The package's own data set and scorer."""
    import reasoning_gym

    data = reasoning_gym.create_dataset(FAMILY, size=rollouts, seed=0)

    async def play(number: int, say: Any) -> float:
        entry = data[number]
        return float(data.score_answer(await say([{"role": "user", "content": entry["question"]}]), entry))

    return await bare(base_url, rollouts, in_flight, play)


async def reasoning_in_gym(base_url: str, rollouts: int, in_flight: int) -> float:
    """The same through the adapter."""
    return await collected(f"reasoning_gym:{FAMILY}", base_url, in_flight, env_options={"size": rollouts, "seed": 0})


# verifiers


async def verifiers_alone(base_url: str, rollouts: int, in_flight: int) -> float:
    """Its own `evaluate`."""
    import verifiers
    from verifiers.types import ClientConfig

    env: Any = verifiers.load_environment("gym_bench_talk", count=rollouts)
    client = ClientConfig(api_base_url=base_url, api_key_var=KEY, max_connections=in_flight)
    found = await env.evaluate(client, MODEL, num_examples=rollouts, max_concurrent=in_flight)
    return statistics.fmean(output["reward"] for output in found["outputs"])


async def verifiers_in_gym(base_url: str, rollouts: int, in_flight: int) -> float:
    """The same through the adapter."""
    return await collected("verifiers:gym_bench_talk", base_url, in_flight, env_options={"args": {"count": rollouts}})


# Inspect


async def inspect_alone(base_url: str, rollouts: int, in_flight: int) -> float:
    """Its own `eval`."""
    from inspect_ai import eval_async
    from inspect_ai.model import get_model

    model = get_model(f"openai-api/bench/{MODEL}", base_url=base_url, api_key="none")
    (log,) = await eval_async(
        f"{FILES}/gym_bench_task.py@chat",
        model=model,
        task_args={"count": rollouts},
        max_samples=in_flight,
        max_connections=in_flight,
        log_dir=f"{FILES}/logs",
    )
    if log.status != "success" or log.results is None:
        raise SystemExit(f"Inspect's own run ended with {log.status}: {log.error}")
    return float(log.results.scores[0].metrics["accuracy"].value)


async def inspect_in_gym(base_url: str, rollouts: int, in_flight: int) -> float:
    """The same through the adapter."""
    env = f"inspect:{FILES}/gym_bench_task.py@chat"
    return await collected(env, base_url, in_flight, env_options={"args": {"count": rollouts}})


FILES = ""
PAIRS = {
    "gymnasium": Pair(gymnasium_alone, gymnasium_in_gym, TURNS),
    "reasoning_gym": Pair(reasoning_alone, reasoning_in_gym, 1),
    "verifiers": Pair(verifiers_alone, verifiers_in_gym, TURNS),
    "inspect": Pair(inspect_alone, inspect_in_gym, TURNS),
}


def seconds() -> float:
    """CPU of this process and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def measured(contestant: Contestant, base_url: str, rollouts: int, in_flight: int) -> tuple[float, float]:
    """CPU seconds per rollout, without those of a run's start, and the mean reward."""
    gc.collect()
    began = seconds()
    run_loop(contestant(base_url, FEW, FEW))  # type: ignore[arg-type]
    between = seconds()
    reward = run_loop(contestant(base_url, rollouts, in_flight))  # type: ignore[arg-type]
    return (seconds() - 2 * between + began) / (rollouts - FEW), reward


def main() -> None:
    """Measure and print."""
    global FILES
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", choices=PAIRS)
    parser.add_argument("--rollouts", type=int, default=400)
    parser.add_argument("--in-flight", type=int, default=100)
    parser.add_argument("--latency-ms", type=float, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    pair = PAIRS[arguments.home]
    os.environ[KEY] = "none"
    os.environ |= {"INSPECT_DISPLAY": "none", "TQDM_DISABLE": "1"}
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as FILES, running_standin(arguments.latency_ms) as base_url:
        Path(FILES, "gym_bench_talk.py").write_text(TALK, encoding="utf-8")
        Path(FILES, "gym_bench_task.py").write_text(TASK, encoding="utf-8")
        sys.path.insert(0, FILES)
        taken: dict[str, list[float]] = {"alone": [], "gym": []}
        for contestant in (pair.alone, pair.through_gym):  # imports are no part of it
            run_loop(contestant(base_url, FEW, FEW))  # type: ignore[arg-type]
        for _ in range(arguments.rounds):
            rewards = []
            for name, contestant in (("alone", pair.alone), ("gym", pair.through_gym)):
                cpu, reward = measured(contestant, base_url, arguments.rollouts, arguments.in_flight)
                taken[name].append(cpu)
                rewards.append(reward)
            if len(set(rewards)) > 1:
                raise SystemExit(f"the mean rewards differ: {rewards}")
    alone, through = (1000 * statistics.median(taken[name]) for name in taken)
    more = (through - alone) / pair.calls
    print(
        f"{arguments.home}: {arguments.rollouts} rollouts of {pair.calls} model calls, {arguments.in_flight} in flight"
    )
    print(f"CPU ms per rollout: alone {alone:.2f}, through gym {through:.2f}; {more:+.2f} per model call")


if __name__ == "__main__":
    main()
