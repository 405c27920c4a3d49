"""A rollout that somebody else carries out: an agent that brings its own model and environment is given the task."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

from gym_core.contract.agent import TaskFailed
from gym_core.contract.resource_server import ResourceServer, Session, SessionContext
from gym_core.domain.errors import GymError
from gym_core.domain.rollout import Verdict
from gym_core.domain.task import Task
from gym_core.engine.rollout.failure import PHASE_STATUS
from gym_core.engine.rollout.rollout_run import RolloutRun
from gym_core.engine.rollout.verify import checked_verdict


class Elsewhere(ResourceServer):
    """Stands for the environment of an agent that brings its own."""

    def open_session(self, task: Task, context: SessionContext) -> AbstractAsyncContextManager[Session[Any]]:
        """There is none."""
        raise GymError("the environment of this run is where its agent is")


async def delegated_rollout(run: RolloutRun) -> tuple[str, Verdict | None]:
    """One question to a `self_contained` agent. What it answers is recorded; its failure is the agent's.

    The tokens are those of the model calls that the answer lists, else those of its response.
    """
    agent = run.stage.agent
    assert agent is not None
    run.phase = "agent"
    try:
        completed = await agent.complete(run.task, run.repeat)
    except TaskFailed as error:
        run.phase = error.phase if error.phase in PHASE_STATUS else "agent"
        raise
    recording, response = run.recording, completed.response
    recording.add(response.output)
    for call in completed.calls:
        recording.called(call, response)
    recording.last = response
    if not completed.calls:
        recording.policy_usage.add(response.body.get("usage"))
    run.about = {**(run.about or {}), "model": response.body.get("model")}
    run.phase = "verify"
    return completed.stop_reason, checked_verdict(completed.verdict)
