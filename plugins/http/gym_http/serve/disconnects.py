"""Work that ends with the client who asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

Result = TypeVar("Result")


def while_connected(request: Request, work: Awaitable[Result]) -> Coroutine[Any, Any, Result]:
    """Await `work`; cancelled when the client closes the connection. The request's body must have been read.

    Raises `ClientDisconnect` then, once the work has ended.
    """
    return while_receiving(request.receive, work)


async def while_receiving(receive: Receive, work: Awaitable[Result]) -> Result:
    """The same for a request of which nothing is known but the way that its body took."""
    task = asyncio.current_task()
    assert task is not None
    watcher = _Watcher(task)
    watching = asyncio.create_task(watcher.watch(receive))
    try:
        return await work
    except asyncio.CancelledError:
        # somebody else may have asked for it as well, such as a server that goes down
        if watcher.gone and task.uncancel() == 0:
            raise ClientDisconnect from None
        raise
    finally:
        watching.cancel()


class _Watcher:
    """Cancels a task when the client is gone."""

    __slots__ = ("_task", "gone")

    def __init__(self, task: asyncio.Task[object]) -> None:
        self._task = task
        self.gone = False

    async def watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        self._task.cancel()
