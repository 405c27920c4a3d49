"""Threads for functions that block: a function that never returns holds up neither the others nor the exit."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeAlias

from gym_core.domain.blame import as_exception

Work: TypeAlias = "tuple[asyncio.Future[Any], Callable[[], Any]] | None"


class Threads:
    """Daemon threads, reused. `ThreadPoolExecutor` is not used: the interpreter waits for its threads at exit."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._numbers = itertools.count()
        self._idle: list[_Thread] = []

    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What the function returns or raises. When the wait for it is cancelled, its thread is left to itself."""
        future = asyncio.get_running_loop().create_future()
        thread = self._idle.pop() if self._idle else _Thread(f"{self._name}_{next(self._numbers)}")
        context = contextvars.copy_context()
        thread.work.put((future, lambda: context.run(function, *arguments)))
        try:
            return await future
        finally:
            if future.cancelled():
                thread.work.put(None)
            else:
                self._idle.append(thread)

    def close(self) -> None:
        """Let the idle threads end; one that still runs ends with the process."""
        for thread in self._idle:
            thread.work.put(None)
        self._idle.clear()


class _Thread:
    """One thread, which does what is put into `work` until that is None."""

    __slots__ = ("work",)

    def __init__(self, name: str) -> None:
        self.work: SimpleQueue[Work] = SimpleQueue()
        threading.Thread(target=_run, args=(self.work,), name=name, daemon=True).start()


def _run(queue: SimpleQueue[Work]) -> None:
    while (work := queue.get()) is not None:
        future, function = work
        result: Any = None
        error: BaseException | None = None
        try:
            result = function()
        except BaseException as raised:  # `sys.exit` in an author's function must not end the run
            error = as_exception(raised)
        with contextlib.suppress(RuntimeError):  # the event loop has been closed meanwhile
            future.get_loop().call_soon_threadsafe(_settle, future, result, error)
        del work, future, function, result, error


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
