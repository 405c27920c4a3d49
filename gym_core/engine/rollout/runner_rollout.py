"""A rollout that a runner carries out: it is given the task, and its answer is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

from gym_core.contract.agent import Actor
from gym_core.contract.gateway import Endpoint
from gym_core.contract.resource_server import ResourceServer, Session, SessionContext
from gym_core.contract.runner import CompletedTask, Runner, TaskFailed, checked_completion
from gym_core.domain.errors import EpisodeOver, ModelError, UsageError
from gym_core.domain.responses import Request, Response
from gym_core.domain.rollout import Verdict
from gym_core.domain.task import Task
from gym_core.engine.model_calls.gate import Models, lacking_model
from gym_core.engine.rollout.failure import PHASE_STATUS
from gym_core.engine.rollout.rollout_run import USED_UP, RolloutRun
from gym_core.engine.rollout.verify import checked_verdict
from gym_core.wiring.config_file import POLICY


class NoEnvironment(ResourceServer):
    """Stands for the environment in a run of a runner that brings its own."""

    def open_session(self, task: Task, context: SessionContext) -> AbstractAsyncContextManager[Session[Any]]:
        """Raises `UsageError`: there is none."""
        raise UsageError("this run has no environment: its runner says that it brings its own")


class LiveRunnerContext:
    """What a runner sees of the run. Its one attribute has a mangled name: nobody reaches behind by accident.

    Its models are asked and recorded as those of a session are.
    """

    __slots__ = ("__run", "models")

    def __init__(self, run: RolloutRun) -> None:
        self.__run = run
        self.models = Models(run.stage.gates, self.__ask, partial(lacking_model, asker="runner"), request=run.request)

    @property
    def repeat(self) -> int:
        """Which of the task's repeats it is."""
        return self.__run.repeat

    @property
    def seed(self) -> int:
        """The seed of the rollout."""
        return self.__run.seed

    @property
    def server(self) -> ResourceServer:
        """The environment of the run."""
        server = self.__run.stage.server
        if isinstance(server, NoEnvironment):
            raise UsageError("this run has no environment: its runner says that it brings its own")
        return server

    def actor(self, name: str, role: str = POLICY) -> Actor:
        """An actor of the runner's."""
        return self.models.actor(name, role)

    def endpoint(self, role: str = POLICY) -> AbstractAsyncContextManager[Endpoint]:
        """One of the models for a program."""
        return self.__run.stage.gateway.offer_model(self.models[role])

    async def __ask(
        self, role: str, request: Request, *, actor: str = "", sampling: Mapping[str, Any] | None = None
    ) -> Response:
        """A call of one of the run's models. A runner whose rollout has used up its tokens is told so."""
        if role == POLICY and self.__run.used_up:
            raise EpisodeOver(USED_UP)
        try:
            return await self.__run.ask(role, request, actor=actor or role, sampling=sampling)
        except ModelError as error:
            if error.fatal and self.__run.broken is None:  # it hits all rollouts alike, whatever the runner makes of it
                self.__run.broken = (self.__run.phase, error)
            raise


async def runner_rollout(run: RolloutRun) -> tuple[str, Verdict | None]:
    """One task for a runner. What it answers is recorded; its failure is its own, where it names nobody else."""
    runner = run.stage.agent
    assert isinstance(runner, Runner)
    run.phase = "agent"
    try:
        returned = await runner.run(run.task, LiveRunnerContext(run))
    except TaskFailed as error:
        run.phase = error.phase if error.phase in PHASE_STATUS else "agent"
        raise
    if run.alarm.others:  # what it has left behind makes no calls any more
        await run.end_others(run.alarm.others)
    run.raise_broken()  # a runner that caught it does not make it undone
    completed = checked_completion(returned)
    _record(run, completed)
    if POLICY not in runner.describe().roles:
        run.about = {**run.about, "model": _model_of(completed)}
    run.phase = "verify"
    return completed.stop_reason, checked_verdict(completed.verdict)


def _record(run: RolloutRun, completed: CompletedTask) -> None:
    """Note what a runner says that happened: the tokens are those of the calls that are known, else of its response."""
    recording, response = run.recording, completed.response
    if response is None:
        return
    recording.adopt(response.output, completed.trajectory)
    recording.last = response
    if not recording.model_calls:
        recording.policy_usage.add(response.body.get("usage"))


def _model_of(completed: CompletedTask) -> Any:
    return completed.response.body.get("model") if completed.response is not None else None
