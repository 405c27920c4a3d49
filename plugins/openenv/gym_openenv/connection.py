"""One session of an OpenEnv server: a WebSocket, on which one message answers another.

What may be lost, and when. A session is its connection: a server drops what it holds of one as soon as the other is
gone, and a new connection is a new session. So a connection that breaks ends its rollout, and nothing here opens
another in its place. Nor is an answer taken for that of another question: one that was given up leaves the connection
unusable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import aiohttp

from gym_core import JsonError, encode_json, parse_json
from gym_core.errors import SessionError
from gym_core.spi import one_line

LONGEST = 64 << 20
"""Bytes of a message: an observation may hold images."""
GOODBYE_SECONDS = 10.0
"""How long a server may take to close a session. Until then it counts among those that it has open."""
_UNREAD = 8
"""Messages that nobody has asked for, of which a server has one to send: that it is full."""


class Refused(Exception):
    """The server answers that it could not do what it was asked for. `code`: as OpenEnv names it.

    `most`: how many sessions it takes at once, where it says so, else 0.
    """

    def __init__(self, code: str, message: str, most: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.most = most


class SessionLost(SessionError):
    """The connection of a session is gone, and the session with it."""


class ServerGone(SessionError):
    """Nobody answers where the server was."""

    @property
    def unreachable(self) -> bool:
        """It is gone for all sessions, not for one."""
        return True


class Connection:
    """An open session. `name`: what it is a session of. `why`: what is known of a server that has gone."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, name: str, why: Callable[[], Awaitable[str]]) -> None:
        self._socket = socket
        self._name = name
        self._why = why
        self._behind = False
        self._answers: asyncio.Queue[str | bytes | None] = asyncio.Queue(_UNREAD)
        # Somebody has to read all the time: pings are answered meanwhile, and a model may take minutes for its turn.
        self._reading = asyncio.create_task(self._read())

    async def ask(self, kind: str, data: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send a message and give the data of its answer. Raises `Refused`, and `SessionLost`."""
        if self._behind:
            raise SessionLost(f"{self._name}: an earlier message was given up, and its answer may still come")
        self._behind = True
        message = {"type": kind} if data is None else {"type": kind, "data": data}
        # a server that is full says so and hangs up, perhaps before it is asked anything: its word is read first
        with suppress(aiohttp.ClientError, OSError):
            await self._socket.send_str(encode_json(message).decode())
        answer = await self._answers.get()
        if answer is None:
            raise await self._lost(kind)
        self._behind = False
        return self._data(answer, kind)

    async def close(self) -> None:
        """End the session, and wait until the server has closed it."""
        with suppress(aiohttp.ClientError, OSError):
            await self._socket.send_str('{"type":"close"}')
            await asyncio.wait([self._reading], timeout=GOODBYE_SECONDS)
        self._reading.cancel()
        with suppress(asyncio.CancelledError):
            await self._reading
        await self._socket.close()

    async def _read(self) -> None:
        try:
            while (message := await self._socket.receive()).type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                await self._answers.put(message.data)
        finally:
            with suppress(asyncio.QueueFull):
                self._answers.put_nowait(None)

    async def _lost(self, kind: str) -> SessionLost:
        failure = self._socket.exception()
        how = f": {failure}" if failure is not None else f" (code {self._socket.close_code})"
        return SessionLost(f"{self._name}: the session was lost while asked to {kind}{how}{await self._why()}")

    def _data(self, answer: str | bytes, kind: str) -> dict[str, Any]:
        try:
            body = parse_json(answer)
        except JsonError as error:
            raise SessionError(f"{self._name} answered {kind} with what is no JSON: {error}") from None
        found = body.get("data") if isinstance(body, dict) else None
        if not isinstance(found, dict):
            raise SessionError(f"{self._name} answered {kind} without `data`")
        if body.get("type") == "error":
            most = found.get("max_sessions")
            raise Refused(str(found.get("code") or "UNKNOWN"), _words(found), most if isinstance(most, int) else 0)
        return found


def _words(found: Mapping[str, Any]) -> str:
    problems = found.get("errors")
    said = [
        f"{'.'.join(map(str, each.get('loc', ())))}: {each.get('msg')}"
        for each in (problems if isinstance(problems, list) else ())
        if isinstance(each, dict)
    ]
    return one_line(f"{found.get('message')}{': ' if said else ''}{'; '.join(said)}")
