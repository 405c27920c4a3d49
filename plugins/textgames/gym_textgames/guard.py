"""A library's code, one call at a time: in a thread, with the random state of its own game, and without a terminal.

The libraries draw from the generators that Python and NumPy have for the whole process, and print. Games that are
played at once would draw from each other, so each has its state put in place while its code runs.

A thread cannot be ended. A call that hangs, for which nobody waits any more, loses its turn: the others go on, and
whatever it does later no longer puts states back.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")

HANGING = 5.0
"""Seconds for which a call may go on that nobody waits for, before the others do."""


class _Turn:
    """Whoever holds its lock runs. `left`: when its holder was given up by who had waited for it, 0.0 while not."""

    __slots__ = ("left", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.left = 0.0

    @property
    def hangs(self) -> bool:
        return self.left > 0.0 and time.monotonic() - self.left > HANGING


_turn = _Turn()
_turns = threading.Lock()
"""Held while `_turn` is replaced."""


class _Call:
    """One call. `turn`: the one that it has, while it runs."""

    __slots__ = ("given_up", "turn")

    def __init__(self) -> None:
        self.turn: _Turn | None = None
        self.given_up = False

    def give_up(self) -> None:
        """Nobody waits for it any more."""
        self.given_up = True
        if (turn := self.turn) is not None:
            turn.left = time.monotonic()

    @contextmanager
    def in_turn(self) -> Iterator[_Turn]:
        """Wait until no other call runs but those that hang."""
        self.turn = turn = _take_turn()
        if self.given_up:
            turn.left = time.monotonic()
        try:
            yield turn
        finally:
            self.turn, turn.left = None, 0.0
            turn.lock.release()


def _take_turn() -> _Turn:
    global _turn
    while True:
        turn = _turn
        if turn.lock.acquire(timeout=HANGING / 4):
            if turn is _turn:
                return turn
            turn.lock.release()  # it was replaced meanwhile
        with _turns:
            if turn is _turn and turn.hangs:
                logging.getLogger("gym").warning("a game hangs, and is left behind; the others go on without it")
                _turn = _Turn()


class RandomState:
    """The state of the process's generators as one game sees it, begun by a seed."""

    def __init__(self, seed: int) -> None:
        self._own: tuple[Any, Any] | None = None
        self._seed = seed

    @contextmanager
    def in_place(self, turn: _Turn) -> Iterator[None]:
        """Put the state in place, and afterwards the one that was there, unless the turn was lost."""
        numpy_random = _numpy_random()
        others = _states(numpy_random)
        if self._own is None:
            random.seed(self._seed)
            if numpy_random is not None:
                numpy_random.seed(self._seed % 2**32)
        else:
            _restore(self._own, numpy_random)
        try:
            yield
        finally:
            if turn is _turn:
                self._own = _states(_numpy_random())
                _restore(others, numpy_random)


def _numpy_random() -> Any:
    numpy = sys.modules.get("numpy")
    return getattr(numpy, "random", None)


def _states(numpy_random: Any) -> tuple[Any, Any]:
    return random.getstate(), None if numpy_random is None else numpy_random.get_state()


def _restore(states: tuple[Any, Any], numpy_random: Any) -> None:
    random.setstate(states[0])
    if numpy_random is not None and states[1] is not None:
        numpy_random.set_state(states[1])


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
def _logging_kept(turn: _Turn) -> Iterator[None]:
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
    return _guarded(_Call(), state, function, *arguments)


def _guarded(call: _Call, state: RandomState, function: Callable[..., ResultT], *arguments: Any) -> ResultT:
    with call.in_turn() as turn, state.in_place(turn), _logging_kept(turn):
        _muted.on = True
        try:
            return function(*arguments)
        except SystemExit as error:
            raise RuntimeError(f"it called sys.exit({error.code!r})") from None
        finally:
            _muted.on = False


async def in_thread(state: RandomState, function: Callable[..., ResultT], *arguments: Any) -> ResultT:
    """`guarded` in a thread of its own, which neither holds the event loop nor, where it hangs, the process's end."""
    heed_muted()
    loop = asyncio.get_running_loop()
    waiting: asyncio.Future[ResultT] = loop.create_future()
    call = _Call()

    def settle(result: Any, error: BaseException | None) -> None:
        if not waiting.done():
            waiting.set_result(result) if error is None else waiting.set_exception(error)

    def work() -> None:
        result, failure = None, None
        try:
            result = _guarded(call, state, function, *arguments)
        except BaseException as error:
            # A future takes no StopIteration.
            failure = RuntimeError(f"it raised {error!r}") if isinstance(error, StopIteration) else error
        with suppress(RuntimeError):  # nobody waits any more, and the loop is closed
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=work, name="gym-textgames", daemon=True).start()
    try:
        return await waiting
    except asyncio.CancelledError:
        call.give_up()
        raise
