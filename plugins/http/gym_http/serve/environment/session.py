"""One open session of a served environment: the engine's own pieces, asked for by requests instead of an agent."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from gym_core import (
    CallContext,
    Done,
    Item,
    Request,
    ResourceServer,
    Response,
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
    GuardedSession,
    ModelGate,
    Models,
    Toolbox,
    Watch,
    asked_to_end,
    checked_items,
    checked_verdict,
    described,
    sent_request,
)
from gym_http.protocol.errors import ServeError
from gym_http.serve.environment.bounds import AnyTask, asking
from gym_http.serve.environment.session_lock import SessionLock


@dataclass(frozen=True, slots=True)
class Host:
    """What all sessions of a server share. `gates`: the server's own models for roles other than the policy."""

    server: ResourceServer
    gates: Mapping[str, ModelGate]
    executor: Executor
    watch: Watch
    bounds: AnyTask
    deadlines: Deadlines


@dataclass(slots=True)
class ToolAnswer:
    """What a tool call came to. `error`: what was wrong with the call, None for nothing."""

    output: Any
    error: str | None
    done: Done | None

    def to_wire(self) -> dict[str, Any]:
        """As it is sent."""
        done = self.done
        return {
            "output": self.output,
            "error": self.error,
            "done": None if done is None else {"reason": done.reason, "output": self.output},
        }


class _Faults:
    """What a toolbox records of its calls here: the fault of the latest, read before another can begin."""

    __slots__ = ("kind", "tool_calls")

    def __init__(self) -> None:
        self.kind: str | None = None
        self.tool_calls = 0

    def tool_error(self, kind: str) -> None:
        self.kind = kind


class ServedSession:
    """A session from its setup to its closing. `opening`: what `setup` returned; `closed`: why it is closed, if it is.

    `life_due` and `idle_due`: when it expires, by the clock of whoever keeps it.
    """

    __slots__ = (
        "_asking",
        "_faults",
        "_gates",
        "_guard",
        "_host",
        "_lock",
        "_models",
        "_session",
        "_toolbox",
        "closed",
        "ident",
        "idle_due",
        "life_due",
        "opening",
        "repeat",
        "running",
        "task",
    )

    def __init__(self, host: Host, ident: str, task: Task, repeat: int, gates: Mapping[str, ModelGate]) -> None:
        self.ident = ident
        self.task = task
        self.repeat = repeat
        self.opening: Sequence[Item] | None = None
        self.closed = ""
        self.life_due = self.idle_due = 0.0
        self.running: set[asyncio.Task[Any]] = set()
        self._host = host
        self._gates = gates
        self._models = Models(gates, self._ask_as)
        self._lock = SessionLock()
        self._faults = _Faults()
        self._asking: set[asyncio.Task[Any]] = set()
        self._session: Session[Any]
        self._toolbox: Toolbox
        self._guard: GuardedSession

    @property
    def session(self) -> Session[Any]:
        """The environment's own object."""
        return self._session

    @property
    def schemas(self) -> list[dict[str, Any]]:
        """The tools, as the model is shown them."""
        return self._toolbox.schemas

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
        with asking(host.watch):
            context = SessionContext(seed=seed, repeat=self.repeat, models=self._models)
            guard = GuardedSession(
                host.server.open_session(self.task, context), host.bounds, host.executor, host.deadlines
            )
            session = await guard.__aenter__()
            try:
                self._require_models(session)
                opening = await host.executor.call(host.bounds, "setup", host.deadlines.setup, session.setup)
                self.opening = checked_items(opening, "setup") if opening is not None else None
                self._toolbox = Toolbox(
                    session,
                    self.task.request.body.get("tools"),
                    recording=self._faults,  # type: ignore[arg-type]  # all that a toolbox asks of a recording
                    executor=host.executor,
                    alarm=host.bounds,
                    seconds=host.deadlines.tool,
                )
            except BaseException:
                await guard.__aexit__(*sys.exc_info())
                raise
        self._session, self._guard = session, guard

    def _require_models(self, session: Session[Any]) -> None:
        for role in session.roles:
            if role not in self._models:
                raise ServeError(
                    422,
                    f"the environment asks a `{role}` model",
                    field=f"models.{role}",
                    hint=f"give its URL in `models`, or serve it: gym serve --model {role}=REF",
                )

    async def tool(self, name: str, arguments: Any, call_id: str = "") -> ToolAnswer:
        """One tool call. A bad one is an answer, as everywhere."""
        if self.closed:
            raise gone(self.closed)
        alone = not self._session.concurrent_tools
        task = self._begin() if self._lock.try_enter(alone) else await self._wait(alone)
        try:
            call = {"name": name, "arguments": arguments, "call_id": call_id}
            with asking(self._host.watch) if len(self._models) else nullcontext():
                output = await self._toolbox.call(call)
            # Nothing else has run since the call ended: both are of this one.
            kind, self._faults.kind = self._faults.kind, None
            done, self._toolbox.done = self._toolbox.done, None
            return ToolAnswer(output["output"], kind, done)
        except BaseException as error:
            if isinstance(error, Exception):
                raise
            raise self._ended(error) from error
        finally:
            self.running.discard(task)
            self._lock.leave()

    async def reply(self, response: Response) -> Sequence[Item] | Done:
        """What the environment answers to a response without calls."""
        answer = await self._call("reply", self._host.deadlines.setup, response)
        return answer if isinstance(answer, Done) else checked_items(answer, "reply")

    async def verify(self, trajectory: Trajectory) -> Verdict:
        """The verdict on a trajectory."""
        return checked_verdict(await self._call("verify", self._host.deadlines.verify, trajectory))

    async def _call(self, phase: str, seconds: float, argument: Any) -> Any:
        if self.closed:
            raise gone(self.closed)
        task = await self._wait(alone=True)
        try:
            function = getattr(self._session, phase)
            with asking(self._host.watch):
                return await self._host.executor.call(self._host.bounds, phase, seconds, function, argument)
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
        await self._guard.__aexit__(None, None, None)
        # The environment's object and this one hold each other; letting go frees both without the garbage collector.
        del self._session, self._toolbox, self._guard, self._models

    async def _ask_as(self, role: str, request: Request) -> Response:
        if self.closed:  # what the session has left running makes no calls any more
            raise gone(self.closed)
        context = CallContext((self.task.task_id, self.repeat), role)
        task = asyncio.current_task()
        assert task is not None
        self._asking.add(task)
        try:
            return (await self._gates[role].call(sent_request(request), context, self._host.bounds)).response
        finally:
            self._asking.discard(task)


def gone(reason: str) -> ServeError:
    """The answer about a session that is closed."""
    return ServeError(410, f"the session {reason}", hint="open another one")
