"""Resource servers, which `--env` names, and their sessions."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, overload

from typing_extensions import TypeVar

from gym_core.contract.component import Component, ComponentInfo, OptionsT_co
from gym_core.contract.gateway import Endpoint, no_gateway
from gym_core.contract.sandbox import Sandbox, SandboxSpec
from gym_core.contract.tools import BoundTool, class_tools
from gym_core.domain.errors import InputError, SandboxError, SessionError
from gym_core.domain.json_text import whole_text
from gym_core.domain.responses import Item, Response
from gym_core.domain.rollout import Rollout, Trajectory, Verdict
from gym_core.domain.stop_reasons import SESSION_DONE
from gym_core.domain.task import Task

if TYPE_CHECKING:
    from gym_core.contract.agent import Actor
    from gym_core.contract.model import Model


def _no_actor(name: str, role: str) -> Actor:
    raise SessionError(f"the actor `{name}` is asked for by a session without models")


@dataclass(frozen=True, slots=True)
class Done:
    """Ends the episode: returned by `Session.reply`, or by a tool, whose answer to the model is then `output`."""

    output: Any = ""
    reason: str = SESSION_DONE

    def __post_init__(self) -> None:
        """Make `reason` plain text; nothing stands for the default. Raises `TypeError` for what is no text."""
        reason = self.reason
        if not isinstance(reason, str | None):
            raise TypeError(f"the reason of Done must be text, not {type(reason).__name__}")
        object.__setattr__(self, "reason", whole_text(str.__str__(reason or SESSION_DONE)))


ResultT = TypeVar("ResultT")
DefaultT = TypeVar("DefaultT")
_RAISE: Any = object()


class SessionHost:
    """What stands behind an open session and does what it asks for. This one stands behind none, and refuses."""

    __slots__ = ()

    @property
    def sandboxes(self) -> Mapping[str, Sandbox]:
        """The session's sandboxes by role."""
        return {}

    def waiting(self) -> AbstractContextManager[None]:
        """See `SessionContext.waiting`."""
        return nullcontext()

    async def open_sandbox(self, spec: SandboxSpec, role: str) -> Sandbox:
        """See `Session.open_sandbox`."""
        raise SandboxError(f"the sandbox `{role}` is asked for by a session that is not open")

    async def call_isolated(
        self, function: Callable[..., Any], arguments: Sequence[Any], timeout: float | None, default: Sequence[Any]
    ) -> Any:
        """See `Session.isolated`. `default`: alone in a list what is given in place of a result, empty for nothing."""
        raise SessionError(f"{function!r:.80} is called in isolation by a session that is not open")


NO_HOST = SessionHost()


@dataclass(slots=True)
class SessionContext:
    """What a session is given for its one rollout.

    `seed`: derived from the run's seed, the task and the repeat, so that an attempt can be repeated. `host`: what does
    what the session asks for while it is open. `actor`: makes actors that ask the models.
    """

    seed: int = 0
    repeat: int = 0
    models: Mapping[str, Model] = field(default_factory=dict)
    lend: Callable[[Model], AbstractAsyncContextManager[Endpoint]] = no_gateway
    host: SessionHost = NO_HOST
    actor: Callable[[str, str], Actor] = _no_actor

    def endpoint(self, role: str) -> AbstractAsyncContextManager[Endpoint]:
        """A model by its role for a program, which asks it as the session does."""
        return self.lend(self.models[role])

    def waiting(self) -> AbstractContextManager[None]:
        """A block in which a session waits its turn: for a place at a server that takes so many, say.

        No deadline of the rollout comes nearer meanwhile; the run's `waiting` bounds the block instead.
        """
        return self.host.waiting()


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionInfo:
    """What `Session.describe` says: its class variables of these names, and what it overrides.

    `sets_up`: `setup`. `lists_tools`: `tools`, so that they may differ from task to task. `replies`: `reply`. `closes`:
    `close`. `answers_calls`: `answer_calls`. What is not overridden need not be called.
    """

    roles: tuple[str, ...] = ()
    optional_roles: tuple[str, ...] = ()
    sandbox_roles: tuple[str, ...] = ()
    open_tools: bool = False
    concurrent_tools: bool = False
    judges_trajectory: bool = False
    sets_up: bool = True
    lists_tools: bool = True
    replies: bool = True
    closes: bool = True
    answers_calls: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceServerInfo(ComponentInfo):
    """What `ResourceServer.describe` says.

    `roles`: its `required_roles`. `optional_roles`: models that its sessions ask where there are any. `sandbox_roles`:
    its `required_sandboxes`, none for one that lives elsewhere and has a provider there. `tasks`: whether it ships any.
    `scores_groups`: whether it has a `score_group`.
    """

    roles: tuple[str, ...] = ()
    optional_roles: tuple[str, ...] = ()
    sandbox_roles: tuple[str, ...] = ()
    preferred_agent: str = "simple_agent"
    tasks: bool = False
    scores_groups: bool = False


