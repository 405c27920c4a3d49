"""Runners by their options: opened once for all tasks that ask for the same, and closed when nobody has for long."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from gym_core import Runner, UsageError, encode_json
from gym_http.protocol.errors import ServeError

logger = logging.getLogger("gym")

OpenRunner: TypeAlias = Callable[[Mapping[str, Any]], AbstractAsyncContextManager[Runner]]
_KEPT = 16
"""So many stay open besides those that are at work."""


@dataclass(slots=True, eq=False)
class _Kept:
    """A runner that is open, or about to be. `users`: how many tasks it works on."""

    opened: asyncio.Future[Runner]
    unwanted: asyncio.Event = field(default_factory=asyncio.Event)
    users: int = 0


class KeptRunners:
    """An async context manager: what is open at its end is closed. `open_runner`: one with other options.

    Each is opened and closed in one task of its own, since what it holds may be bound to the task that has opened it (a
    task group, a cancel scope): the task of a request may be cancelled meanwhile, and is over long before the runner.
    """

    def __init__(self, open_runner: OpenRunner) -> None:
        self._open_runner = open_runner
        self._kept: dict[bytes, _Kept] = {}  # the last one is the one used last
        self._keepers: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> KeptRunners:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for kept in self._kept.values():
            kept.unwanted.set()
        await asyncio.gather(*self._keepers)

    @asynccontextmanager
    async def using(self, options: Mapping[str, Any]) -> AsyncIterator[Runner]:
        """The runner that has these options. Raises what opening it raises: the next task that asks tries again.

        Options that mean nothing are a `ServeError`.
        """
        key = encode_json(options)
        kept = self._kept.pop(key, None) or self._begin(key, options)
        self._kept[key] = kept
        kept.users += 1
        self._make_room()
        try:
            yield await asyncio.shield(kept.opened)
        finally:
            kept.users -= 1

    def _make_room(self) -> None:
        idle = [key for key, kept in self._kept.items() if not kept.users]
        for key in idle[: max(0, len(self._kept) - _KEPT)]:
            self._kept.pop(key).unwanted.set()

    def _begin(self, key: bytes, options: Mapping[str, Any]) -> _Kept:
        kept = _Kept(asyncio.get_running_loop().create_future())
        keeper = asyncio.create_task(self._keep(key, options, kept))
        self._keepers.add(keeper)
        keeper.add_done_callback(self._keepers.discard)
        return kept

    async def _keep(self, key: bytes, options: Mapping[str, Any], kept: _Kept) -> None:
        try:
            async with self._open_runner(options) as runner:
                kept.opened.set_result(runner)
                await kept.unwanted.wait()
        except Exception as error:
            if kept.opened.done():
                logger.warning("a runner was not closed properly: %s", error)
            else:
                kept.opened.set_exception(_refusal(error) if isinstance(error, UsageError) else error)
                kept.opened.exception()  # whoever asked may be gone: nobody has to hear of it
        finally:
            kept.opened.cancel()
            if self._kept.get(key) is kept:
                del self._kept[key]


def _refusal(error: UsageError) -> ServeError:
    return ServeError(422, error.message, field="options", hint=error.hint)
