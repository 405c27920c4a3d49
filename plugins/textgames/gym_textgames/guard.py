"""A library's code, one call at a time: in a thread, with the random state of its own game, and without a terminal.

The libraries draw from the generators that Python and NumPy have for the whole process, and print. Games that are
played at once would draw from each other, so each has its state put in place while its code runs.

One thread makes all calls, in the order in which they were asked for: handing one over costs less than a thread of its
own, and none wait for each other's turn. A thread cannot be ended. A call that hangs, for which nobody waits any more,
loses its turn: another thread goes on with the others, and whatever it does later no longer puts states back.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Any, TypeVar

from gym_textgames.numpy_state import numpy_random

ResultT = TypeVar("ResultT")

HANGING = 5.0
"""Seconds for which a call may go on that nobody waits for, before the others do."""

_turn = threading.Lock()
"""Whoever holds it runs; it is replaced where its holder hangs."""
_replacing = threading.Lock()


def _take_turn() -> threading.Lock:
    """Wait until no other call runs but those that were left behind."""
    while True:
        turn = _turn
        if turn.acquire(timeout=HANGING / 4):
            if turn is _turn:
                return turn
            turn.release()  # it was replaced meanwhile


class _Call:
    """One call for which somebody waits. `work`: makes it and says what came of it."""

    __slots__ = ("begun", "given_up", "work")

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work
        self.begun = self.given_up = False

    def give_up(self) -> None:
        """Nobody waits for it any more: it is not begun, or left behind where it goes on."""
        self.given_up = True
        if self.begun:
            timer = threading.Timer(HANGING, _leave_behind, [self])
            timer.daemon = True
            timer.start()


class _Worker:
    """The thread that makes the calls. `current`: the one that it makes. `left`: another thread makes the others."""

    def __init__(self, waiting: SimpleQueue[_Call]) -> None:
        self.waiting = waiting
        self.current: _Call | None = None
        self.left = False
        self.thread = threading.Thread(target=self._work, name="gym-textgames", daemon=True)
        self.thread.start()

    def _work(self) -> None:
        while not self.left:
            call = self.current = self.waiting.get()
            call.begun = True
            if not call.given_up:
                call.work()
            self.current = None


_worker: _Worker | None = None


def _forget() -> None:
    """Begin anew: no thread of the parent is in a process that was forked."""
    global _worker, _turn, _replacing
    _worker, _turn, _replacing = None, threading.Lock(), threading.Lock()


os.register_at_fork(after_in_child=_forget)


def working_thread() -> int:
    """The identity of the thread that makes the calls; 0 before there is one."""
    return 0 if _worker is None else _worker.thread.ident or 0


def _hand_over(call: _Call) -> None:
    global _worker
    with _replacing:
        worker = _worker = _worker or _Worker(SimpleQueue())
    worker.waiting.put(call)


def _leave_behind(call: _Call) -> None:
    """Let another thread go on with the calls that wait behind one that hangs."""
    global _worker, _turn
    with _replacing:
        if _worker is not None and _worker.current is call:
            logging.getLogger("gym").warning("a game hangs, and is left behind; the others go on without it")
            _worker.left, _turn = True, threading.Lock()
            _worker = _Worker(_worker.waiting)


class RandomState:
    """The state of the process's generators as one game sees it, begun by a seed."""

    def __init__(self, seed: int) -> None:
        self._own: tuple[Any, Any] | None = None
        self._seed = seed

    @contextmanager
    def in_place(self, turn: threading.Lock) -> Iterator[None]:
        """Put the state in place, and afterwards the one that was there, unless the turn was lost."""
        numpy = numpy_random()
        others = _states(numpy)
        if self._own is None:
            random.seed(self._seed)
            if numpy is not None:
                numpy.seed(self._seed % 2**32)
        else:
            _restore(self._own, numpy)
        try:
            yield
        finally:
            if turn is _turn:
                self._own = _states(numpy_random())
                _restore(others, numpy)


def _states(numpy: Any) -> tuple[Any, Any]:
    return random.getstate(), None if numpy is None else numpy.get_state()


def _restore(states: tuple[Any, Any], numpy: Any) -> None:
    random.setstate(states[0])
    if numpy is not None and states[1] is not None:
        numpy.set_state(states[1])


class _Muted(threading.local):
    on = False


_muted = _Muted()


class _Stream:
    """A stream that drops what a muted thread writes, and is the one that was there in all else."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write the text, or drop it."""
        return len(text) if _muted.on else int(self._stream.write(text) or 0)


def heed_muted() -> None:
    """Have the standard streams heed muted threads. Stays so: a stream put back later could be one that was closed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, _Stream):
            setattr(sys, name, _Stream(stream))


@contextmanager
def _logging_kept(turn: threading.Lock) -> Iterator[None]:
    """Undo what a library does to everybody's logging, such as to have all of it printed."""
    handlers, level = list(logging.root.handlers), logging.root.level
    try:
        yield
    finally:
        if turn is _turn:
            logging.root.handlers[:] = handlers
            if logging.root.level != level:
                logging.root.setLevel(level)


def guarded(state: RandomState, function: Callable[..., ResultT], *arguments: Any) -> ResultT:
    """Call a function of a library here, alone. `SystemExit` of its becomes a `RuntimeError`."""
    turn = _take_turn()
    try:
        with state.in_place(turn), _logging_kept(turn):
            _muted.on = True
            try:
                return function(*arguments)
            except SystemExit as error:
                raise RuntimeError(f"it called sys.exit({error.code!r})") from None
            finally:
                _muted.on = False
    finally:
        turn.release()


async def in_thread(state: RandomState, function: Callable[..., ResultT], *arguments: Any) -> ResultT:
    """`guarded` in another thread, which neither holds the event loop nor, where it hangs, the process's end."""
    heed_muted()
    loop = asyncio.get_running_loop()
    waiting: asyncio.Future[ResultT] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if not waiting.done():
            waiting.set_result(result) if error is None else waiting.set_exception(error)

    def work() -> None:
        result, failure = None, None
        try:
            result = guarded(state, function, *arguments)
        except BaseException as error:
            # A future takes no StopIteration.
            failure = RuntimeError(f"it raised {error!r}") if isinstance(error, StopIteration) else error
        with suppress(RuntimeError):  # nobody waits any more, and the loop is closed
            loop.call_soon_threadsafe(settle, result, failure)

    call = _Call(work)
    _hand_over(call)
    try:
        return await waiting
    except asyncio.CancelledError:
        call.give_up()
        raise
