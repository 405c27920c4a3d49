"""An iterator that runs in a thread, for those who must not wait: it works a little ahead of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Generator, Iterable
from typing import Generic, Self, TypeVar

T = TypeVar("T")


async def inline(items: Iterable[T]) -> AsyncGenerator[T, None]:
    """The items of something that nobody waits for long: a thread would cost more."""
    for item in items:
        yield item


class Prefetch(Generic[T]):
    """The items of a generator, as an asynchronous iterator. At most `ahead` items wait to be taken.

    The thread starts with the first item asked for. It ends with the generator or with `close`, and never keeps the
    process alive: a generator that waits for standard input may wait for ever.
    """

    def __init__(self, items: Generator[T, None, None], ahead: int = 2) -> None:
        self._items = items
        self._room = threading.Semaphore(ahead)
        self._closed = False
        self._over = False
        self._queue: asyncio.Queue[tuple[T | None, BaseException | None]] = asyncio.Queue()
        self._thread: threading.Thread | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if self._over:
            raise StopAsyncIteration
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, args=(asyncio.get_running_loop(),), name="gym-read-input", daemon=True
            )
            self._thread.start()
        item, error = await self._queue.get()
        self._room.release()
        if item is not None:
            return item
        self._over = True
        raise error if error is not None else StopAsyncIteration

    def close(self, patience: float = 1.0) -> None:
        """End it, at most so many seconds from now where it is not waiting for input."""
        self._closed = self._over = True
        self._room.release()
        if self._thread is not None:
            self._thread.join(patience)
        else:
            self._items.close()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        error: BaseException | None = None
        try:
            for item in self._items:
                self._room.acquire()
                if self._closed or not self._put(loop, item, None):
                    return
        except BaseException as raised:  # whoever takes the next item meets it
            error = raised
        finally:
            self._items.close()
        self._put(loop, None, error)

    def _put(self, loop: asyncio.AbstractEventLoop, item: T | None, error: BaseException | None) -> bool:
        try:
            loop.call_soon_threadsafe(self._queue.put_nowait, (item, error))
        except RuntimeError:  # the loop is closed: nobody is waiting any more
            return False
        return True
