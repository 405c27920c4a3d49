"""The event loop that commands and workers go by."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

from gym_core.domain.abandoned import GRACE, abandon, contained, end
from gym_core.domain.blame import asked_to_end, described

logger = logging.getLogger("gym")
Result = TypeVar("Result")


def run_loop(main: Coroutine[Any, Any, Result]) -> Result:
    """Run the event loop, on uvloop where it is installed, until `main` has ended.

    Unlike `asyncio.run` it waits for nothing that ignores its cancellation, and survives `sys.exit` in a task that a
    plugin has started.
    """
    loop = _new_loop()
    task = loop.create_task(main)
    try:
        return _until_done(loop, task)
    finally:
        try:
            loop.run_until_complete(_wind_up(loop))
        finally:
            loop.close()


def in_own_loop(main: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine in an event loop of its own, in a thread where one runs in this thread, which waits for it."""
    if asyncio._get_running_loop() is None:  # a caught `RuntimeError` would stand among the causes of failures
        return run_loop(main)
    started: list[Callable[[], object]] = []

    async def known() -> Result:
        task = asyncio.ensure_future(main)
        started.append(partial(asyncio.get_running_loop().call_soon_threadsafe, task.cancel))
        return await task

    with ThreadPoolExecutor(1, "gym-run") as elsewhere:  # a thread has one loop at most
        running = elsewhere.submit(copy_context().run, run_loop, known())
        try:
            return running.result()
        except BaseException:  # somebody has had enough: the thread is left only when its loop has ended
            for cancel in started:
                with suppress(RuntimeError):  # it is closed
                    cancel()
            raise


SELDOM = 50_000, 20, 50
"""Thresholds of the garbage collector for processes in which rollouts are in flight."""
_usual: list[tuple[int, int, int]] = []
"""What they were before each of the blocks of `seldom_collected` that are open."""


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Look for cycles less often, until the last of such blocks is closed.

    Rows in flight are many and live long: looking through them as often as usual costs 5 % of the CPU, and holds the
    event loop for 150 ms at a time with 10,000 of them. Who has set higher thresholds, or none, keeps them.
    """
    before = gc.get_threshold()
    if 0 < before[0] < SELDOM[0]:
        gc.set_threshold(*SELDOM)
    _usual.append(before)
    try:
        yield
    finally:
        before = _usual.pop()  # whichever block this is: the first of them is the last to be taken out
        if not _usual and gc.get_threshold() == SELDOM:
            gc.set_threshold(*before)


def _new_loop() -> asyncio.AbstractEventLoop:
    if sys.platform != "win32":
        try:
            import uvloop
        except ImportError:
            pass
        else:
            loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
            return loop
    return asyncio.new_event_loop()


def _until_done(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Result]) -> Result:
    while True:
        try:
            return loop.run_until_complete(task)
        except (SystemExit, KeyboardInterrupt) as error:  # of whichever task
            if task.done():
                raise
            if asked_to_end(error):
                task.cancel()
                loop.run_until_complete(asyncio.wait([task]))
                raise
            logger.warning("a task that a plugin has started raised %s", described(error))


async def _wind_up(loop: asyncio.AbstractEventLoop) -> None:
    """End what is left, within a bound."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    if left:
        await end(left)
    for closing in (loop.shutdown_asyncgens(), loop.shutdown_default_executor()):
        ending = asyncio.ensure_future(contained(closing))
        await asyncio.wait([ending], timeout=GRACE)
        if not ending.done():  # not cancelled: it would join the threads that it waits for
            abandon(ending)
