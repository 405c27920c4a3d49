"""The runner: it lets a task of Inspect run its own solver and scorers, with the models of the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gym_core import CompletedTask, Runner, RunnerContext, Task, TaskFailed, UsageError
from gym_inspect.environment import ROW, Inspect
from gym_inspect.model import calls_of
from gym_inspect.sample import run_sample

_OWN = frozenset({"input", "tools", "tool_choice"})


class InspectLoop(Runner):
    """The solver and the scorers of a task that was written for Inspect, which names it, with the models of the run."""

    async def run(self, task: Task, context: RunnerContext) -> CompletedTask:
        """One sample, scored. Raises `TaskFailed` for what failed in it, whatever Inspect makes of that."""
        server = context.server
        if not isinstance(server, Inspect):
            raise UsageError("the runner `inspect_loop` plays tasks of Inspect only", hint="--env inspect:PACKAGE/TASK")
        sampling = {name: value for name, value in task.request.body.items() if name not in _OWN}
        with calls_of(context, sampling) as calls:
            found, stop = await run_sample(
                server.opened, _sample(task), calls, context.repeat + 1, server.options.reward
            )
        return CompletedTask(found, stop)


def _sample(task: Task) -> Any:
    from inspect_ai.dataset import Sample

    held = task.get(ROW)
    if not isinstance(held, Mapping):
        raise TaskFailed(f"the task has no sample of Inspect in its field `{ROW}`", phase="setup")
    try:
        return Sample.model_validate(dict(held))
    except ValueError as error:
        raise TaskFailed(f"the task's field `{ROW}` is no sample: {error}"[:400], phase="setup") from error
