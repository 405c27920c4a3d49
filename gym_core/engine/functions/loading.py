"""Code of other people's environments, loaded beside the event loop, in a bounded time."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from gym_core.domain.errors import UsageError
from gym_core.engine.functions.threads import Threads
from gym_core.wiring.foreign_code import whereabouts

ResultT = TypeVar("ResultT")

LOADING = 600.0
"""Seconds that loading an environment may take, where nobody says: some fetch their data then."""


def loading_option() -> Any:
    """The option `loading` of environments that load code of others: the `seconds` of `load_in_thread`."""
    from pydantic import Field

    return Field(default=LOADING, description="Seconds that loading it may take, with all that it fetches then.")


async def load_in_thread(
    name: object, function: Callable[..., ResultT], *arguments: Any, seconds: float = LOADING
) -> ResultT:
    """What a function that loads code gives, called in a thread: meanwhile the run can be ended, and goes on.

    `name`: as whoever asked for it would write it. Raises what the function raises, and `UsageError` where it takes
    longer than `seconds`; what it does then it does for nobody, since a thread cannot be ended.
    """
    loop, threads, begun = asyncio.get_running_loop(), Threads("gym-load"), list[int]()

    def work() -> ResultT:
        begun.append(threading.get_ident())
        asyncio.set_event_loop(loop)  # for what asks for one while it is made
        with _signals_left_alone():
            return function(*arguments)

    try:
        async with asyncio.timeout(seconds) as bound:
            loaded: ResultT = await threads.call(work)
            return loaded
    except TimeoutError:
        if not bound.expired():
            raise
        raise too_slow(name, seconds, begun[0] if begun else 0) from None
    finally:
        threads.close()


def too_slow(name: object, seconds: float, thread: int) -> UsageError:
    """What is said of code that did not load in time. `thread`: the identity of the one that loads it."""
    where = whereabouts(sys._current_frames().get(thread))
    return UsageError(
        f"{name} did not load within {seconds:g} s{f': it {where}' if where else ''}",
        hint="-E loading=SECONDS gives it longer",
    )


_set_handler = signal.signal
_changing = threading.Lock()
_under_way = 0
"""How many loads leave signals alone: the first puts the stand-in there, and the last takes it away."""


def _of_main_thread(number: Any, handler: Any) -> Any:
    return _set_handler(number, handler) if threading.current_thread() is threading.main_thread() else None


@contextmanager
def _signals_left_alone() -> Iterator[None]:
    """Handlers that the code sets are dropped: outside of the main thread Python would raise."""
    global _under_way
    with _changing:
        _under_way += 1
        signal.signal = _of_main_thread  # type: ignore[assignment]
    try:
        yield
    finally:
        with _changing:
            _under_way -= 1
            if not _under_way:
                signal.signal = _set_handler
