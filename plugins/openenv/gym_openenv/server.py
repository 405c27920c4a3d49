"""One OpenEnv server: asked what it is, and for sessions, of which it has so many at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from itertools import chain, repeat
from typing import Any

import aiohttp

from gym_core import UsageError, parse_json
from gym_core.errors import SessionError
from gym_openenv.connection import LONGEST, Connection, Refused, ServerGone, SessionLost

FULL = "CAPACITY_REACHED"
_PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds until a session is asked for again; the last one is repeated until the deadline of the set-up."""
_PATIENCE = 3600.0
"""Seconds of such pauses after which a server that is full because of others is given up."""
_TRIES = 8
"""How often a session is begun where the connection breaks, or cannot be made, before anything has happened in it."""


async def _nothing() -> str:
    return ""


class Server:
    """A server. `name`: what it is called in messages. `client`: whose connections are used. `why`: what is known of it
    once it has gone.

    `most`: how many sessions it takes at once, as it says when it is full, since nothing else tells; 0 until then.
    """

    def __init__(
        self,
        url: str,
        name: str,
        client: aiohttp.ClientSession,
        why: Callable[[], Awaitable[str]] = _nothing,
        most: int = 0,
    ) -> None:
        self.url = url
        self.name = name
        self.most = most
        self.open = 0
        self._client = client
        self._why = why
        self._changed = asyncio.Condition()

    async def get(self, path: str) -> dict[str, Any]:
        """What stands at a path. Raises `UsageError`."""
        try:
            async with self._client.get(f"{self.url}/{path}", timeout=aiohttp.ClientTimeout(30)) as answer:
                if answer.status != 200:
                    raise UsageError(
                        f"{self.url}/{path} answers {answer.status}: is it an OpenEnv server?",
                        hint="the URL is the one under which /health and /schema are: http://HOST:PORT",
                    )
                body = parse_json(await answer.read())
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            what = str(error) or type(error).__name__
            raise UsageError(f"no OpenEnv server answers at {self.name}: {what}{await self._why()}") from error
        except ValueError as error:
            raise UsageError(f"{self.url}/{path} answers with no JSON: is it an OpenEnv server?") from error
        if not isinstance(body, dict):
            raise UsageError(f"{self.url}/{path} answers with no JSON object: is it an OpenEnv server?")
        return body

    @asynccontextmanager
    async def session(
        self, reset: Mapping[str, Any], waiting: Callable[[], AbstractContextManager[None]]
    ) -> AsyncIterator[tuple[Connection, dict[str, Any]]]:
        """A session that has been reset, and what the reset gave. Waits while the server is full, within `waiting`.

        A connection that breaks before the reset was answered is tried again: nothing has been shown to anybody. Raises
        `SessionError`.
        """
        async with AsyncExitStack() as stack:
            yield await self._begun(stack, reset, waiting)

    async def _begun(
        self,
        stack: AsyncExitStack,
        reset: Mapping[str, Any],
        waiting: Callable[[], AbstractContextManager[None]],
    ) -> tuple[Connection, dict[str, Any]]:
        tries, waited = 0, 0.0
        for pause in chain(_PAUSES, repeat(_PAUSES[-1])):
            async with AsyncExitStack() as trial:
                try:
                    with waiting():
                        await trial.enter_async_context(self._place())
                    connection = await self._connect()
                    trial.push_async_callback(connection.close)
                    opening = await connection.ask("reset", reset)
                except Refused as error:
                    if error.code != FULL or waited > _PATIENCE:
                        raise SessionError(f"{self.name}: {error.code}: {error}") from error
                    self.most = error.most or self.most
                except (SessionLost, ServerGone):
                    tries += 1
                    if tries == _TRIES:
                        raise
                else:
                    stack.push_async_exit(trial.pop_all())
                    return connection, opening
            with waiting():
                await asyncio.sleep(pause)
            waited += pause
        raise AssertionError  # the pauses do not end

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """Wait until fewer sessions are open than the server is known to take."""
        async with self._changed:
            try:
                await self._changed.wait_for(lambda: not self.most or self.open < self.most)
            except asyncio.CancelledError:
                self._changed.notify()  # it may have been told that a place is free
                raise
            self.open += 1
        try:
            yield
        finally:
            self.open -= 1
            async with self._changed:
                self._changed.notify()

    async def _connect(self) -> Connection:
        try:
            # No pings from here: an environment that computes on its server's loop answers none while it does, and the
            # server's own ones keep what lies on the way awake.
            socket = await self._client.ws_connect(f"ws{self.url.removeprefix('http')}/ws", max_msg_size=LONGEST)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            what = str(error) or type(error).__name__
            raise ServerGone(f"{self.name}: no session: {what}{await self._why()}") from error
        return Connection(socket, self.name, self._why)
