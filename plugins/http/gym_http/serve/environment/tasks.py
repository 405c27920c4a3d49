"""`GET /v1/tasks`: the tasks that an environment ships, a page at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gym_core import JsonError, ResourceServer, Task, encode_json
from gym_core.errors import InputError, SessionError
from gym_core.spi import server_source
from gym_http.protocol.errors import ServeError
from gym_http.serve.disconnects import while_connected
from gym_http.serve.environment.tokens import Tokens

DEFAULT_LIMIT = 100
MOST = 1000
LAST = 999_999
"""The greatest index that a request may begin at: an environment may ship tasks without end, and reads up to there."""
CURSOR_HEADER = "Gym-Next-Cursor"
MEDIA_TYPE = "application/x-ndjson"
_PARKED = 16
_BREATH = 100
"""After so many tasks others get a turn."""

_Reading = AsyncGenerator[Task, None]


class TaskPages:
    """Pages of an environment's tasks. A cursor says where the next one begins; only those given out are taken.

    A few iterations are kept where their pages ended, so that reading on need not start over; an environment may ship
    tasks without end.
    """

    def __init__(self, server: ResourceServer, tokens: Tokens) -> None:
        self._server = server
        self._tokens = tokens
        self._parked: dict[int, _Reading] = {}

    async def answer(self, request: Request) -> Response:
        """The tasks that a request asks for, as JSON lines."""
        asked = request.query_params
        start, limit = self._start(asked.get("cursor"), asked.get("start")), _limit(asked.get("limit"))
        try:
            rows, more = await while_connected(request, self._page(start, limit))
        except InputError as error:  # the environment's fault here, not the request's
            raise SessionError(error.message, hint=error.hint) from error
        headers = {CURSOR_HEADER: self._tokens.sign(str(start + len(rows)))} if more else {}
        return Response(b"".join(rows), headers=headers, media_type=MEDIA_TYPE)

    async def _page(self, start: int, limit: int) -> tuple[list[bytes], bool]:
        reading = self._parked.pop(start, None)
        if reading is None:
            reading = _read(self._server)
            for number in range(start):
                if await anext(reading, None) is None:
                    raise ServeError(404, f"there are {number} tasks only", field="start", hint="start over")
                if number % _BREATH == 0:
                    await asyncio.sleep(0)
        rows: list[bytes] = []
        while len(rows) < limit:
            task = await anext(reading, None)
            if task is None:
                return rows, False
            try:
                rows.append(encode_json(_row(task), orjson.OPT_APPEND_NEWLINE))
            except JsonError as error:
                raise SessionError(f"the task {task.task_id} is no JSON: {error}") from error
            if len(rows) % _BREATH == 0:
                await asyncio.sleep(0)
        await self._park(start + len(rows), reading)
        return rows, True

    async def _park(self, place: int, reading: _Reading) -> None:
        dropped = [self._parked.pop(place, None)]
        self._parked[place] = reading
        if len(self._parked) > _PARKED:
            dropped.append(self._parked.pop(next(iter(self._parked))))
        for old in dropped:
            if old is not None:
                await old.aclose()

    def _start(self, cursor: str | None, index: str | None) -> int:
        if cursor is None:
            return 0 if index is None else _number(index, "start", 0, LAST)
        place = self._tokens.unsign(cursor)
        if place is None or not place.isdigit():
            raise ServeError(
                404, "the cursor was not given out by this server", field="cursor", hint="start over without one"
            )
        return int(place)


async def _read(server: ResourceServer) -> _Reading:
    async for task in server_source(server, unique=False):  # whoever runs them says what names them
        yield task


def _row(task: Task) -> dict[str, Any]:
    return task.row if "task_id" in task.row else {"task_id": task.task_id, **task.row}


def _limit(text: str | None) -> int:
    return DEFAULT_LIMIT if text is None else _number(text, "limit", 1, MOST)


def _number(text: str, field: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        raise ServeError(422, f"`{field}` must be a whole number from {least} to {most}", field=field)
    return int(text)
