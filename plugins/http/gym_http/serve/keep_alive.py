"""An answer that is long in coming, with white space before it, so that nobody takes the connection for dead.

JSON may begin with white space, so every client reads such a body. Its status is on the way before the work has ended,
though, and is always 200: that is for those who ask for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from starlette.types import Send

from gym_http.protocol.errors import ServeError

Result = TypeVar("Result")

HEADER = "Gym-Keep-Alive"
LEAST, MOST = 0.1, 3600.0
PARAMETER = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "number", "minimum": LEAST, "maximum": MOST},
}
"""As OpenAPI has it."""
_NAME = HEADER.lower().encode()
_JSON = (b"content-type", b"application/json")


def seconds_of(headers: Sequence[tuple[bytes, bytes]]) -> float | None:
    """After how many seconds without an answer there has to be a sign of life; None where nobody asks for it.

    Raises `ServeError` (422) for what is no such number.
    """
    for name, value in headers:
        if name == _NAME:
            try:
                seconds = float(value)
            except ValueError:
                seconds = 0.0
            if not LEAST <= seconds <= MOST:
                raise ServeError(422, f"`{HEADER}` must be seconds from {LEAST:g} to {MOST:g}", field=HEADER)
            return seconds
    return None


class KeptAlive:
    """The way one answer takes. `seconds`: after how many without it white space goes ahead, None for never.

    `begun`: something went ahead, so the status is 200, whatever comes.
    """

    def __init__(self, send: Send, seconds: float | None) -> None:
        self._send = send
        self._seconds = seconds
        self.begun = False

    async def work(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Await what is to be answered. Cancelling it ends the work, and waits for that."""
        if self._seconds is None:
            return await work
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait((task,), timeout=self._seconds))[0]:
                await self._ping()
        except BaseException:
            task.cancel()
            await asyncio.wait((task,))
            raise
        return task.result()

    async def _ping(self) -> None:
        if not self.begun:
            self.begun = True
            await self._send({"type": "http.response.start", "status": 200, "headers": [_JSON]})
        await self._send({"type": "http.response.body", "body": b" ", "more_body": True})

    async def answer(self, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """The answer itself."""
        if not self.begun:
            length = (b"content-length", b"%d" % len(body))
            await self._send({"type": "http.response.start", "status": status, "headers": [_JSON, length, *headers]})
        await self._send({"type": "http.response.body", "body": body})
