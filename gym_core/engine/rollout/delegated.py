"""A rollout that somebody else carries out: an agent that brings its own model and environment is given the task."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

from gym_core.contract.agent import TaskFailed
from gym_core.contract.resource_server import ResourceServer, Session, SessionContext
from gym_core.domain.errors import GymError
from gym_core.domain.rollout import Rollout, Verdict
from gym_core.domain.task import Task
from gym_core.engine.rollout.episode import RolloutRun
from gym_core.engine.rollout.failure import PHASE_STATUS, Failure
from gym_core.engine.rollout.verify import checked_verdict


class Elsewhere(ResourceServer):
    """Stands for the environment of an agent that brings its own."""

    def open_session(self, task: Task, context: SessionContext) -> AbstractAsyncContextManager[Session[Any]]:
        """There is none."""
        raise GymError("the environment of this run is where its agent is")


class DelegatedRollout(RolloutRun):
    """One rollout in one question to a `self_contained` agent. What it answers is recorded; its failure is the agent's.

    The tokens are those of the model calls that the answer lists, else those of its response.
    """

    __slots__ = ()

    async def _attempt(self) -> tuple[str, Verdict]:
        self._phase = "agent"
        try:
            completed = await self.stage.agent.complete(self.task, self.repeat)
        except TaskFailed as error:
            self._phase = error.phase if error.phase in PHASE_STATUS else "agent"
            raise
        recording, response = self.recording, completed.response
        recording.add(response.output)
        for call in completed.calls:
            recording.called(call, response)
        recording.last = response
        if not completed.calls:
            recording.policy_usage.add(response.body.get("usage"))
        self._phase = "verify"
        return completed.stop_reason, checked_verdict(completed.verdict)

    def _row(self, stop_reason: str | None, verdict: Verdict | None, failure: Failure | None) -> Rollout:
        rollout = super()._row(stop_reason, verdict, failure)
        if self.recording.last is not None:
            rollout.row["rollout"]["model"] = self.recording.last.body.get("model")
        return rollout
