"""What stands for isolated components: a child that serves one, and the remote component that uses it."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from typing import Any, ClassVar, Self, TypeVar

from gym_core import (
    Agent,
    AgentInfo,
    CallContext,
    CompletedTask,
    Component,
    ComponentInfo,
    Episode,
    ModelBackend,
    ModelInfo,
    Request,
    ResourceServer,
    ResourceServerInfo,
    Response,
    Rollout,
    Runner,
    RunnerContext,
    RunnerInfo,
    Session,
    SessionContext,
    Stop,
    Task,
    TaskFile,
    UsageError,
    Verdict,
)
from gym_core.spi import Kind, place_of
from gym_http.protocol.wire import info_from_wire
from gym_http.remote.agent import RemoteAgent
from gym_http.remote.connection import Connection
from gym_http.remote.environment import SERVED, RemoteResourceServer
from gym_http.remote.model import RemoteModel
from gym_http.remote.runner import complete
from gym_isolated.resolving import Origin, ResolvedOptions, options_set
from gym_isolated.supervisor import Supervisor

InfoT = TypeVar("InfoT", bound=ComponentInfo)

LOOPBACK = "localhost"
STALL_SECONDS = 3_600.0
"""After how long a child that answers nothing at all has stalled: what is slow there would be slow here as well."""
REPLY_MB = 1 << 20
"""What is read of an answer, in megabytes: all of it, as what a plugin returns in this process has no bound either."""


class Isolated(Component):
    """A component that works in a child process of its own environment while it is open."""

    origin: ClassVar[Origin]
    stands_behind: ClassVar[type[Any]]
    remote: Any = None
    _supervisor: Supervisor | None = None
    _stack: AsyncExitStack

    def said(self, kind: type[InfoT]) -> InfoT:
        """What the component in the child says of itself; while there is none, what it said with these options."""
        if self.remote is not None:
            there: InfoT = self.remote.there
            return replace(there, component={})
        options = self.options
        return info_from_wire(kind, options._described if isinstance(options, ResolvedOptions) else {})

    @property
    def secrets(self) -> Sequence[str]:
        """What the component itself has found: when it was made, and when it was opened."""
        options = self.options
        found = options._secrets if isinstance(options, ResolvedOptions) else ()
        return (*found, *(self._supervisor.found if self._supervisor is not None else ()))

    async def __aenter__(self) -> Self:
        origin, options, context = self.origin, self.options, self.context
        assert isinstance(options, ResolvedOptions)
        request = {
            **options._asked,
            "place": place_of(origin.kind, context.role),
            "seed": context.seed,
            "concurrency": context.concurrency,
        }
        async with AsyncExitStack() as stack:
            supervisor = Supervisor(origin.environment, origin.name, request, self.secrets)
            self._supervisor = await stack.enter_async_context(supervisor)
            self.remote = await stack.enter_async_context(self._connected(supervisor))
            self._stack = stack.pop_all()
        return self

    def _connected(self, supervisor: Supervisor) -> Any:
        settings = {
            "url": supervisor.url,
            "token": supervisor.token,
            "stall": STALL_SECONDS,
            "max_reply_mb": REPLY_MB,
        }
        remote = self.stands_behind(self.stands_behind.Options.model_validate(settings), self.context)
        remote.connection.name = supervisor.label
        remote.connection.ready = supervisor.ready
        return remote

    async def __aexit__(self, *error: object) -> None:
        try:
            await self._stack.aclose()
        finally:
            self.remote = self._supervisor = None


class IsolatedResourceServer(Isolated, ResourceServer):
    """The base of the classes that stand for isolated environments."""

    stands_behind = RemoteResourceServer

    @property
    def connection(self) -> Connection:
        """The way to the child, once it is open."""
        connection: Connection = self.remote.connection
        return connection

    def describe(self) -> ResourceServerInfo:
        """What the environment says. What makes its sandboxes is there, too."""
        said = self.said(ResourceServerInfo)
        preferred = said.preferred_agent or self.preferred_agent
        if preferred == SERVED and isinstance(self.options, ResolvedOptions):  # the one that it has named before
            before = info_from_wire(ResourceServerInfo, self.options._described).preferred_agent
            preferred = next((one for one in (before, self.preferred_agent) if one in self.origin.runners), SERVED)
        return replace(said, sandbox_roles=(), preferred_agent=preferred)

    def tasks(self) -> Iterable[Task] | AsyncIterable[Task]:
        """The tasks that the environment ships."""
        return self.remote.tasks()  # type: ignore[no-any-return]

    def read_tasks(self, source: str) -> TaskFile | None:
        """None: the child is not open yet when files are read, and gym reads them as JSON lines."""
        return None

    def open_session(self, task: Task, context: SessionContext) -> AbstractAsyncContextManager[Session[Any]]:
        """A session in the child that serves when it is opened."""
        return self.remote.open_session(task, context)  # type: ignore[no-any-return]

    async def score_group(self, rollouts: Sequence[Rollout]) -> Sequence[Verdict]:
        """What the environment says of rollouts together, in the child that serves then."""
        return await self.remote.score_group(rollouts)  # type: ignore[no-any-return]


class IsolatedModel(Isolated, ModelBackend):
    """The base of the classes that stand for isolated model backends."""

    stands_behind = RemoteModel

    async def respond(self, request: Request, context: CallContext) -> Response:
        """One call, in the child that serves when it is made."""
        return await self.remote.respond(request, context)  # type: ignore[no-any-return]

    def describe(self) -> ModelInfo:
        """What the backend says, the endpoint as it is: it is of this machine, too."""
        return self.said(ModelInfo)

    async def check(self) -> Sequence[str]:
        """The look of the backend, in the child."""
        return await self.remote.check()  # type: ignore[no-any-return]

    async def list_models(self) -> Sequence[str]:
        """The models that it lists. Where it is not open, a child is started for that."""
        if self.remote is None:
            async with self:
                return await self.list_models()
        return await self.remote.list_models()  # type: ignore[no-any-return]


class IsolatedAgent(Isolated, Agent):
    """The base of the classes that stand for isolated agents. They reach model and session through a gateway."""

    stands_behind = RemoteAgent

    def describe(self) -> AgentInfo:
        """What the agent says."""
        return self.said(AgentInfo)

    async def run(self, episode: Episode) -> Stop:
        """Work on one episode, in the child that serves when it begins."""
        return await self.remote.run(episode)  # type: ignore[no-any-return]


class IsolatedRunner(Isolated, Runner):
    """The base of the classes that stand for isolated runners. They reach the models of the run through its gateway.

    One that works in an environment works in that one's child, and is made there with its options. Another has a child
    of its own.
    """

    stands_behind = RemoteAgent

    def describe(self) -> RunnerInfo:
        """What the runner says. Where it calls from is this machine."""
        options = self.options
        said = info_from_wire(RunnerInfo, options._described if isinstance(options, ResolvedOptions) else {})
        return replace(said, calls_from=LOOPBACK)

    async def __aenter__(self) -> Self:
        return self if self.describe().environment else await super().__aenter__()

    async def __aexit__(self, *error: Any) -> None:
        if not self.describe().environment:
            await super().__aexit__(*error)

    async def run(self, task: Task, context: RunnerContext) -> CompletedTask:
        """Have a task completed in the child that serves when it begins."""
        info = self.describe()
        if not info.environment:
            return await complete(self.remote.connection, task, context, info.roles)
        server = context.server
        if not isinstance(server, IsolatedResourceServer) or server.origin.environment != self.origin.environment:
            raise UsageError(
                f"the runner {self.origin.name} works in environments of its own distribution, "
                f"{self.origin.environment.distribution}",
                hint="leave --agent out, and the environment names its own",
            )
        return await complete(server.connection, task, context, [*context.models], options_set(self.options))


BASES = {
    Kind.RESOURCE_SERVER: IsolatedResourceServer,
    Kind.MODEL: IsolatedModel,
    Kind.AGENT: IsolatedAgent,
    Kind.RUNNER: IsolatedRunner,
}
