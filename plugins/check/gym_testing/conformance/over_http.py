"""Components that are served when they are opened, and used over the socket: what a suite looks at with `over_http`."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Self

from gym_core import (
    Agent,
    CallContext,
    Component,
    Episode,
    ModelBackend,
    Request,
    ResourceServer,
    Response,
    Rollout,
    SandboxProvider,
    Session,
    SessionContext,
    Stop,
    Task,
    TaskFile,
    Verdict,
)
from gym_testing.served import Served


def over_http(component: Component, *, sandbox: SandboxProvider | None = None) -> Any:
    """The same component, served when it is opened. `sandbox`: what makes those of an environment's sessions there."""
    if isinstance(component, ModelBackend):
        return ModelOverHTTP(component)
    if isinstance(component, Agent):
        return AgentOverHTTP(component)
    assert isinstance(component, ResourceServer)
    return ResourceServerOverHTTP(component, sandbox)


class _OverHTTP(Component):
    """`here`: the component itself. `there`: the one that asks it over HTTP, once it is open."""

    here: Any
    there: Any

    def __init__(self, component: Component, sandbox: SandboxProvider | None = None) -> None:
        super().__init__(component.options, component.context)
        self.here = component
        self._sandbox = sandbox
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(Served(self.here, sandbox=self._sandbox))
            self.there = await stack.enter_async_context(server.remote())
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    def describe(self) -> Any:
        """What the component says of itself until it is open, and from then on the one that asks it."""
        return (self.there if "there" in vars(self) else self.here).describe()


class ResourceServerOverHTTP(_OverHTTP, ResourceServer):
    """An environment over HTTP."""

    here: ResourceServer
    there: ResourceServer

    def tasks(self) -> Iterable[Task] | AsyncIterable[Task]:
        """The tasks, as the server lists them."""
        return self.there.tasks()

    def read_tasks(self, source: str) -> TaskFile | None:
        """As the environment behind the URL reads a file of this machine: not at all."""
        return None

    def open_session(self, task: Task, context: SessionContext) -> AbstractAsyncContextManager[Session[Any]]:
        """A session at the server."""
        return self.there.open_session(task, context)

    def score_group(
        self, rollouts: Sequence[Rollout]
    ) -> Sequence[float | Verdict] | Awaitable[Sequence[float | Verdict]]:
        """What the environment at the server says of rollouts together."""
        return self.there.score_group(rollouts)


class ModelOverHTTP(_OverHTTP, ModelBackend):
    """A model over HTTP."""

    there: ModelBackend

    async def respond(self, request: Request, context: CallContext) -> Response:
        """One call."""
        return await self.there.respond(request, context)

    async def check(self) -> Sequence[str]:
        """As the remote model looks."""
        return await self.there.check()

    async def list_models(self) -> Sequence[str]:
        """As the server lists them."""
        return await self.there.list_models()


class AgentOverHTTP(_OverHTTP, Agent):
    """An agent over HTTP."""

    there: Agent

    async def run(self, episode: Episode) -> Stop:
        """Have the agent there work on the episode."""
        return await self.there.run(episode)
