"""Tasks made by the real generator, and the verdict on what is answered to them."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections import deque
from collections.abc import AsyncIterable, Callable, Mapping
from typing import Any

import pytest

import gym_core
from gym_core import CallContext, ComponentContext, ModelBackend, Request, Response, Rollout, Task, Trajectory, Verdict
from gym_reasoning_gym.environment import ReasoningGym, ReasoningGymOptions
from gym_reasoning_gym.guards import EXPRESSIONS, LITERALS
from gym_reasoning_gym.verifier import judge
from tests.support.reasoning import forked_generator

__all__ = ["forked_generator"]


def _make_env(family: str = "", *, run_seed: int = 0, **options: Any) -> ReasoningGym:
    return ReasoningGym(ReasoningGymOptions(family=family, **options), ComponentContext(seed=run_seed))


def _make_tasks(family: str, count: int, **options: Any) -> list[Task]:
    async def first() -> list[Task]:
        tasks = _make_env(family, **options).tasks()
        assert isinstance(tasks, AsyncIterable)
        found: list[Task] = []
        async for task in tasks:
            found.append(task)
            if len(found) == count:
                break
        return found

    return asyncio.run(first())


def message(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}


class SayingModel(ModelBackend):
    """Says what a function of the task's id says."""

    def __init__(self, say: Callable[[str], str]) -> None:
        super().__init__()
        self.say = say

    async def respond(self, request: Request, context: CallContext) -> Response:
        return Response({"output": [message(self.say(context.key[0]))]})


def _roll(env: ReasoningGym, say: Callable[[str], str], **settings: Any) -> list[Rollout]:
    async def collect() -> list[Rollout]:
        return [rollout async for rollout in gym_core.collect(model=SayingModel(say), env=env, **settings)]

    return asyncio.run(collect())


def _judge_text(task: Task, text: str) -> Verdict:
    return judge(task, Trajectory(task.input, [message(text)] if text else []))


def _right_answer(task: Task) -> str:
    """The answer that comes with a task, else one that is worked out."""
    answer = task["answer"]
    return SOLVERS[task["family"]](task["metadata"]) if answer is None else str(answer)


def _boxes(metadata: Mapping[str, Any]) -> str:
    """Each box goes along its column, then along its row, to its target; one move per turn."""
    squares: Mapping[str, list[str]] = metadata["initial_state"]
    targets = {item: square for square, items in squares.items() for item in items if item.startswith("target_")}
    turns = []
    for square, items in squares.items():
        for box in (item for item in items if item.startswith("box_")):
            target = f"target_{box.removeprefix('box_')}"
            here = [float(number) for number in square.split("_")]
            there = [float(number) for number in targets[target].split("_")]
            for axis in (0, 1):
                while here[axis] != there[axis]:
                    agent = f"Agent[{here[0]}, {here[1]}]"
                    here[axis] += 1 if there[axis] > here[axis] else -1
                    turns.append({agent: f"move({box}, square[{here[0]}, {here[1]}])"})
            turns.append({f"Agent[{here[0]}, {here[1]}]": f"move({box}, {target})"})
    return json.dumps(turns)


def _rush_hour(metadata: Mapping[str, Any]) -> str:
    """Breadth first: every car by one square at a time."""
    module = importlib.import_module("reasoning_gym.games.rush_hour")
    config = metadata["board_config"]
    cars = sorted({square for square in config if square not in "ox"})
    letters = [chr(ord("A") + place) for place in range(len(cars))]
    start = module.Board(config)
    seen = {str(start)}
    waiting = deque([""])
    while waiting:
        moves = waiting.popleft()
        for letter in letters:
            for way in ("+1", "-1"):
                board = module.Board(config)
                board.perform_moves(f"{moves} {letter}{way}")
                if board.solved:
                    return f"{moves} {letter}{way}".strip()
                if str(board) not in seen:
                    seen.add(str(board))
                    waiting.append(f"{moves} {letter}{way}")
    raise AssertionError(f"{config} cannot be solved")


SOLVERS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "boxnet": _boxes,
    "graph_color": lambda metadata: json.dumps(metadata["possible_answer"]),
    "propositional_logic": lambda metadata: str(metadata["example_answer"]),
    "rubiks_cube": lambda metadata: str(metadata["example_correct_answer"]),
    "rush_hour": _rush_hour,
}


@pytest.fixture(scope="session", autouse=True)
def _forked(forked_generator: None) -> None:
    """No test waits until the package has been imported once more."""


@pytest.fixture(scope="session")
def make_env() -> Callable[..., ReasoningGym]:
    """An environment with options, not yet entered."""
    return _make_env


@pytest.fixture(scope="session")
def make_tasks() -> Callable[..., list[Task]]:
    """`make_tasks("lcm,gcd", 4, seed=1)`: the first tasks of an environment."""
    return _make_tasks


@pytest.fixture(scope="session")
def roll() -> Callable[..., list[Rollout]]:
    """Whole rollouts with a model that says what a function of the task's id says."""
    return _roll


@pytest.fixture(scope="session")
def sample() -> Callable[[str], Task]:
    """The first task of a family, out of those that several tests look at."""
    families = sorted(LITERALS | EXPRESSIONS | {"boxnet", "game_of_life", "prime_factorization"})
    tasks = {task["family"]: task for task in _make_tasks(",".join(families), len(families))}
    return tasks.__getitem__


@pytest.fixture(scope="session")
def judge_text() -> Callable[[Task, str], Verdict]:
    """The verdict when a model ends with a text; with nothing, if it is empty."""
    return _judge_text


@pytest.fixture(scope="session")
def right_answer() -> Callable[[Task], str]:
    """The right answer to a task, worked out where the task comes without one."""
    return _right_answer


@pytest.fixture(scope="session")
def without_answers() -> frozenset[str]:
    """The families whose tasks come without a right answer."""
    return frozenset(SOLVERS)
