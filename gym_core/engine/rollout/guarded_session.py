"""A session's life: opened and closed within bounds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any

from gym_core.contract.resource_server import OpenSession, Session
from gym_core.contract.tools import place_of
from gym_core.domain.abandoned import abandon, contained
from gym_core.domain.blame import asked_to_end, described
from gym_core.engine.bounds.alarms import Alarm
from gym_core.engine.bounds.deadlines import DeadlineExceeded, Deadlines
from gym_core.engine.functions.executor import Executor

logger = logging.getLogger("gym")


class GuardedSession:
    """A session's life with bounds on both ends. A session that fails to close costs a warning, not its verdict."""

    __slots__ = ("_alarm", "_closing", "_deadlines", "_executor", "_opened")

    def __init__(
        self, opened: AbstractAsyncContextManager[Session[Any]], alarm: Alarm, executor: Executor, deadlines: Deadlines
    ) -> None:
        self._opened = opened
        self._alarm = alarm
        self._executor = executor
        self._deadlines = deadlines
        self._closing = False

    async def __aenter__(self) -> Session[Any]:
        if type(self._opened) is OpenSession:  # opening is nothing to wait for
            return self._opened.session
        entering = self._opened.__aenter__()
        session: Session[Any] = await self._executor.bounded(self._alarm, "setup", self._deadlines.setup, entering)
        return session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        opened = self._opened
        if self._closing or (type(opened) is OpenSession and type(opened.session).close is Session.close):
            return
        self._closing = True  # by whoever gave the rollout up, perhaps
        try:
            closing = self._start_closing(kind, error, traceback)
            if closing is not None:
                await self._to_the_end(closing)
        except BaseException as failed:
            if asked_to_end(failed):
                raise
            if failed is not error:
                logger.warning("a session failed to close: %s", described(failed))

    def _start_closing(self, *cause: Any) -> Awaitable[Any] | None:
        if type(self._opened) is not OpenSession:
            return self._opened.__aexit__(*cause)
        close = self._opened.session.close
        if place_of(close) is None:
            return close()
        return self._executor.call(self._alarm, "close", self._deadlines.close, close)

    async def _to_the_end(self, closing: Awaitable[Any]) -> None:
        """Let a session close within its bound, even when the rollout is cancelled meanwhile."""
        task = asyncio.ensure_future(contained(closing))
        seconds = self._deadlines.close
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
