"""Runners that are elsewhere: with an environment that is served, or alone behind a URL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from gym_core import (
    CompletedTask,
    ComponentContext,
    Endpoint,
    Runner,
    RunnerContext,
    RunnerInfo,
    Task,
    TaskFailed,
    UsageError,
)
from gym_http.protocol.client import BROKEN, Reply
from gym_http.protocol.errors import RemoteError, WireError
from gym_http.protocol.shapes import read
from gym_http.protocol.urls import host_of
from gym_http.protocol.whole_tasks import COMPLETE, Completed, completed_of_body
from gym_http.protocol.wire import task_to_wire
from gym_http.remote.connection import Connection, lent, passed_on, places
from gym_http.remote.detect import Served
from gym_nemo.foreign_verdict import NotMeasured


async def complete(
    connection: Connection,
    task: Task,
    context: RunnerContext,
    roles: Sequence[str],
    options: Mapping[str, Any] = MappingProxyType({}),
) -> CompletedTask:
    """Have a task completed there. `roles`: the models that are offered for it. `options`: those of its runner.

    Raises `TaskFailed` as the runner there did, the error of a model call that it let pass, and `RemoteError`.
    """
    async with lent(roles, context) as offered:
        body = {
            "task": task_to_wire(task),
            "repeat": context.repeat,
            "seed": context.seed,
            "models": places(offered),
            **({"options": options} if options else {}),
        }
        reply = await connection.hand_over(COMPLETE, body, offered.values())
        if not reply.ok:
            raise _failure(connection, reply, offered.values())
        try:
            return completed_of_body(read(Completed, reply.object()))
        except NotMeasured as error:
            raise TaskFailed(f"{reply.where} {error.message}", phase=error.phase) from None
        except WireError as error:
            raise RemoteError(f"{reply.where}: {error.message}", code=BROKEN, status=reply.status) from None


def _failure(connection: Connection, reply: Reply, offered: Iterable[Endpoint]) -> BaseException:
    if (known := passed_on(reply, offered)) is not None:
        return known
    described = reply.described
    if described.get("class") == TaskFailed.__name__:
        words, hint = str(described.get("message") or ""), str(described.get("hint") or "")
        return TaskFailed(words, phase=str(described.get("phase") or "agent"), hint=hint)
    return connection.error(reply)


class ServedRunner(Runner):
    """The runner of an environment that is served elsewhere: it works there, where the environment is.

    An environment behind a URL whose home owns the loop names it. It asks the models of this run, through its gateway.
    """

    async def run(self, task: Task, context: RunnerContext) -> CompletedTask:
        """Have the task completed where the environment is."""
        connection = getattr(context.server, "connection", None)
        if not isinstance(connection, Connection):
            raise UsageError(
                "the runner `served` works in an environment that is served, and this one is here",
                hint="leave --agent out, and the environment names its own",
            )
        return await complete(connection, task, context, [*context.models])


class RemoteTaskRunner(Runner):
    """A runner behind a URL that brings its own environment. Its models are those of this run."""

    environment = False

    def __init__(self, options: Any, context: ComponentContext, connection: Connection, served: Served) -> None:
        super().__init__(options, context)
        self.connection = connection
        self._there = replace(
            served.info(RunnerInfo, environment=False), environment=False, calls_from=host_of(connection.url)
        )

    def describe(self) -> RunnerInfo:
        """What the runner there says."""
        return self._there

    async def run(self, task: Task, context: RunnerContext) -> CompletedTask:
        """Have the task completed there."""
        return await complete(self.connection, task, context, self._there.roles)
