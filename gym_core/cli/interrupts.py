"""SIGINT and SIGTERM: the first one ends a command in good order, the second one at once."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from queue import SimpleQueue
from types import FrameType
from typing import Any, Self, TypeVar

from gym_core.cli.terminal import Terminal
from gym_core.domain.blame import Interrupted
from gym_core.engine.loops import run_loop

Result = TypeVar("Result")

SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143}
HELD_SECONDS = 1.0
"""So long after a signal it is said that nothing happens, because a function holds the event loop."""


class Interrupts:
    """What a command does about signals while its event loop runs.

    The handlers are the process's and not the event loop's, which runs none of its own while a function holds it.
    `stop`: what the first signal calls, in the event loop; None cancels the command. `words`: what it is told to do.
    `received`: the first signal.
    """

    def __init__(self, terminal: Terminal) -> None:
        self.stop: Callable[[signal.Signals], object] | None = None
        self.words = "ending"
        self.received: signal.Signals | None = None
        self._terminal = terminal
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[Any] | None = None
        self._earlier: dict[signal.Signals, Any] = {}
        self._arrived: SimpleQueue[signal.Signals | None] = SimpleQueue()
        self._answered = threading.Event()

    def run(self, main: Coroutine[Any, Any, Result]) -> Result:
        """Run a command in an event loop. Raises `Interrupted` where it was cancelled by a signal."""
        with self:
            try:
                return run_loop(self._attached(main))
            except asyncio.CancelledError:
                if self.received is None:
                    raise
                raise Interrupted(SIGNALS[self.received]) from None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._earlier = {number: signal.signal(number, self._handle) for number in SIGNALS}
        threading.Thread(target=self._say_if_held, name="gym-signals", daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)
        self._arrived.put(None)

    async def _attached(self, main: Coroutine[Any, Any, Result]) -> Result:
        self._loop, self._main = asyncio.get_running_loop(), asyncio.current_task()
        return await main

    def _handle(self, number: int, frame: FrameType | None) -> None:
        # Between any two steps of the main thread: nothing here may take a lock, or write through a buffer.
        if self.received is not None:
            os._exit(SIGNALS[signal.Signals(number)])
        self.received = signal.Signals(number)
        self._terminal.interrupted = True
        if self._loop is None or self._loop.is_closed():
            raise Interrupted(SIGNALS[self.received])
        self._arrived.put(self.received)
        self._loop.call_soon_threadsafe(self._first, self.received)

    def _first(self, number: signal.Signals) -> None:
        self._answered.set()
        if self.stop is not None:
            self.stop(number)
        elif self._main is not None:
            self._main.cancel()
        self._terminal.note(f"{number.name}: {self.words}; once more to stop at once")

    def _say_if_held(self) -> None:
        number = self._arrived.get()
        if number is not None and not self._answered.wait(HELD_SECONDS):
            held = "a function holds the event loop, and with it what is under way"
            self._terminal.note(f"{number.name}: {held}; once more to stop at once")
