"""An agent asked as if it were a model: session and agent talk, and the talk is the answer."""

from __future__ import annotations

import secrets
from typing import Any

from gym_core import Rollout, SessionContext, Verdict
from gym_core.responses import TRUNCATING
from gym_core.spi import Failure, GuardedSession, Models, RolloutRun, Toolbox, checked_items

_NO_VERDICT = Verdict(0.0)
"""What has to stand where a verdict stands. Nobody sees it."""


class Conversation(RolloutRun):
    """A rollout without its end: agent and session talk, and nobody judges."""

    __slots__ = ()

    async def _attempt(self) -> tuple[str, Verdict]:
        stage = self.stage
        models = Models(stage.gates, self._ask_as)
        context = SessionContext(seed=self.seed, repeat=self.repeat, models=models)
        opened = stage.server.open_session(self.task, context)
        guard = self._guard = GuardedSession(opened, self._alarm, stage.executor, stage.deadlines)
        async with guard as session:
            self._session = session
            for role in session.roles:
                models[role]
            opening = await stage.executor.call(self._alarm, "setup", stage.deadlines.setup, session.setup)
            if opening is not None:
                self.recording.add(checked_items(opening, "setup"))
            toolbox = self._toolbox = Toolbox(
                session,
                self._request.body.get("tools"),
                recording=self.recording,
                executor=stage.executor,
                alarm=self._alarm,
                seconds=stage.deadlines.tool,
            )
            self._request = self._request.with_input(
                self.recording.visible, {"tools": toolbox.schemas} if toolbox.schemas else None
            )
            self._phase = "agent"
            return await self._run_agent(), _NO_VERDICT

    def _row(self, stop_reason: str | None, verdict: Verdict | None, failure: Failure | None) -> Rollout:
        return super()._row(stop_reason, None, failure)


def answer_of(run: RolloutRun, stop_reason: str | None) -> dict[str, Any]:
    """What was said as one Responses body, with an id of its own."""
    body = run.recording.response()
    body["id"] = f"resp_{secrets.token_hex(12)}"
    if stop_reason in TRUNCATING:
        body["status"], body["incomplete_details"] = "incomplete", {"reason": stop_reason}
    return body
