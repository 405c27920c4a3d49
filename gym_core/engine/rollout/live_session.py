"""A session while it is open. Whoever has one, a rollout, a replay or a server, opens it, asks it and closes it here.

Everything that is asked of a session has a bound. Closing has one of its own, which holds also while the rollout is
cancelled: what a session holds is released whatever happens, and one that fails to close costs a warning, not its
verdict.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from gym_core.contract.hookspecs import CallInfo
from gym_core.contract.resource_server import (
    NO_HOST,
    Done,
    OpenSession,
    ResourceServer,
    Session,
    SessionContext,
    SessionHost,
    SessionInfo,
)
from gym_core.contract.sandbox import Sandbox, SandboxProvider, SandboxSpec
from gym_core.contract.tools import place_of
from gym_core.domain.abandoned import GRACE, abandon, contained
from gym_core.domain.blame import asked_to_end, described
from gym_core.domain.errors import SessionError
from gym_core.domain.json_text import JsonError, plain_json, written_as_it_is
from gym_core.domain.responses import Item, Response
from gym_core.domain.rollout import Trajectory, Verdict
from gym_core.domain.task import Task
from gym_core.engine.bounds.alarms import Alarm
from gym_core.engine.bounds.deadlines import DeadlineExceeded, Deadlines
from gym_core.engine.functions.executor import Executor
from gym_core.engine.rollout.sandboxes import Sandboxes
from gym_core.engine.rollout.toolbox import Toolbox
from gym_core.engine.rollout.verify import checked_verdict, kind_of, shown

logger = logging.getLogger("gym")

_DONE = Done()


class LiveSession(SessionHost):
    """One session from its opening to its closing: an async context manager. `provider`: of its sandboxes.

    Entering opens it and sees that the models it asks are there. `set_up` comes next and makes its `toolbox`; a replay
    of a session that judges the trajectory alone leaves it out. Raises what the environment raises, `SessionError` for
    an answer of the wrong form, and `DeadlineExceeded`.
    """

    session: Session[Any]
    """The environment's own object, once it is open."""
    info: SessionInfo
    """What it says of itself, once it is open."""

    def __init__(
        self,
        server: ResourceServer,
        task: Task,
        context: SessionContext,
        *,
        executor: Executor,
        deadlines: Deadlines,
        alarm: Alarm,
        provider: SandboxProvider | None = None,
    ) -> None:
        self._server = server
        self._provider = provider
        self._sandboxes: Sandboxes | None = None
        self._task = task
        self._context = context
        self._executor = executor
        self._deadlines = deadlines
        self._alarm = alarm
        self._closing = False
        self._closes = True
        self._toolbox: Toolbox | None = None
        self.name = ""
        """The class of the session, empty until it is open."""

    async def __aenter__(self) -> Self:
        self._context.host = self
        opened = self._opened = self._server.open_session(self._task, self._context)
        if type(opened) is OpenSession:  # opening is nothing to wait for
            self.session = opened.session
        else:
            entering = opened.__aenter__()
            try:
                self.session = await self._executor.bounded(self._alarm, "setup", self._deadlines.setup, entering)
            except BaseException:
                self._closing = True  # there is nothing else to close
                await self._let_go()
                raise
        self.name = type(self.session).__name__
        try:
            info = self.info = self.session.describe()
            self._closes = info.closes
            for role in info.roles:
                self._context.models[role]
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._closing:  # by whoever gave the rollout up, perhaps
            return
        self._closing = True
        opened = self._opened
        if type(opened) is OpenSession and not self._closes:
            await self._let_go()
            return
        try:
            closing = self._start_closing(kind, error, traceback)
            if closing is not None:
                await self._to_the_end(closing, self._deadlines.close)
        except BaseException as failed:
            if asked_to_end(failed):
                raise
            if failed is not error:
                logger.warning("a session failed to close: %s", described(failed))
        finally:
            await self._let_go()

    async def _let_go(self) -> None:
        """Close its sandboxes, and do nothing more for it."""
        self._context.host = NO_HOST  # they hold each other
        if self._sandboxes is not None:
            try:
                await self._to_the_end(self._sandboxes.close(), self._deadlines.close + 2 * GRACE)
            except DeadlineExceeded as error:
                logger.warning("the sandboxes of a session: %s", error)

    def _start_closing(self, *cause: Any) -> Awaitable[Any] | None:
        if type(self._opened) is not OpenSession:
            return self._opened.__aexit__(*cause)
        close = self._opened.session.close
        if place_of(close) is None:
            return close()
        return self._executor.call(self._alarm, "close", self._deadlines.close, close)

    async def _to_the_end(self, closing: Awaitable[Any], seconds: float) -> None:
        """Let something close within its bound, even when the rollout is cancelled meanwhile."""
        # A container that is not closed is paid for until somebody finds it; a rollout that ends some seconds later is
        # not. So closing is a task that no cancellation reaches; the alarm is told, or it would give the rollout up.
        task = asyncio.ensure_future(contained(closing))
        self._alarm.allow(seconds)
        try:
            await asyncio.wait([task], timeout=seconds)
        except asyncio.CancelledError:
            await asyncio.wait([task], timeout=seconds)
            raise
        finally:
            if not task.done():
                task.cancel()
                abandon(task)
        if not task.done():
            raise DeadlineExceeded("close", seconds)
        await task

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """See `SessionContext.waiting`. Raises `SessionError` where the turn does not come."""
        try:
            with self._alarm.waiting(self._deadlines.waiting):
                yield
        except DeadlineExceeded as error:
            if error.phase != "waiting":
                raise
            raise SessionError(
                f"the environment waited its turn for {self._deadlines.waiting:g} s", hint="lower the concurrency"
            ) from None

    async def set_up(
        self, requested: Sequence[dict[str, Any]] | None, tool_called: Callable[[CallInfo], None] | None = None
    ) -> Sequence[Item] | None:
        """Have it prepare itself and say what its tools are; returns its opening observation, if it gives one.

        `requested`: the tools of the task's request, None for all that it has. `tool_called` is told of every tool call
        that ends.
        """
        session, opening = self.session, None
        if self.info.sets_up:  # nothing to do is done without asking
            answer = await self._executor.call(self._alarm, "setup", self._deadlines.setup, session.setup)
            if answer is not None:
                opening = checked_items(answer, "setup")
        self._toolbox = Toolbox(
            session,
            self.info,
            requested,
            executor=self._executor,
            alarm=self._alarm,
            seconds=self._deadlines.tool,
            observer=(tool_called, (self._task.task_id, self._context.repeat)) if tool_called is not None else None,
        )
        return opening

    # What it asks for

    @property
    def sandboxes(self) -> Mapping[str, Sandbox]:
        """Its sandboxes by role."""
        return self._sandboxes if self._sandboxes is not None else {}

    async def open_sandbox(self, spec: SandboxSpec, role: str) -> Sandbox:
        """Open a sandbox of it. Raises `SandboxError`."""
        if self._sandboxes is None:
            self._sandboxes = Sandboxes(self._provider, self._deadlines.close, self._alarm.allow)
        return await self._sandboxes.open(spec, role)

    async def call_isolated(
        self, function: Callable[..., Any], arguments: Sequence[Any], timeout: float | None, default: Sequence[Any]
    ) -> Any:
        """Call a function in a process of its own."""
        seconds = timeout if timeout is not None else self._deadlines.tool
        return await self._executor.call_isolated(self._alarm, seconds, function, arguments, default)

    # What is asked of it

    @property
    def toolbox(self) -> Toolbox:
        """Its tools, once it is set up."""
        assert self._toolbox is not None
        return self._toolbox

    @property
    def tool_counts(self) -> tuple[int, dict[str, int]]:
        """How many tool calls there were, and how many were answered with an error, by its kind."""
        toolbox = self._toolbox
        return (toolbox.calls, toolbox.errors) if toolbox is not None else (0, {})

    async def answer_calls(self, response: Response) -> Sequence[Any] | None:
        """Show it a response before its calls run. What it answers them with is given to each when it is called."""
        answer = await self._executor.call(
            self._alarm, "tool", self._deadlines.tool, self.session.answer_calls, response
        )
        if answer is None:
            return None
        calls = response.function_calls
        if not isinstance(answer, list | tuple) or len(answer) != len(calls):
            found = f"{len(answer)} answers" if isinstance(answer, list | tuple) else kind_of(answer)
            raise SessionError(
                f"`answer_calls` returned {found} for {len(calls)} calls; it must be one answer per call, or None"
            )
        self.toolbox.given = [*zip(calls, answer, strict=True)]
        return answer

    async def reply(self, response: Response) -> Sequence[Item] | Done:
        """What it answers to a response without calls; most sessions have nothing to say."""
        if not self.info.replies:
            return _DONE
        answer = await self._executor.call(self._alarm, "reply", self._deadlines.setup, self.session.reply, response)
        return answer if isinstance(answer, Done) else checked_items(answer, "reply")

    async def verify(self, trajectory: Trajectory) -> Verdict:
        """Its verdict on a trajectory."""
        seconds = self._deadlines.verify
        return checked_verdict(
            await self._executor.call(self._alarm, "verify", seconds, self.session.verify, trajectory)
        )


def checked_items(answer: Any, function: str) -> Sequence[Item]:
    """What `setup` or `reply` returned as items that can be written. Raises `SessionError` for anything else."""
    try:
        if isinstance(answer, list | tuple) and all(isinstance(item, dict) for item in answer):
            items: Sequence[Item] = written_as_it_is(answer)
            return items
        made = plain_json(answer)  # a generator, or models, say
    except JsonError as error:
        raise SessionError(f"`{function}` returned items that are no JSON: {error}") from None
    if not isinstance(made, list):
        raise SessionError(f"`{function}` returned {kind_of(answer)}; it must be a list of items")
    odd = next((item for item in made if not isinstance(item, dict)), None)
    if odd is not None or None in made:
        raise SessionError(f"`{function}` returned a list with {shown(odd)} in it; an item is an object")
    return made
