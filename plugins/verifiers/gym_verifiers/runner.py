"""The runner: it lets an environment of verifiers play its own loop, with the models of the run."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from gym_core import CompletedTask, Runner, RunnerContext, Task, UsageError
from gym_verifiers.environment import JUDGE, VerifiersOptions
from gym_verifiers.own_models import own_models


class VerifiersLoop(Runner):
    """The loop of an environment that was written for verifiers, which names it, with the models of the run."""

    async def run(self, task: Task, context: RunnerContext) -> CompletedTask:
        """One rollout, scored. Raises `TaskFailed` for what failed in it, whatever verifiers makes of that."""
        server: Any = context.server
        if not isinstance(server.options, VerifiersOptions):  # the server itself may be watched by another
            raise UsageError(
                "the runner `verifiers_loop` plays environments of verifiers only", hint="--env verifiers:ID"
            )
        async with AsyncExitStack() as stack:
            endpoint = await stack.enter_async_context(context.endpoint())
            judge = await stack.enter_async_context(context.endpoint(JUDGE)) if server.options.judge else None
            stack.enter_context(own_models(server.options.own_models(judge, endpoint.base_url)))
            played: CompletedTask = await server.environment.run(task, context.repeat, endpoint)
            return played
