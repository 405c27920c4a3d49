"""Environments of NeMo Gym that speak `/reset` and `/step`, and the loop that works with them.

`/reset` opens with an observation; `/step` is given each whole response and answers with what came of its calls, an
observation, a reward, and whether that was all. The loop is the one of NeMo Gym's `gymnasium_agent`: tools, turns and
the verdict are the server's, so it is a runner.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveInt

from gym_core import (
    CompletedTask,
    Item,
    Options,
    Request,
    Response,
    Runner,
    RunnerContext,
    Task,
    TaskFailed,
    UsageError,
    Verdict,
    user_message,
)
from gym_core.spi import is_number
from gym_http.protocol.client import BROKEN
from gym_http.protocol.errors import RemoteError
from gym_http.remote.connection import Connection
from gym_http.remote.nemo_environment import CookieSession
from gym_nemo.foreign_verdict import NotMeasured, check_measured
from gym_nemo.rows import as_response, row_for

MAX_TURNS = "max_turns"


class StepRunnerOptions(Options):
    """The options of the loop."""

    max_steps: PositiveInt = Field(default=10, description="Responses of the model, as `max_steps` is there.")


class StepRunner(Runner[StepRunnerOptions]):
    """The loop over `/reset` and `/step`. Rewards of steps are summed, and stand in `info`, too."""

    async def run(self, task: Task, context: RunnerContext) -> CompletedTask:
        """Work with the server until it says that it is done. Raises what asking it raises, and `TaskFailed`."""
        connection = getattr(context.server, "connection", None)
        if not isinstance(connection, Connection):
            raise UsageError(
                "the runner `steps` works with a server of NeMo Gym", hint="--env URL of one that has /reset and /step"
            )
        episode = _Episode(connection, task, context)
        async with episode:
            return await episode.work(self.options.max_steps)


class _Episode(CookieSession):
    def __init__(self, connection: Connection, task: Task, context: RunnerContext) -> None:
        super().__init__(connection)
        self.row = row_for(task, context.repeat)
        self.request = task.request.body
        self.shown: list[Item] = list(task.input)
        self.said: list[Item] = []
        self.model = context.models["policy"]
        self.info: Mapping[str, Any] = {}

    async def __aenter__(self) -> None:
        reply = await self.connection.open("POST", "/reset", self.row)
        self.keep(reply)
        answer = reply.object()
        self.info = _info(answer)
        self.shown += _observed(answer)

    async def __aexit__(self, *error: object) -> None:
        if self.info.get("supports_explicit_close") is not True:
            return
        try:
            await self.post("/close", {})
        except RemoteError:  # the verdict stands, and the server's own limits end what is left
            return

    async def work(self, most: int) -> CompletedTask:
        rewards: list[float] = []
        for _ in range(most):
            response = await self.model.respond(Request({**self.request, "input": [*self.shown, *self.said]}))
            self.said += response.output
            step = await self._step(response)
            rewards.append(step["reward"])
            if step.get("terminated") or step.get("truncated"):
                reason = "completed" if step.get("terminated") else "truncated"
                return self._completed(rewards, reason, step)
            outputs = _info(step).get("tool_outputs")
            for one in outputs if isinstance(outputs, list) else ():
                self.said.append({"type": "function_call_output", "call_id": one["call_id"], "output": one["output"]})
            self.said += _observed(step)
        return self._completed(rewards, MAX_TURNS, step)

    async def _step(self, response: Response) -> dict[str, Any]:
        body = {**self.row, "response": as_response(response.body, response.output, self.request)}
        if self.info.get("supports_step_idempotency") is True:
            body["_ng_step_request_id"] = uuid.uuid4().hex
        reply = self.connection.checked(await self.post("/step", body))
        step = reply.object()
        try:
            check_measured(step, body)
        except NotMeasured as error:
            raise TaskFailed(f"{reply.where} {error.message}", phase=error.phase) from None
        if not is_number(step.get("reward")):
            raise RemoteError(f"{reply.where} answered without a number as `reward`", code=BROKEN, status=reply.status)
        return step

    def _completed(self, rewards: list[float], reason: str, step: Mapping[str, Any]) -> CompletedTask:
        opened = self.shown[len(Request(self.request).input) :]
        info = {**_info(step), "step_rewards": rewards}
        return CompletedTask(Verdict(sum(rewards), {}, info), reason, Response({"output": [*opened, *self.said]}))


def _info(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    info = answer.get("info")
    return info if isinstance(info, Mapping) else {}


def _observed(answer: Mapping[str, Any]) -> list[Item]:
    observation = answer.get("observation")
    return [user_message(observation)] if isinstance(observation, str) and observation else []
