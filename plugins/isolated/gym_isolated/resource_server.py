"""An environment of an isolated plugin: its sessions are opened in a child process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any

from gym_core import ResourceServer, Session, SessionContext, Task
from gym_http.protocol.client import INTERRUPTED, UNREACHABLE
from gym_http.protocol.errors import RemoteError
from gym_isolated.component import REPLY_MB, STALL_SECONDS, Isolated
from gym_isolated.supervisor import Supervisor

_DEATH_SECONDS = 5.0
"""How long a child that nobody listens in any more may take to be seen dead."""


class IsolatedResourceServer(Isolated, ResourceServer):
    """The base of the classes that stand for isolated environments."""

    def connect(self, url: str, token: str) -> ResourceServer:
        """The remote environment at a child's address."""
        from gym_http.remote.environment import RemoteResourceServer

        # who waits for a child, and how long, is decided here
        settings = {"url": url, "token": token, "wait": 0, "stall": STALL_SECONDS, "max_reply_mb": REPLY_MB}
        return RemoteResourceServer(RemoteResourceServer.Options.model_validate(settings), self.context)

    async def tasks(self) -> AsyncIterator[Task]:
        """The tasks that the environment ships."""
        generation = await self.supervisor.current()
        async for task in generation.component.tasks():
            yield task

    def open_session(self, task: Task, context: SessionContext) -> AbstractAsyncContextManager[Session[Any]]:
        """A session in the child that serves when it is opened."""
        return _Opening(self.supervisor, task, context)


class _Opening:
    """A session's life, in whichever child there is when it begins."""

    __slots__ = ("_context", "_opened", "_supervisor", "_task")

    def __init__(self, supervisor: Supervisor, task: Task, context: SessionContext) -> None:
        self._supervisor = supervisor
        self._task = task
        self._context = context
        self._opened: AbstractAsyncContextManager[Session[Any]] | None = None

    async def __aenter__(self) -> Session[Any]:
        generation = await self._supervisor.current()
        try:
            return await self._enter(generation.component)
        except RemoteError as error:
            # It may have died just now; then the next child can do it, with everything that this one had begun gone.
            if error.code not in (UNREACHABLE, INTERRUPTED):
                raise
            try:
                async with asyncio.timeout(_DEATH_SECONDS):
                    await generation.dead.wait()
            except TimeoutError:
                raise error from None
        return await self._enter((await self._supervisor.current()).component)

    async def _enter(self, server: ResourceServer) -> Session[Any]:
        opened = server.open_session(self._task, self._context)
        session = await opened.__aenter__()
        self._opened = opened
        return session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._opened is not None:
            await self._opened.__aexit__(kind, error, traceback)
