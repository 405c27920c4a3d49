"""Waits that end although what they wait for does not.

Code that is cancelled may catch that and go on. It has `GRACE` seconds to end; then its task is abandoned: nobody waits
for it any more, the end of the event loop neither.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

from gym_core.domain.blame import Raised, as_exception, asked_to_end, unwrapped

logger = logging.getLogger("gym")
Result = TypeVar("Result")

GRACE = 1.0
"""Seconds that a cancelled task has to end."""
# Of tasks the event loop holds no more than a weak reference.
_running: set[asyncio.Future[Any]] = set()
_abandoned: set[asyncio.Future[Any]] = set()
_held = False


class Late(TimeoutError):
    """A wait took longer than it may."""


async def within(awaitable: Awaitable[Result], seconds: float | None, what: str) -> Result:
    """Await something in a task of its own for `seconds`, None for as long as it takes; `what` names it.

    Raises `Late`, and what it raises. The wait ends `GRACE` seconds after it was cancelled at the latest.
    """
    task = asyncio.ensure_future(contained(awaitable))
    try:
        await asyncio.wait([task], timeout=seconds)
    except asyncio.CancelledError:
        await end([task], what)
        raise
    if not task.done():
        await end([task], what)
        raise Late(f"{what} did not end within {seconds:g} s")
    return _result(task)


async def end(tasks: Iterable[asyncio.Future[Any]], what: str = "", seconds: float = GRACE) -> None:
    """Cancel tasks and wait until they have ended; those that have not by then are abandoned.

    `what` names them where their own names would say nothing.
    """
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    try:
        await asyncio.wait(tasks, timeout=seconds)
    finally:
        for task in tasks:
            if not task.done():
                abandon(task, what or f"the task `{_name(task)}`")
            elif not task.cancelled():
                task.exception()  # so that nobody complains that it was never looked at


def abandon(task: asyncio.Future[Any], what: str = "", level: int = logging.WARNING) -> None:
    """Let a task be; `what` names it for the log."""
    if what:
        logger.log(level, "%s ignores that it was cancelled, and is abandoned", what, extra={"event": "abandoned"})
    global _held
    if not _held:
        _held = True
        threading.Thread(target=_hold, args=(_abandoned,), name="gym-abandoned", daemon=True).start()
    _abandoned.add(task)
    task.add_done_callback(_ended)
    if isinstance(task, asyncio.Task):
        asyncio._unregister_task(task)  # which `asyncio.run` would wait for


def _name(task: asyncio.Future[Any]) -> str:
    work = task.get_coro() if isinstance(task, asyncio.Task) else task
    return str(getattr(work, "__qualname__", work))


def background(awaitable: Awaitable[Any]) -> asyncio.Future[Any]:
    """A task of its own for something that nobody may wait for."""
    task = asyncio.ensure_future(contained(awaitable))
    _running.add(task)
    task.add_done_callback(_running.discard)
    return task


def _hold(tasks: object) -> None:
    # The exit of the interpreter throws `GeneratorExit` into whatever nobody holds, which may be ignored for ever, too.
    # A thread of this kind is not unwound then, and what it holds stays.
    threading.Event().wait()


def _ended(task: asyncio.Future[Any]) -> None:
    _abandoned.discard(task)
    if not task.cancelled():
        task.exception()


def _result(task: asyncio.Future[Result]) -> Result:
    try:
        return task.result()
    except Raised as error:  # only the task could not hold it
        raise unwrapped(error) from None


async def contained(awaitable: Awaitable[Result]) -> Result:
    """The same, for a task of its own: of `sys.exit` in a task the event loop would end."""
    try:
        return await awaitable
    except (KeyboardInterrupt, SystemExit) as error:
        if asked_to_end(error):
            raise
        raise as_exception(error) from error


@asynccontextmanager
async def lifespan(component: AbstractAsyncContextManager[Result], seconds: float, what: str) -> AsyncIterator[Result]:
    """Something open, `what`. It is opened and closed in one task of its own, and has `seconds` for closing.

    Raises what its opening and its closing raise. One that does not close in time costs a warning.
    """
    opened: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
    leave = asyncio.Event()

    async def live() -> None:
        async with component as entered:
            opened.set_result(entered)
            await leave.wait()

    task = asyncio.ensure_future(contained(live()))
    either: list[asyncio.Future[Any]] = [task, opened]
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        await end([task], f"the start of {what}", seconds)
        raise
    if not opened.done():
        opened.cancel()
        _result(task)
    try:
        yield opened.result()
    finally:
        leave.set()
        try:
            await asyncio.wait([task], timeout=seconds)
        finally:
            if not task.done():
                logger.warning("%s did not stop within %g s", what, seconds)
                await end([task], what)
        if task.done() and not task.cancelled():
            _result(task)
