"""`POST /v1/complete`: a runner that is served takes the tasks of others' runs to their verdicts.

The body names the models that it may ask as URLs: those of the run, within its limits and budget, and recorded there.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.routing import BaseRoute, Route

from gym_core import (
    Actor,
    CallContext,
    CompletedTask,
    Endpoint,
    Request,
    ResourceServer,
    Response,
    Runner,
    Task,
    TaskFailed,
    UsageError,
)
from gym_core.spi import ModelGate, Models, checked_completion, sent_request, within
from gym_http.protocol.errors import ServeError, error_to_wire
from gym_http.protocol.sessions import ModelPlace
from gym_http.protocol.whole_tasks import COMPLETE, Completed, WholeTask, completed_to_wire
from gym_http.protocol.wire import task_of_body
from gym_http.serve.disconnects import while_connected
from gym_http.serve.environment.bounds import AnyTask
from gym_http.serve.environment.opener_models import OpenerModels
from gym_http.serve.json_body import read_as
from gym_http.serve.json_reply import json_reply
from gym_http.serve.kept_runners import KeptRunners
from gym_http.serve.openapi import answer, error, operation


class WholeTasks:
    """The tasks of one runner, any number at once. `server`: the environment that it works in, where it needs one.

    `others`: the runner with other options, which whoever has started this server may ask for.
    """

    def __init__(
        self, runner: Runner, server: ResourceServer | None, models: OpenerModels, others: KeptRunners | None = None
    ) -> None:
        self._runner = runner
        self._others = others
        self._server = server
        self._models = models
        self._bounds = AnyTask()

    @property
    def routes(self) -> list[BaseRoute]:
        """The route, for the application that serves the runner or its environment."""
        return [Route(COMPLETE, self._endpoint, methods=["POST"])]

    async def _endpoint(self, request: HttpRequest) -> HttpResponse:
        body = await read_as(WholeTask, request)
        places = body.get("models") or {}
        caller = request.client.host if request.client is not None else None
        context = HttpRunnerContext(body, await self._models.gates(places, caller), places, self._server, self._bounds)

        async def run() -> CompletedTask:
            async with self._with(body.get("options") or {}) as runner:
                return await within(runner.run(context.task, context), None, "the runner")

        try:
            returned = await while_connected(request, run())
        except TaskFailed as failed:
            status, described = error_to_wire(failed, failed.phase)
            return json_reply(described, status)
        return json_reply(completed_to_wire(checked_completion(returned)))

    def _with(self, options: Mapping[str, Any]) -> AbstractAsyncContextManager[Runner]:
        if not options:
            return nullcontext(self._runner)
        if self._others is None:
            raise ServeError(422, "the options of the runner are those of this server", field="options")
        return self._others.using(options)


class HttpRunnerContext:
    """A run that is elsewhere, as a runner sees it."""

    def __init__(
        self,
        body: WholeTask,
        gates: Mapping[str, ModelGate],
        places: Mapping[str, ModelPlace],
        server: ResourceServer | None,
        bounds: AnyTask,
    ) -> None:
        self.task: Task = task_of_body(body["task"])
        self.repeat = body.get("repeat") or 0
        self.seed = body.get("seed") or 0
        self.models = Models(gates, self._ask, _lacking, request=self.task.request)
        self._gates = gates
        self._places = places
        self._server = server
        self._bounds = bounds

    @property
    def server(self) -> ResourceServer:
        """The environment that is served."""
        if self._server is None:
            raise UsageError("this runner has no environment: it says that it brings its own")
        return self._server

    def actor(self, name: str, role: str = "policy") -> Actor:
        """An actor of the runner's."""
        return self.models.actor(name, role)

    def endpoint(self, role: str = "policy") -> AbstractAsyncContextManager[Endpoint]:
        """A model for a program: the URL that the run itself has given, which nobody stands before."""
        if role not in self._places:
            raise _lacking(role)
        place = self._places[role]
        return nullcontext(Endpoint(place["base_url"], place.get("token", "")))

    async def _ask(
        self, role: str, request: Request, *, actor: str = "", sampling: Mapping[str, Any] | None = None
    ) -> Response:
        if role not in self._gates:
            raise _lacking(role)
        context = CallContext((self.task.task_id, self.repeat), role, actor="" if actor == role else actor)
        return (await self._gates[role].call(sent_request(request), context, self._bounds)).response


def _lacking(role: str) -> ServeError:
    return ServeError(422, f"the runner asks a `{role}` model", field=f"models.{role}", hint="give its URL in `models`")


OPENAPI: Mapping[str, Any] = {
    "paths": {
        COMPLETE: {
            "post": operation(
                "Take a task to its verdict, with models that are URLs.",
                {
                    "200": answer("What the runner made of it.", Completed),
                    "422": error("The body names no task, or lacks a model."),
                    "default": error("What failed: the `phase` says whose failure it was."),
                },
                WholeTask,
            )
        }
    },
}
