"""The runner: it lets a task of Inspect run its own solver and scorers, with the models of the run."""

from __future__ import annotations

from gym_core import CompletedTask, Runner, RunnerContext, Task, UsageError
from gym_inspect.environment import Inspect
from gym_inspect.model import Calls, calls_of
from gym_inspect.sample import run_sample, sample_of

_OWN = frozenset({"input", "tools", "tool_choice"})


class InspectLoop(Runner):
    """The solver and the scorers of a task that was written for Inspect, which names it, with the models of the run."""

    async def run(self, task: Task, context: RunnerContext) -> CompletedTask:
        """One sample, scored. Raises `TaskFailed` for what failed in it, whatever Inspect makes of that."""
        server = context.server
        if not isinstance(server, Inspect):
            raise UsageError("the runner `inspect_loop` plays tasks of Inspect only", hint="--env inspect:PACKAGE/TASK")
        sampling = {name: value for name, value in task.request.body.items() if name not in _OWN}
        calls = Calls(context, sampling)
        with calls_of(calls):
            found, stop = await run_sample(
                server.opened, sample_of(task), calls, context.repeat + 1, server.options.reward
            )
        return CompletedTask(found, stop)
