"""The weights behind a model while somebody trains them: their version, and the pauses in which they are replaced."""

from __future__ import annotations

import asyncio

from gym_core.engine.bounds.alarms import Alarm, Scope
from gym_core.engine.model_calls.rate_limits import Limiter


class Weights:
    """What the gates of a model know of its weights.

    `version`: what has been announced, None before. While it is `paused` no attempt at a call begins; those under way
    go on (`drained` waits for them), or are broken off (`abort`) and tried again when it is over.
    """

    def __init__(self) -> None:
        self.version: str | None = None
        self.limiters: set[Limiter] = set()
        """Those of the endpoints that they are behind."""
        self.paused = 0
        self._under_way: set[Scope] = set()
        self._aborted: set[Scope] = set()
        self._resumed: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None

    def pause(self) -> None:
        """Let no attempt begin until as many `resume`."""
        self.paused += 1
        if self._resumed is None:
            self._resumed = asyncio.get_running_loop().create_future()

    def resume(self) -> None:
        """End a pause."""
        self.paused -= 1
        if not self.paused and self._resumed is not None:
            self._resumed.set_result(None)
            self._resumed = None

    async def resumed(self) -> None:
        """Wait until there is no pause."""
        # All who wait share one future: shielded, or one rollout that is cancelled would take it from the others. And
        # it is looked at again, since the next pause may have begun before whoever waits gets its turn.
        while self._resumed is not None:
            await asyncio.shield(self._resumed)

    async def drained(self) -> None:
        """Wait until no attempt is under way."""
        while self._under_way:
            if self._drained is None:
                self._drained = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drained)

    def abort(self) -> None:
        """Break all attempts off that are under way; their calls are tried again."""
        for scope in [*self._under_way]:
            self._aborted.add(scope)
            scope.ring()

    def asking(self) -> set[Alarm]:
        """Of which rollouts an attempt is under way, by their alarms."""
        return {scope.alarm for scope in self._under_way}

    # What gates say

    def begun(self, scope: Scope) -> str | None:
        """An attempt begins, which ends with `scope`; returns the version of the weights that answer it."""
        self._under_way.add(scope)
        return self.version

    def ended(self, scope: Scope) -> None:
        """It has ended."""
        self._under_way.discard(scope)
        self._aborted.discard(scope)
        if not self._under_way and self._drained is not None:
            self._drained.set_result(None)
            self._drained = None

    def was_aborted(self, scope: Scope) -> bool:
        """Whether an attempt that ends is broken off by `abort`."""
        return scope in self._aborted
