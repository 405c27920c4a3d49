"""What a suite puts around the components it looks at, to see what they do."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

from gym_core import (
    CallContext,
    ModelBackend,
    Request,
    Response,
)
from gym_testing.models import ScriptedModel

Key = tuple[str, int]
MEETING = 5.0
"""Seconds after which a rollout no longer waits for the others."""


class Cast(ModelBackend):
    """A model with a part for each rollout. `meeting`: where they wait for each other before every turn."""

    def __init__(self, parts: Mapping[Key, ScriptedModel], meeting: Meeting | None = None) -> None:
        super().__init__()
        self.parts = parts
        self.meeting = meeting

    async def respond(self, request: Request, context: CallContext) -> Response:
        """The next turn of the rollout's own part."""
        if self.meeting is not None:
            await self.meeting.arrive(context.key)
        return await self.parts[context.key].respond(request, context)


class Meeting:
    """Keeps rollouts in step: none asks its model again before all others have asked as often, or are over."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._turns = dict.fromkeys(keys, 0)
        self._over: set[Key] = set()
        self._changed = asyncio.Condition()

    async def arrive(self, key: Key) -> None:
        """Wait for the others, but not for ever: an environment may well open one session at a time."""
        async with self._changed:
            self._turns[key] += 1
            self._changed.notify_all()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait_for(lambda: self._complete(self._turns[key])), MEETING)

    async def leave(self, key: Key) -> None:
        """Nobody waits for this one any more."""
        async with self._changed:
            self._over.add(key)
            self._changed.notify_all()

    def _complete(self, turns: int) -> bool:
        return all(count >= turns or key in self._over for key, count in self._turns.items())
