"""What an adapter costs beside its home alone: `python benchmarks/homes.py HOME [OPTIONS]`.

HOME is `gymnasium`, `textarena`, `gem`, `reasoning_gym`, `openenv`, `nemo`, `verifiers` or `inspect`, which has to be
importable. The home alone plays the same work against the same stand-in endpoint: by its own runner where it has one
(verifiers, Inspect, NeMo Gym), by OpenEnv's own client, else by a bare loop that posts with aiohttp and calls the
library. OpenEnv's server is a process of its own, which counts for neither. In turns, each `--rounds` times; printed
are the medians of CPU per rollout, of this process and of those that it has waited for, and what gym adds to a model
call. What the start of a run takes, a child process that makes tasks say, is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
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

WORLD = f"""
import socket, sys
import uvicorn
from openenv.core.env_server.http_server import create_app
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import Action, Observation, State

class Say(Action):
    message: str

class Seen(Observation):
    hint: str = ""

class Talk(Environment):
    SUPPORTS_CONCURRENT_SESSIONS = True
    state = State()

    def reset(self, seed=None, episode_id=None, **_):
        self.turn = 0
        return Seen(hint="Say something.")

    def step(self, action: Say, timeout_s=None, **_):
        self.turn += 1
        return Seen(hint="Go on.", reward=1.0, done=self.turn == {TURNS})

listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
print(listening.getsockname()[1], flush=True)
app = create_app(Talk, Say, Seen, max_concurrent_envs=1024)
uvicorn.Server(uvicorn.Config(app, log_level="error")).run([listening])
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


async def steps(world: Any, seed: int, say: Any) -> float:
    """One episode of a world that is played as those of Gymnasium are."""
    observation, _ = world.reset(seed=seed)
    items: list[Any] = [{"role": "user", "content": observation}]
    earned = 0.0
    while True:
        observation, reward, terminated, truncated, _ = world.step(await say(items))
        earned += float(reward)
        if terminated or truncated:
            return earned
        items.append({"role": "user", "content": observation})


# Gymnasium


def talker(base: Any) -> Any:
    """A class of worlds of Gymnasium's form that are talked to `TURNS` times."""

    class Talk(base):
        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[str, dict[str, Any]]:
            super().reset(seed=seed)
            self.turn = 0
            return "Say something.", {}

        def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
            self.turn += 1
            return "Go on.", 1.0, self.turn == TURNS, False, {}

    return Talk


def talking() -> str:
    """Register an environment that is talked to `TURNS` times; its id."""
    import gymnasium

    texts = gymnasium.spaces.Text(200, charset="".join(map(chr, range(32, 127))))
    talk = talker(gymnasium.Env)
    talk.action_space = talk.observation_space = texts
    if "gym-bench/Talk-v0" not in gymnasium.registry:
        gymnasium.register("gym-bench/Talk-v0", talk)
    return "gym-bench/Talk-v0"


async def gymnasium_alone(base_url: str, rollouts: int, in_flight: int) -> float:
    """Gymnasium's own loop of steps."""
    import gymnasium

    name = talking()

    async def play(number: int, say: Any) -> float:
        return await steps(gymnasium.make(name), number, say)

    return await bare(base_url, rollouts, in_flight, play)


async def gymnasium_in_gym(base_url: str, rollouts: int, in_flight: int) -> float:
    """The same through the adapter."""
    return await collected(f"gymnasium:{talking()}", base_url, in_flight, env_options={"tasks": rollouts})


# TextArena


def arena() -> str:
    """Register a game that is talked to `TURNS` times; its id."""
    import textarena

    class Talk(textarena.Env):
        def reset(self, num_players: int, seed: int | None = None) -> None:
            self.state = textarena.SinglePlayerState(num_players=num_players, seed=seed, max_turns=TURNS)
            self.state.reset(game_state={}, player_prompt_function=lambda **_: "Say something.")

        def step(self, action: str) -> Any:
            kinds = textarena.ObservationType
            self.state.add_observation(from_id=0, to_id=0, message=action, observation_type=kinds.PLAYER_ACTION)
            self.state.add_observation(to_id=0, message="Go on.", observation_type=kinds.GAME_MESSAGE)
            if self.state.turn + 1 == TURNS:
                self.state.set_outcome(reward=1.0, reason="said enough")
            return self.state.step()

    if "Bench-Talk-v0" not in textarena.envs.registration.ENV_REGISTRY:
        textarena.envs.registration.register("Bench-Talk-v0", Talk)
    return "Bench-Talk-v0"


