"""Runners: who takes a whole task to its verdict, where the loop between model and environment is not an agent's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import ClassVar, Protocol

from gym_core.contract.agent import Actor
from gym_core.contract.component import Component, ComponentInfo, OptionsT_co
from gym_core.contract.gateway import Endpoint
from gym_core.contract.model import Model
from gym_core.contract.resource_server import ResourceServer
from gym_core.domain.errors import GymError
from gym_core.domain.responses import Response
from gym_core.domain.rollout import Trajectory, Verdict
from gym_core.domain.task import Task


class TaskFailed(GymError):
    """A task that a runner could not complete.

    `phase`: where it failed, and so whose failure it was: `setup`, `tool`, `reply`, `verify`, `model` or `agent`.
    """

    exit_code = 1

    def __init__(self, message: str, *, phase: str = "agent", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.phase = phase


@dataclass(frozen=True, slots=True)
class CompletedTask:
    """What a runner made of a task.

    `stop_reason`: why it stopped, in its own word. `response`: every item after the task's input as its `output`, and
    the tokens of the policy as its `usage`; None where what the run's models were asked says all of it. `trajectory`:
    who was shown and said what by models that are not the run's, as far as that is known; its `items` are that output.
    """

    verdict: Verdict
    stop_reason: str
    response: Response | None = None
    trajectory: Trajectory | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerInfo(ComponentInfo):
    """What `Runner.describe` says: its members of these names."""

    roles: tuple[str, ...] = ("policy",)
    environment: bool = True


class RunnerContext(Protocol):
    """What a runner is given for one task. Nothing of it is of use once `run` has returned."""

    @property
    def repeat(self) -> int:
        """Which of the task's repeats it is."""
        ...

    @property
    def seed(self) -> int:
        """Derived from the run's seed, the task and the repeat, so that an attempt can be repeated."""
        ...

    @property
    def server(self) -> ResourceServer:
        """The environment of the run, of a runner that needs one. Raises `UsageError` for others."""
        ...

    @property
    def models(self) -> Mapping[str, Model]:
        """The models of the run by role. Their calls are recorded as this rollout's, within its limits and budget."""
        ...

    def actor(self, name: str, role: str = "policy") -> Actor:
        """An actor of the runner's, with conversations that are recorded under its name.

        `models["judge"]` is the actor `judge`. One that asks the policy's model has the task's sampling. Tools that its
        model calls the runner carries out itself. Raises `UsageError` for `policy`, which is `models["policy"]`, and
        for a role that the run has no model for; `respond` does for a name that has another role already.
        """
        ...

    def endpoint(self, role: str = "policy") -> AbstractAsyncContextManager[Endpoint]:
        """One of these models for a program, as a URL and a token, within a block."""
        ...


class Runner(Component[OptionsT_co], ABC):
    """Takes a task to its verdict. One instance serves all rollouts of a run: it keeps no state of them.

    For whatever owns its loop: another framework, an agent with an environment of its own. `--agent` names one.

    `roles`: the models of the run that it asks; with none it brings its own, and the run has none for it.
    `environment`: whether it works in the environment of the run; otherwise it brings its own, and tasks come from the
    user.
    """

    roles: ClassVar[tuple[str, ...]] = ("policy",)
    environment: ClassVar[bool] = True

    def describe(self) -> RunnerInfo:
        """What the engine has to know of it."""
        return RunnerInfo(roles=tuple(self.roles), environment=self.environment)

    @abstractmethod
    async def run(self, task: Task, context: RunnerContext) -> CompletedTask:
        """Work on a whole task, verdict included.

        Raises `TaskFailed` where it knows whose failure it was, and any error where it does not.
        """


def checked_completion(returned: object) -> CompletedTask:
    """What `Runner.run` returned. Raises `GymError` where that is no `CompletedTask`."""
    if isinstance(returned, CompletedTask):
        return returned
    raise GymError(
        f"the runner returned {returned!r:.80} and no CompletedTask: `run` ends with "
        "`return CompletedTask(verdict, stop_reason)`"
    )
