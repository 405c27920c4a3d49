"""What a suite for environments works with: its settings, its scripts, and the rollouts that it runs."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest

from gym_core import Agent, GymError, ModelBackend, ResourceServer, Rollout, SandboxProvider, Task, encode_json
from gym_core.spi import Kind
from gym_testing.agents import LoopAgent
from gym_testing.checks.tool_schemas import arguments_for
from gym_testing.conformance.component import ComponentConformance
from gym_testing.conformance.over_http import over_http
from gym_testing.conformance.performance import Performance, Play, perform
from gym_testing.models import ModelTurn, ScriptedModel
from gym_testing.rehearsal import make, run, shipped
from gym_testing.replies import call

REFUSAL = "I do not know."
_listed: dict[object, Sequence[Task]] = {}


class RolloutSuite(ComponentConformance):
    """The settings of `ResourceServerConformance`, which explains them, and the means of its checks."""

    kind: ClassVar[Kind] = Kind.RESOURCE_SERVER
    task_limit: int = 50
    sample: int = 4
    """How many tasks the slower checks look at."""
    ships_tasks: bool = True
    reward_range: tuple[float, float] = (0.0, 1.0)
    repeatable: bool = True
    other_models: Mapping[str, Sequence[ModelTurn]] = {}
    agent: Any = None
    sandbox: Any = None
    sandbox_options: Mapping[str, Any] = {}

    def winning(self, task: Task) -> Sequence[ModelTurn] | None:
        """What a model says that solves the task; None where no script is known."""
        return None

    def losing(self, task: Task) -> Sequence[ModelTurn]:
        """What a model says that does not."""
        return [REFUSAL]

    def tasks(self) -> Sequence[Task]:
        """The tasks to look at: the first ones that the environment ships."""

        async def read() -> list[Task]:
            server = self._server()
            async with server:
                return await shipped(server, self.task_limit)

        try:
            return run(read())
        except GymError as error:
            raise AssertionError(f"the tasks cannot be used: {error}") from error

    # Means

    def _some(self) -> Sequence[Task]:
        tasks = self._tasks_once()
        if not tasks:
            pytest.skip("the environment ships no tasks: override `tasks` to look at some")
        return tasks

    def _tasks_once(self) -> Sequence[Task]:
        """The tasks, listed once for all tests where listing them depends on nothing that a test sets up."""
        if type(self).make is not ComponentConformance.make or type(self).tasks is not RolloutSuite.tasks:
            return self.tasks()
        key = (self.component(), self.reference, repr(self.options), self.task_limit, self.over_http)
        if key not in _listed:
            _listed[key] = self.tasks()
        return [Task(copy.deepcopy(task.row), task_id=task.task_id, index=task.index) for task in _listed[key]]

    def _few(self) -> Sequence[Task]:
        """Some tasks from all over those that are looked at."""
        tasks = self._some()
        return tasks[:: max(1, len(tasks) // self.sample)][: self.sample]

    def _require_repeatable(self) -> None:
        if not self.repeatable:
            pytest.skip("repeatable = False: tools answer differently each time")

    def _worker(self, server: ResourceServer) -> Agent:
        wanted = self.agent
        preferred = server.describe().preferred_agent
        if wanted is None and preferred != ResourceServer.preferred_agent:
            wanted = preferred
        worker: Agent = LoopAgent() if wanted is None else make(Kind.AGENT, wanted)
        return worker

    def _others(self) -> dict[str, ModelBackend]:
        roles = getattr(getattr(self.component(), "session_type", None), "roles", ())
        scripts = {**dict.fromkeys(roles, ("1",)), **self.other_models}
        return {role: ScriptedModel(*script, role=role) for role, script in scripts.items()}

    def _server(self, *, served: bool | None = None) -> ResourceServer:
        """A new server, over HTTP where the suite or `served` says so."""
        server: ResourceServer = self.make()
        if self.over_http if served is None else served:
            server = over_http(server, sandbox=self._sandboxes())
        return server

    def _sandboxes(self) -> SandboxProvider | None:
        """A new provider of sandboxes, where the suite names one."""
        return make(Kind.SANDBOX, self.sandbox, self.sandbox_options) if self.sandbox is not None else None

    def _perform(self, plays: Sequence[Play], *, together: bool = False, served: bool | None = None) -> Performance:
        server = self._server(served=served)
        return run(
            perform(
                server,
                plays,
                agent=self._worker(server),
                models=self._others(),
                sandboxes=self._sandboxes(),
                together=together,
            ),
            seconds=60.0 + len(plays),
        )

    def _judged(self, done: Performance, what: str) -> Performance:
        """The same, once it is seen that all have a verdict and a reward in range."""
        for rollout in done.rollouts:
            self._check_verdict(rollout, f"{what}, on task {rollout.task_id!r}")
        return done

    def _check_verdict(self, rollout: Rollout, what: str) -> None:
        if not rollout.status.has_verdict:
            error = rollout.error or {}
            raise AssertionError(
                f"{what}: no verdict but {rollout.status.value} in `{error.get('phase')}`: "
                f"{error.get('class')}: {error.get('message')}"
            )
        least, most = self.reward_range
        reward = rollout.reward
        assert reward is not None
        assert least <= reward <= most, (
            f"{what}: the reward {reward:g} is not within reward_range = ({least:g}, {most:g})"
        )

    def _offers(self, tasks: Sequence[Task]) -> list[tuple[Task, list[dict[str, Any]]]]:
        """The function tools that the model is offered, by task."""
        done = self._judged(self._perform([Play(task, [REFUSAL]) for task in tasks]), "a model that gives up")
        offers = []
        for task, model in zip(tasks, done.models, strict=True):
            assert model.requests, f"task {task.task_id!r}: the model was never asked"
            tools = [tool for tool in model.requests[0].tools if tool.get("type", "function") == "function"]
            offers.append((task, tools))
        return offers

    def _script(self, task: Task) -> Sequence[ModelTurn]:
        """The winning script, else calls of all tools."""
        return self.winning(task) or self._probe(self._offers([task])[0][1])

    def _probe(self, tools: Sequence[Mapping[str, Any]]) -> list[ModelTurn]:
        calls = [
            call(tool["name"], encode_json(arguments_for(tool)).decode(), call_id=f"call_{tool['name']}")
            for tool in tools
        ]
        return [*calls, REFUSAL]