async def textarena_alone(base_url: str, rollouts: int, in_flight: int) -> float:
    """TextArena's own loop of steps."""
    import textarena

    name = arena()

    async def play(number: int, say: Any) -> float:
        game = textarena.make(name)
        game.reset(num_players=1, seed=number)
        items: list[Any] = []
        done = False
        while not done:
            _, seen = game.get_observation()
            said = "\n".join(text for sender, text, _ in seen if sender != 0)
            items.append({"role": "user", "content": said})
            done, _ = game.step(action=await say(items))
        rewards, _ = game.close()
        return float(rewards[0])

    return await bare(base_url, rollouts, in_flight, play)


async def textarena_in_gym(base_url: str, rollouts: int, in_flight: int) -> float:
    """The same through the adapter."""
    return await collected(f"textarena:{arena()}", base_url, in_flight, env_options={"tasks": rollouts})


# GEM


def gem_world() -> str:
    """Register a world that is talked to `TURNS` times; its id."""
    import gem

    if "bench:Talk-v0" not in gem.envs.registration.ENV_REGISTRY:
        gem.register("bench:Talk-v0", talker(gem.Env))
    return "bench:Talk-v0"


async def gem_alone(base_url: str, rollouts: int, in_flight: int) -> float:
    """GEM's own loop of steps."""
    import gem

    name = gem_world()

    async def play(number: int, say: Any) -> float:
        return await steps(gem.make(name), number, say)

    return await bare(base_url, rollouts, in_flight, play)


async def gem_in_gym(base_url: str, rollouts: int, in_flight: int) -> float:
    """The same through the adapter."""
    return await collected(f"gem:{gem_world()}", base_url, in_flight, env_options={"tasks": rollouts})


# OpenEnv


async def openenv_alone(base_url: str, rollouts: int, in_flight: int) -> float:
    """OpenEnv's own client."""
    from openenv.core.generic_client import GenericEnvClient

    async def play(number: int, say: Any) -> float:
        async with GenericEnvClient(base_url=OPENENV_URL) as client:
            result = await client.reset(seed=number)
            items: list[Any] = []
            earned = 0.0
            while not result.done:
                items.append({"role": "user", "content": result.observation["hint"]})
                result = await client.step({"message": await say(items)})
                earned += result.reward or 0.0
            return earned

    return await bare(base_url, rollouts, in_flight, play)


async def openenv_in_gym(base_url: str, rollouts: int, in_flight: int) -> float:
    """The same through the adapter."""
    options = {"tasks": rollouts, "actions": "reply"}
    return await collected(f"openenv:{OPENENV_URL}", base_url, in_flight, env_options=options)


@contextlib.contextmanager
def openenv_server() -> Iterator[str]:
    """The URL of an environment of OpenEnv that is talked to `TURNS` times."""
    with subprocess.Popen([sys.executable, "-c", WORLD], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


# NeMo Gym

SERVER_OF_NEMO = "example_single_tool_call"
ROWS = 4
"""So many rows of its examples are played again and again, alone by its own agent, through gym by gym's."""


async def nemo_alone(base_url: str, rollouts: int, in_flight: int) -> float:
    """Its own agent, server and model server, in a process that ends with them."""
    script = Path(__file__).parents[1] / "scripts" / "nemo_parity_home.py"
    numbers = (ROWS, 20, rollouts // ROWS, in_flight)
    command = [sys.executable, str(script), SERVER_OF_NEMO, "simple_agent", base_url, *map(str, numbers)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True)
    rewards = orjson.loads(done.stdout.splitlines()[-1])["rewards"]
    return statistics.fmean(rewards)


async def nemo_in_gym(base_url: str, rollouts: int, in_flight: int) -> float:
    """The same through the adapter."""
    return await collected(f"nemo:{SERVER_OF_NEMO}", base_url, in_flight, limit=ROWS, repeats=rollouts // ROWS)


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
OPENENV_URL = ""
PAIRS = {
    "gymnasium": Pair(gymnasium_alone, gymnasium_in_gym, TURNS),
    "textarena": Pair(textarena_alone, textarena_in_gym, TURNS),
    "gem": Pair(gem_alone, gem_in_gym, TURNS),
    "openenv": Pair(openenv_alone, openenv_in_gym, TURNS),
    "nemo": Pair(nemo_alone, nemo_in_gym, 2),
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
    global FILES, OPENENV_URL
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
    with contextlib.ExitStack() as stack:
        FILES = stack.enter_context(tempfile.TemporaryDirectory())
        base_url = stack.enter_context(running_standin(arguments.latency_ms))
        if arguments.home == "openenv":
            OPENENV_URL = stack.enter_context(openenv_server())
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
