"""The suite for runners finds what it is there to find."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from gym_core import CompletedTask, Runner, RunnerContext, Task, Verdict
from gym_core.errors import ModelError
from gym_testing import RunnerConformance


class Quiz(Runner):
    """Asks each question once."""

    environment = False

    async def run(self, task: Task, context: RunnerContext) -> CompletedTask:
        response = await context.models["policy"].respond(task.request)
        return CompletedTask(Verdict(float(task["expected"] in response.output_text)), response.stop_reason)


class Suite(RunnerConformance):
    """The suite over a class that is not installed."""

    reference = "it"
    tasks = (Task.ask("What is the capital of Peru?", expected="Lima", task_id="peru"),)
    scripts = {"policy": ["Lima"], "judge": ["yes"]}

    def __init__(self, runner: type[Runner]) -> None:
        self.runner = runner

    def component(self) -> type[Any]:
        return self.runner


METADATA = ("test_import_is_light", "test_entry_point_offers_the_component")
CHECKS = [name for name in dir(Suite) if name.startswith("test_") and name not in METADATA]


@pytest.mark.parametrize("check", CHECKS)
def test_a_sound_runner_passes(check: str) -> None:
    getattr(Suite(Quiz), check)()


class Alone(Quiz):
    """Brings all that it needs."""

    roles = ()

    async def run(self, task: Task, context: RunnerContext) -> CompletedTask:
        return CompletedTask(Verdict(1.0), "completed")


@pytest.mark.parametrize("check", CHECKS)
def test_one_that_brings_everything_passes(check: str) -> None:
    getattr(Suite(Alone), check)()


class Raising(Quiz):
    """Raises."""

    async def run(self, task: Task, context: RunnerContext) -> CompletedTask:
        raise KeyError("plan")


class Asking(Quiz):
    """Asks a model that it does not name."""

    async def run(self, task: Task, context: RunnerContext) -> CompletedTask:
        await context.models["judge"].respond("Well?")
        return CompletedTask(Verdict(1.0), "completed")


class Remembering(Quiz):
    """Counts what went through its class."""

    count = 0

    async def run(self, task: Task, context: RunnerContext) -> CompletedTask:
        type(self).count += 1
        return CompletedTask(Verdict(float(self.count)), "completed")


class Hiding(Quiz):
    """Takes the name of a model's error away."""

    async def run(self, task: Task, context: RunnerContext) -> CompletedTask:
        failed = False
        with contextlib.suppress(ModelError):
            await super().run(task, context)
            failed = True
        if not failed:
            raise RuntimeError("it went wrong")
        return CompletedTask(Verdict(1.0), "completed")


@pytest.mark.parametrize(
    ("runner", "check", "problem"),
    [
        (Raising, "test_every_task_has_a_verdict", "peru: the rollout ended as agent_error: KeyError"),
        (Asking, "test_every_task_has_a_verdict", "it asks judge and names only"),
        (Remembering, "test_tasks_share_nothing", "keep no state on the runner"),
        (Hiding, "test_a_model_error_keeps_its_name", "a failed model call became agent_error"),
    ],
)
def test_what_is_wrong_is_found(runner: type[Runner], check: str, problem: str) -> None:
    with pytest.raises(AssertionError, match=problem):
        getattr(Suite(runner), check)()
