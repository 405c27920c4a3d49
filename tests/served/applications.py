"""Whole servers as `gym serve` makes them, in a thread of this process, for clients that block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack, contextmanager
from typing import Any

from gym_core.spi import Redactor
from gym_http.serve.application import Application
from gym_http.serve.listener import Listener
from gym_http.serve.opening import Wanted, open_application
from gym_http.serve.settings import ServeSettings


@contextmanager
def serving(wanted: Wanted, redactor: Redactor | None = None, **settings: Any) -> Iterator[tuple[str, Application]]:
    """Serve what is wanted; gives the URL and the application. `settings`: of `ServeSettings`."""
    up: Future[tuple[str, Application, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def live() -> None:
        end = asyncio.Event()
        try:
            async with AsyncExitStack() as stack:
                local = not settings.get("token")
                made = ServeSettings(**{"local": local, **settings})
                app, _ = await open_application(wanted, made, stack, redactor or Redactor())
                listener = await stack.enter_async_context(Listener(app, grace=1.0, limits=made.connections))
                up.set_result((listener.url, app, asyncio.get_running_loop(), end))
                await end.wait()
        except BaseException as error:
            if up.done():
                raise
            up.set_exception(error)

    thread = threading.Thread(target=asyncio.run, args=(live(),), name="serving", daemon=True)
    thread.start()
    url, app, loop, end = up.result()
    try:
        yield url, app
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()
