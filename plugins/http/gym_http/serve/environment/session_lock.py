"""Who may work with a session at the same time: one call after the other, or several tool calls at once."""

from __future__ import annotations

import asyncio
from collections import deque


class SessionLock:
    """Lets calls into a session in the order they came. A call that is `alone` waits until no other runs.

    It holds a queue only while somebody waits: there is one of these for each of thousands of sessions.
    """

    __slots__ = ("_alone", "_inside", "_waiting")

    def __init__(self) -> None:
        self._inside = 0
        self._alone = False
        self._waiting: deque[tuple[asyncio.Future[None], bool]] | None = None

    def try_enter(self, alone: bool) -> bool:
        """Enter if that needs no waiting."""
        if self._waiting or (self._inside and (alone or self._alone)):
            return False
        self._inside += 1
        self._alone = alone
        return True

    async def enter(self, alone: bool) -> None:
        """Wait for a place. Raises what `shut` is given."""
        if self.try_enter(alone):
            return
        if self._waiting is None:
            self._waiting = deque()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = (turn, alone)
        self._waiting.append(place)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave()  # the turn came at the same moment
            elif self._waiting is not None and place in self._waiting:
                self._waiting.remove(place)
                self._admit()
            raise

    def leave(self) -> None:
        """Give the place to whoever waits."""
        self._inside -= 1
        if self._waiting:
            self._admit()

    def _admit(self) -> None:
        while self._waiting:
            turn, alone = self._waiting[0]
            if self._inside and (alone or self._alone):
                return
            self._waiting.popleft()
            if turn.done():
                continue
            self._inside += 1
            self._alone = alone
            turn.set_result(None)
        self._waiting = None

    def shut(self, error: Exception) -> None:
        """Send everybody away who waits."""
        waiting, self._waiting = self._waiting, None
        for turn, _ in waiting or ():
            if not turn.done():
                turn.set_exception(error)
