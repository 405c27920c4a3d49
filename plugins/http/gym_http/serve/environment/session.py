"""One open session of a served environment: the engine's own pieces, asked for by requests instead of an agent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from gym_core import (
    CallContext,
    Done,
    Endpoint,
    Item,
    Model,
    Request,
    ResourceServer,
    Response,
    SandboxProvider,
    Session,
    SessionContext,
    Task,
    Trajectory,
    Verdict,
)
from gym_core.errors import SessionError
from gym_core.spi import (
    GRACE,
    Deadlines,
    Executor,
    LiveSession,
    ModelGate,
    Models,
    Watch,
    asked_to_end,
    described,
    plain_json,
    sent_request,
)
from gym_http.protocol.errors import ServeError
from gym_http.protocol.sessions import ToolAnswerBody
from gym_http.serve.environment.bounds import AnyTask, asking
from gym_http.serve.environment.session_lock import SessionLock

if TYPE_CHECKING:
    from gym_http.serve.environment.nemo_steps import Played

Answer = TypeVar("Answer")
Lend: TypeAlias = Callable[[Model], AbstractAsyncContextManager[Endpoint]]
"""Offers a model to programs."""


@dataclass(frozen=True, slots=True)
class Host:
    """What all sessions of a server share. `gates`: the server's own models for roles other than the policy.

    `sandboxes`: what makes those of sessions, if anything does.
    """

    server: ResourceServer
    gates: Mapping[str, ModelGate]
    executor: Executor
    watch: Watch
    bounds: AnyTask
    deadlines: Deadlines
    lend: Lend
    sandboxes: SandboxProvider | None = None


@dataclass(slots=True)
class ToolAnswer:
    """What a tool call came to. `error`: what was wrong with the call, None for nothing."""

    output: Any
    error: str | None
    done: Done | None

    def to_wire(self) -> ToolAnswerBody:
        """As it is sent."""
        done = self.done
        return {
            "output": self.output,
            "error": self.error,  # type: ignore[typeddict-item]  # whatever a toolbox calls it
            "done": None if done is None else {"reason": done.reason, "output": self.output},
        }


class ServedSession:
    """A session from its setup to its closing. `opening`: what `setup` returned; `closed`: why it is closed, if it is.

    `life_due` and `idle_due`: when it expires, by the clock of whoever keeps it. `played`: how far a rollout has come
    that goes by `/step`.
    """

    __slots__ = (
        "_asking",
        "_gates",
        "_host",
        "_live",
        "_lock",
        "_models",
        "closed",
        "ident",
        "idle_due",
        "life_due",
        "opening",
        "played",
        "repeat",
        "running",
        "task",
    )

    def __init__(self, host: Host, ident: str, task: Task, repeat: int, gates: Mapping[str, ModelGate]) -> None:
        self.ident = ident
        self.task = task
        self.repeat = repeat
        self.opening: Sequence[Item] | None = None
        self.played: Played | None = None
        self.closed = ""
        self.life_due = self.idle_due = 0.0
        self.running: set[asyncio.Task[Any]] = set()
        self._host = host
        self._gates = gates
        self._models = Models(gates, self._ask_as, _lacking, request=task.request)
        self._lock = SessionLock()
        self._asking: set[asyncio.Task[Any]] = set()
        self._live: LiveSession

    @property
    def session(self) -> Session[Any]:
        """The environment's own object."""
        return self._live.session

    @property
    def schemas(self) -> list[dict[str, Any]]:
        """The tools, as the model is shown them."""
        return self._live.toolbox.schemas

    async def set_up(self, seed: int) -> None:
        """Open the session. Raises what the environment raises, and `ServeError` (422) for a model that is missing."""
        try:
            await self._set_up(seed)
        except BaseException as error:
            if isinstance(error, Exception):
                raise
            raise self._ended(error) from error

    async def _set_up(self, seed: int) -> None:
        host = self._host
        context = SessionContext(
            seed=seed,
            repeat=self.repeat,
            models=self._models,
            lend=host.lend,
            actor=self._models.actor,
        )
        live = LiveSession(
            host.server,
            self.task,
            context,
            executor=host.executor,
            deadlines=host.deadlines,
            alarm=host.bounds,
            provider=host.sandboxes,
        )
        with asking(host.watch):
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(live)
                self.opening = await live.set_up(self.task.request.body.get("tools"))
                stack.pop_all()
        self._live = live

    async def tool(self, name: str, arguments: Any, call_id: str = "") -> ToolAnswer:
        """One tool call. A bad one is an answer, as everywhere."""
        if self.closed:
            raise gone(self.closed)
        toolbox, alone = self._live.toolbox, not self._live.info.concurrent_tools
        task = self._begin() if self._lock.try_enter(alone) else await self._wait(alone)
        try:
            call = {"name": name, "arguments": arguments, "call_id": call_id}
            with asking(self._host.watch) if len(self._models) else nullcontext():
                output = await toolbox.call(call)
            # Nothing else has run since the call ended: both are of this one.
            fault, toolbox.fault = toolbox.fault, None
            done, toolbox.done = toolbox.done, None
            return ToolAnswer(output["output"], fault, done)
        except BaseException as error:
            if isinstance(error, Exception):
                raise
            raise self._ended(error) from error
        finally:
            self.running.discard(task)
            self._lock.leave()

    async def answer_calls(self, response: Response) -> list[dict[str, Any]] | None:
        """What the environment answers all calls of a response with, None where they are to run."""
        answers = await self._alone(lambda live: live.answer_calls(response))
        if answers is None:
            return None
        toolbox = self._live.toolbox
        toolbox.given.clear()  # whoever asked has them
        return [
            {
                "output": plain_json(one.output if isinstance(one, Done) else one),
                "done": {"reason": one.reason} if isinstance(one, Done) else None,
            }
            for one in answers
        ]

    async def reply(self, response: Response) -> Sequence[Item] | Done:
        """What the environment answers to a response without calls."""
        return await self._alone(lambda live: live.reply(response))

    async def verify(self, trajectory: Trajectory) -> Verdict:
        """The verdict on a trajectory."""
        return await self._alone(lambda live: live.verify(trajectory))

    async def _alone(self, asked: Callable[[LiveSession], Awaitable[Answer]]) -> Answer:
        if self.closed:
            raise gone(self.closed)
        task = await self._wait(alone=True)
        try:
            with asking(self._host.watch):
                return await asked(self._live)
        except BaseException as error:
            if isinstance(error, Exception):
                raise
            raise self._ended(error) from error
        finally:
            self.running.discard(task)
            self._lock.leave()

    async def _wait(self, alone: bool) -> asyncio.Task[Any]:
        await self._lock.enter(alone)
        if self.closed:  # in the moment in which its turn came
            self._lock.leave()
            raise gone(self.closed)
        return self._begin()

    def _begin(self) -> asyncio.Task[Any]:
        task = asyncio.current_task()
        assert task is not None
        self.running.add(task)
        return task

    def _ended(self, error: BaseException) -> BaseException:
        """What to raise for a call that was ended: closed meanwhile, ended by the environment itself, or by others."""
        task = asyncio.current_task()
        if self.closed and task is not None and task.cancelling() and task.uncancel() == 0:
            return gone(self.closed)
        if asked_to_end(error):
            return asyncio.CancelledError()
        return SessionError(f"the environment raised {described(error)}")

    async def close(self, reason: str) -> None:
        """End the calls under way, which are answered that the session is gone, then close it. Never raises."""
        self.closed = reason
        self._lock.shut(gone(reason))
        running = self.running | self._asking
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=2 * GRACE)
        await self._live.__aexit__(None, None, None)
        # The environment's object and this one hold each other; letting go frees both without the garbage collector.
        del self._live, self._models

    async def _ask_as(
        self, role: str, request: Request, *, actor: str = "", sampling: Mapping[str, Any] | None = None
    ) -> Response:
        if self.closed:  # what the session has left running makes no calls any more
            raise gone(self.closed)
        if role not in self._gates:
            raise _lacking(role)
        context = CallContext((self.task.task_id, self.repeat), role, actor=actor)
        task = asyncio.current_task()
        assert task is not None
        self._asking.add(task)
        try:
            return (await self._gates[role].call(sent_request(request), context, self._host.bounds)).response
        finally:
            self._asking.discard(task)


def _lacking(role: str) -> ServeError:
    return ServeError(
        422,
        f"the environment asks a `{role}` model",
        field=f"models.{role}",
        hint=f"give its URL in `models`, or serve it: gym serve --model {role}=REF",
    )


def gone(reason: str) -> ServeError:
    """The answer about a session that is closed."""
    return ServeError(410, f"the session {reason}", hint="open another one")
