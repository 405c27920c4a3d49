"""What a suite puts around the components it looks at, to see what they do."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType
from typing import Any, Self

from gym_core import (
    CallContext,
    ModelBackend,
    Request,
    ResourceServer,
    ResourceServerInfo,
    Response,
    Session,
    SessionContext,
    Task,
)
from gym_core.spi import Alarm, Executor
from gym_testing.models import ScriptedModel

Key = tuple[str, int]
MEETING = 5.0
"""Seconds after which a rollout no longer waits for the others."""


class WatchedServer(ResourceServer):
    """A resource server that counts the sessions it opens and closes, and closes each once more.

    `problems`: what closing raised.
    """

    def __init__(self, server: ResourceServer) -> None:
        super().__init__(server.options, server.context)
        self.server = server
        self.opened = 0
        self.closed = 0
        self.problems: list[str] = []

    async def __aenter__(self) -> Self:
        await self.server.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.server.__aexit__(kind, error, traceback)

    def describe(self) -> ResourceServerInfo:
        """What the server says."""
        return self.server.describe()

    def tasks(self) -> Iterable[Task] | AsyncIterable[Task]:
        """Those of the server."""
        return self.server.tasks()

    def open_session(self, task: Task, context: SessionContext) -> AbstractAsyncContextManager[Session[Any]]:
        """One of the server, watched."""
        return _WatchedSession(self, self.server.open_session(task, context))


class _WatchedSession:
    def __init__(self, watched: WatchedServer, opened: AbstractAsyncContextManager[Session[Any]]) -> None:
        self._watched = watched
        self._opened = opened
        self._session: Session[Any] | None = None

    async def __aenter__(self) -> Session[Any]:
        self._session = await self._opened.__aenter__()
        self._watched.opened += 1
        return self._session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._close("closing a session", lambda: self._opened.__aexit__(kind, error, traceback))
        assert self._session is not None
        await self._close("closing it again", self._session.close)
        self._watched.closed += 1

    async def _close(self, what: str, close: Callable[[], Any]) -> None:
        try:
            result = close()
            if inspect.isawaitable(result):
                await result
        except Exception as error:
            self._watched.problems.append(f"{what} raised {type(error).__name__}: {error}")


class TwiceJudging(Executor):
    """Asks for every verdict twice. `verdicts`: both answers; the second may be what was raised."""

    def __init__(self) -> None:
        super().__init__()
        self.verdicts: list[tuple[Any, Any]] = []

    async def call(
        self, alarm: Alarm, phase: str, seconds: float, function: Callable[..., Any], *arguments: Any
    ) -> Any:
        """As the engine calls it, `verify` twice."""
        first = await super().call(alarm, phase, seconds, function, *arguments)
        if phase == "verify":
            try:
                second = await super().call(alarm, phase, seconds, function, *arguments)
            except Exception as error:
                second = error
            self.verdicts.append((first, second))
        return first


class Cast(ModelBackend):
    """A model with a part for each rollout. `meeting`: where they wait for each other before every turn."""

    def __init__(self, parts: Mapping[Key, ScriptedModel], meeting: Meeting | None = None) -> None:
        super().__init__()
        self.parts = parts
        self.meeting = meeting

    async def respond(self, request: Request, context: CallContext) -> Response:
        """The next turn of the rollout's own part."""
        if self.meeting is not None:
            await self.meeting.arrive(context.key)
        return await self.parts[context.key].respond(request, context)


class Meeting:
    """Keeps rollouts in step: none asks its model again before all others have asked as often, or are over."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._turns = dict.fromkeys(keys, 0)
        self._over: set[Key] = set()
        self._changed = asyncio.Condition()

    async def arrive(self, key: Key) -> None:
        """Wait for the others, but not for ever: an environment may well open one session at a time."""
        async with self._changed:
            self._turns[key] += 1
            self._changed.notify_all()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait_for(lambda: self._complete(self._turns[key])), MEETING)

    async def leave(self, key: Key) -> None:
        """Nobody waits for this one any more."""
        async with self._changed:
            self._over.add(key)
            self._changed.notify_all()

    def _complete(self, turns: int) -> bool:
        return all(count >= turns or key in self._over for key, count in self._turns.items())