@dataclass(frozen=True, slots=True)
class TaskFile:
    """A file as an environment reads it.

    `tasks`: one at a time, so that a file of any size can be read; an `errors.InputError` stands for a row that cannot
    be used. `notice`: what a user should know of how it is read.
    """

    tasks: Iterable[Task | InputError]
    notice: str = ""


class ResourceServer(Component[OptionsT_co]):
    """Ships tasks and opens one session per rollout. One instance serves a run."""

    session_type: ClassVar[type[Session[Any]]]
    preferred_agent: ClassVar[str] = "simple_agent"

    @property
    def required_roles(self) -> Sequence[str]:
        """The models that its sessions ask besides the policy, as far as that is known: all of them once it is open."""
        return _sessions_of(self).roles

    @property
    def required_sandboxes(self) -> Sequence[str]:
        """The sandboxes that its sessions open, as far as that is known: all of them once it is open."""
        return _sessions_of(self).sandbox_roles

    def describe(self) -> ResourceServerInfo:
        """What the engine has to know of it."""
        return ResourceServerInfo(
            roles=tuple(self.required_roles),
            optional_roles=_sessions_of(self).optional_roles,
            sandbox_roles=tuple(self.required_sandboxes),
            preferred_agent=self.preferred_agent,
            tasks=type(self).tasks is not ResourceServer.tasks,
            scores_groups=type(self).score_group is not ResourceServer.score_group,
        )

    def tasks(self) -> Iterable[Task] | AsyncIterable[Task]:
        """The tasks this environment ships, in a fixed order. May be endless."""
        return ()

    def read_tasks(self, source: str) -> TaskFile | None:
        """A file that `--input` names as the environment reads it; None leaves it to gym, which wants JSON lines.

        Asked before the environment is open, and again each time that the file is read: the same tasks in the same
        order. `source` is a path, or whatever else the environment knows to read. Raises `errors.InputError` for a
        file that cannot be read.
        """
        return None

    def open_session(self, task: Task, context: SessionContext) -> AbstractAsyncContextManager[Session[Any]]:
        """A session for one rollout; leaving it closes the session."""
        return OpenSession(self.session_type(task, self, context))

    def score_group(
        self, rollouts: Sequence[Rollout]
    ) -> Sequence[float | Verdict] | Awaitable[Sequence[float | Verdict]]:
        """Judge all rollouts of one task together: override it where a reward depends on the others.

        Asked once each of them has ended. `rollouts`: those with a verdict of `Session.verify`, at least two, by
        repeat; failures are none of them. Gives one number or verdict for each, in that order, which counts instead of
        the rollout's own. It may be `async`, `@blocking` or `@isolated`, and has the time of `verify`; what goes wrong
        in it leaves the rollouts their own verdicts. Must give the same when asked again.
        """
        raise NotImplementedError(f"{type(self).__name__} scores no groups")


