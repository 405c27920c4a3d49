"""A run while it goes on, as server-sent events: its progress, and the rollouts that finish."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gym_core import GymError, encode_json
from gym_viewer.api.rollouts import latest
from gym_viewer.api.run import progress_of
from gym_viewer.library import Library, OpenRun

_SECONDS = 1.0
"""So often the files are looked at."""
_SILENCE = 15.0
"""So often something is sent in any case, by which a connection that is gone is noticed."""
_SHOWN = 50


def events(library: Library) -> Callable[[Request], Awaitable[Response]]:
    """`/api/runs/RUN/events`."""

    async def answer(request: Request) -> Response:
        opened = await asyncio.to_thread(library.run, request.path_params["run"])
        return StreamingResponse(
            _events(library, opened, request), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
        )

    return answer


async def _events(library: Library, opened: OpenRun, request: Request) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    progress = await asyncio.to_thread(_progress, library, opened)
    after, replaced = await asyncio.to_thread(opened.index.last_ids), opened.index.replaced
    yield _event("progress", progress)
    sent, said = loop.time(), progress
    while not await request.is_disconnected():
        await asyncio.sleep(_SECONDS)
        progress = await asyncio.to_thread(_progress, library, opened)
        if opened.index.replaced != replaced:
            replaced = opened.index.replaced
            after = await asyncio.to_thread(opened.index.last_ids)
            yield _event("replaced", {})
        else:
            now = await asyncio.to_thread(opened.index.last_ids)
            if now != after:
                count, rollouts = await asyncio.to_thread(latest, opened, after, _SHOWN)
                after = now
                yield _event("added", {"added": count, "rollouts": rollouts})
        if progress != said:
            yield _event("progress", progress)
            sent, said = loop.time(), progress
        elif loop.time() - sent > _SILENCE:
            yield b": still here\n\n"
            sent = loop.time()


def _progress(library: Library, opened: OpenRun) -> Any:
    try:
        return progress_of(library, opened)
    except GymError as error:
        return {"problem": error.message}


def _event(name: str, data: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), encode_json(data, fallback=str))
