"""Files of questions, the tasks that are made of them, and the verdict on what is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import gym_core
from gym_core import (
    CallContext,
    ComponentContext,
    ModelBackend,
    Request,
    Response,
    Rollout,
    Task,
    TaskFile,
)
from gym_core.errors import InputError
from gym_qa.environment import QA
from gym_qa.graders.grade import Expected
from gym_qa.grading import GRADERS
from gym_qa.options import QAOptions


class SayingModel(ModelBackend):
    """Says what a function of the request says."""

    def __init__(self, say: Callable[[Request], str]) -> None:
        super().__init__()
        self.say = say

    async def respond(self, request: Request, context: CallContext) -> Response:
        content = [{"type": "output_text", "text": self.say(request)}]
        return Response({"output": [{"type": "message", "role": "assistant", "content": content}]})


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., TaskFile]:
    """`read("a,b\\n1,2\\n", "x.csv", match="exact")`: a file with this content, as the environment reads it."""

    def reading(content: str | bytes, name: str = "x.csv", *, run_seed: int = 0, **options: Any) -> TaskFile:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        read = QA(QAOptions.model_validate(options), ComponentContext(seed=run_seed)).read_tasks(str(path))
        assert read is not None
        return read

    return reading


@pytest.fixture
def rows(read: Callable[..., TaskFile]) -> Callable[..., list[dict[str, Any]]]:
    """The same, as the rows of its tasks; a row that cannot be used is raised."""

    def reading(*arguments: Any, **options: Any) -> list[dict[str, Any]]:
        return list(map(_row, read(*arguments, **options).tasks))

    return reading


def _row(task: Task | InputError) -> dict[str, Any]:
    if isinstance(task, InputError):
        raise task
    return task.row


@pytest.fixture
def refused(read: Callable[..., TaskFile]) -> Callable[..., str]:
    """What is said of a file that cannot be read, or of the first of its rows that cannot be."""

    def refusing(*arguments: Any, **options: Any) -> str:
        try:
            found: Iterator[Task | InputError] = iter(read(*arguments, **options).tasks)
            return next(str(task) for task in found if isinstance(task, InputError))
        except gym_core.UsageError as error:
            return str(error)

    return refusing


@pytest.fixture
def score() -> Callable[..., float]:
    """`score("number", "It is 42.", "42")`: how a reply is graded, by the answers that are right."""

    def grading(match: str, reply: str, *answers: Any, **expected: Any) -> float:
        wanted = Expected(answers=answers, **expected)
        grader = GRADERS[match]
        grader.check(wanted)
        return grader.grade(reply, wanted).score

    return grading


@pytest.fixture
def roll() -> Callable[..., list[Rollout]]:
    """Whole rollouts over a file, with a model that says what a function of the request says."""

    def rolling(path: Path, say: Callable[[Request], str], **settings: Any) -> list[Rollout]:
        options: Mapping[str, Any] = settings.pop("options", {})
        settings.setdefault("env", QA(QAOptions.model_validate(options)))

        async def collect() -> list[Rollout]:
            models = {"policy": SayingModel(say), **settings.pop("models", {})}
            run = gym_core.collect(model=models, input=path, **settings)
            return [rollout async for rollout in run]

        return sorted(asyncio.run(collect()), key=lambda rollout: int(rollout.task_id))

    return rolling


@pytest.fixture
def judging() -> Callable[..., ModelBackend]:
    """A model that says what a function of the request says."""
    return SayingModel
