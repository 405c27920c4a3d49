"""What a gateway offers for as long as a rollout runs, and not a moment longer."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from gym_http.protocol.errors import ServeError
from gym_http.serve.auth import same

REMEMBERED = 64
"""So many of the latest errors can be told again when they are passed on."""


class Offer:
    """One entry of a gateway. `id`: its part of the URLs, which opens nothing without the `token`."""

    def __init__(self) -> None:
        self._errors: dict[str, BaseException] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._idle = asyncio.Event()
        self.over = False
        self.used = False
        """Whether anything was ever asked of it."""
        self.id = secrets.token_urlsafe(16)
        self.token = secrets.token_urlsafe(32)

    def admits(self, token: str) -> bool:
        """Whether a token opens it. Takes as long for a wrong token as for the right one."""
        return same(token, self.token)

    def remember(self, error: BaseException) -> str:
        """A word for an error that the other end is told of, by which it is known again when it is passed on."""
        word = secrets.token_urlsafe(6)
        self._errors[word] = error
        if len(self._errors) > REMEMBERED:
            del self._errors[next(iter(self._errors))]
        return word

    def recall(self, body: Any) -> BaseException | None:
        """The error that an answer of the other end passes on; None where it is its own."""
        described = body.get("error") if isinstance(body, Mapping) else None
        word = described.get("ref") if isinstance(described, Mapping) else None
        return self._errors.get(word) if isinstance(word, str) else None

    @contextmanager
    def working(self) -> Iterator[None]:
        """Work for whoever asked, which the end of the rollout cancels. Raises `ServeError` (410) after it."""
        if self.over:
            raise gone()
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.used = True
        try:
            yield
        except asyncio.CancelledError:
            if self.over and task.uncancel() == 0:
                raise gone() from None
            raise
        finally:
            self._tasks.discard(task)
            if self.over and not self._tasks:
                self._idle.set()

    async def close(self) -> None:
        """End it: nothing more comes in, what is under way is cancelled, and has ended when this returns."""
        self.over = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await self._idle.wait()


def gone() -> ServeError:
    """What somebody is told whose rollout is over."""
    return ServeError(410, "this rollout is over")