def _sessions_of(server: ResourceServer[Any]) -> SessionInfo:
    """What the sessions of a server say of themselves, where it names their class."""
    session_type: type[Session[Any]] | None = getattr(server, "session_type", None)
    return SessionInfo() if session_type is None else session_info(session_type)


ServerT = TypeVar("ServerT", bound=ResourceServer[Any], default=ResourceServer)
"""The class of the resource server that a session belongs to."""


class Session(ABC, Generic[ServerT]):
    """The state of one rollout, its tools and its verifier.

    Methods marked `@tool` are offered to the model. `setup`, tools, `reply`, `verify` and `close` may be plain or
    `async`; a plain one runs on the event loop and must not block it.

    `roles`: the models it asks besides the policy, such as `("judge",)`; a run that lacks one does not start.
    `optional_roles`: those it asks where a run has them: `self.models.get("judge")` is None where it has not.
    `sandbox_roles`: the sandboxes it opens, such as `("main",)`; a run without `--sandbox` does not start.
    `open_tools`: tools of a request that it does not define reach `call_open_tool`. `concurrent_tools`: calls of one
    response may run at once. `judges_trajectory`: `verify` reads the task and the trajectory and nothing that `setup`,
    tools or `reply` left in the session, so that `gym rescore` need not replay the calls before it verifies again.
    """

    roles: ClassVar[tuple[str, ...]] = ()
    optional_roles: ClassVar[tuple[str, ...]] = ()
    sandbox_roles: ClassVar[tuple[str, ...]] = ()
    open_tools: ClassVar[bool] = False
    concurrent_tools: ClassVar[bool] = False
    judges_trajectory: ClassVar[bool] = False

    task: Task
    server: ServerT
    seed: int
    models: Mapping[str, Model]

    def __init__(self, task: Task, server: ServerT, context: SessionContext) -> None:
        self.task = task
        self.server = server
        self.seed = context.seed
        self.models = context.models
        self._context = context
        self._rng: random.Random | None = None

    def describe(self) -> SessionInfo:
        """What the engine has to know of it once it is open."""
        info = session_info(type(self))
        own = vars(self)
        if _SWITCHES.isdisjoint(own):
            return info
        return replace(info, **{name: own[name] for name in _SWITCHES.intersection(own)})

    @property
    def rng(self) -> random.Random:
        """Randomness for this rollout, the same whenever it is repeated with the same seed."""
        if self._rng is None:
            self._rng = random.Random(self.seed)
        return self._rng

    @property
    def sandboxes(self) -> Mapping[str, Sandbox]:
        """The sandboxes that it has opened, by role."""
        return self._context.host.sandboxes

    def actor(self, name: str, role: str = "policy") -> Actor:
        """An actor of the session's own, such as an opponent, with conversations that are recorded under its name.

        `self.models["judge"]` is the actor `judge`. One that asks the policy's model has the task's sampling. Tools
        that its model calls the session carries out itself. A session that may be served elsewhere names all roles that
        it asks in `roles` or `optional_roles`, `policy` among them. Raises `UsageError` for a name that has another
        role already, for `policy`, which is the agent's own, and for a role that the run has no model for.
        """
        return self._context.actor(name, role)

    def endpoint(self, role: str = "policy") -> AbstractAsyncContextManager[Endpoint]:
        """`self.models[role]` for a program, as a URL and a token within a block; what it asks is recorded alike.

        Raises `UsageError` for a role that the run has no model for, without a gateway, and where the session works in
        another process than the run.
        """
        return self._context.endpoint(role)

    async def open_sandbox(self, spec: SandboxSpec | None = None, role: str = "main") -> Sandbox:
        """Open a sandbox of the run's provider, in `setup` as a rule; it is closed with the session, whatever happens.

        Raises `SandboxError` where there is no provider, where it cannot give what `spec` wants, and for a role that
        has a sandbox already.
        """
        return await self._context.host.open_sandbox(spec or SandboxSpec(), role)

    @overload
    async def isolated(
        self, function: Callable[..., ResultT], /, *arguments: Any, timeout: float | None = None
    ) -> ResultT: ...
    @overload
    async def isolated(
        self, function: Callable[..., ResultT], /, *arguments: Any, timeout: float | None = None, default: DefaultT
    ) -> ResultT | DefaultT: ...
    async def isolated(
        self, function: Callable[..., Any], /, *arguments: Any, timeout: float | None = None, default: Any = _RAISE
    ) -> Any:
        """Call a function of a module in a process of its own, which can be ended; waiting for one does not count.

        The function and its arguments are pickled. `timeout`: seconds, by default those of a tool call. `default`: what
        a call gives that takes longer or whose process dies; without it `TimeoutError` and `GymError` are raised.
        Whatever the function raises is raised here, with or without a default.
        """
        given = [] if default is _RAISE else [default]
        return await self._context.host.call_isolated(function, arguments, timeout, given)

    def setup(self) -> Sequence[Item] | Awaitable[Sequence[Item] | None] | None:
        """Prepare the session. Items returned are appended to the input, as an opening observation."""
        return None

    def tools(self) -> Sequence[BoundTool]:
        """The tools of this session; by default its `@tool` methods. Override it where they depend on the task."""
        return [spec.bind(self) for spec in class_tools(type(self))]

    def call_open_tool(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Answer a tool that only the request names. Called when `open_tools` is set; may be `async`."""
        raise NotImplementedError(f"{type(self).__name__} sets open_tools but has no call_open_tool")

    def answer_calls(self, response: Response) -> Sequence[Any] | Awaitable[Sequence[Any] | None] | None:
        """See a whole response before its tool calls run, and answer all of them; None to have them run.

        What is returned answers `response.function_calls` in that order, each as a tool's result would, `Done` among
        them. Asked where the agent has the first of these calls run, and not at all where it runs none.
        """
        return None

    def reply(self, response: Response) -> Sequence[Item] | Done | Awaitable[Sequence[Item] | Done]:
        """Answer a response that has no calls, as a user or the world would. By default the episode is done."""
        return Done()

    @abstractmethod
    def verify(self, trajectory: Trajectory) -> float | Verdict | Awaitable[float | Verdict]:
        """Judge the trajectory. Must give the same verdict when asked again.

        A reward may be a number of any kind, also one of numpy's, a Decimal or a bool, where True is 1.0.
        """

    def close(self) -> Awaitable[None] | None:
        """Release what the session holds. Called once per rollout, harmless when called again."""
        return None


_SWITCHES = frozenset(
    {"roles", "optional_roles", "sandbox_roles", "open_tools", "concurrent_tools", "judges_trajectory"}
)


@lru_cache(1024)  # every rollout asks
def session_info(cls: type[Session[Any]]) -> SessionInfo:
    """What sessions of a class say of themselves, as far as that is known before one is open."""
    return SessionInfo(
        roles=tuple(cls.roles),
        optional_roles=tuple(cls.optional_roles),
        sandbox_roles=tuple(cls.sandbox_roles),
        open_tools=cls.open_tools,
        concurrent_tools=cls.concurrent_tools,
        judges_trajectory=cls.judges_trajectory,
        sets_up=cls.setup is not Session.setup,
        lists_tools=cls.tools is not Session.tools,
        replies=cls.reply is not Session.reply,
        closes=cls.close is not Session.close,
        answers_calls=cls.answer_calls is not Session.answer_calls,
    )


class OpenSession:
    """The default life of a session: closed when left."""

    __slots__ = ("session",)

    def __init__(self, session: Session[Any]) -> None:
        self.session = session

    async def __aenter__(self) -> Session[Any]:
        return self.session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        closing = self.session.close()
        if closing is not None:
            await closing
