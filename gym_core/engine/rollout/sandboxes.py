"""The sandboxes of one session: opened when it asks, closed with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from gym_core.contract.sandbox import Sandbox, SandboxProvider, SandboxSpec
from gym_core.domain.abandoned import end, lifespan
from gym_core.domain.blame import described
from gym_core.domain.errors import SandboxError

logger = logging.getLogger("gym")


class Sandboxes(Mapping[str, Sandbox]):
    """The open sandboxes of a session by role.

    `seconds`: how long each may take to close; `allow` is told that where a rollout that is to end waits for it.

    Each lives in a task of its own: clients of containers want to be left where they were entered, and a rollout that
    is given up while one opens need not wait for it.
    """

    def __init__(self, provider: SandboxProvider | None, seconds: float, allow: Callable[[float], None]) -> None:
        self._provider = provider
        self._seconds = seconds
        self._allow = allow
        self._lives: dict[str, AbstractAsyncContextManager[Sandbox]] = {}
        self._open: dict[str, Sandbox] = {}
        self._closed = False

    def __getitem__(self, role: str) -> Sandbox:
        return self._open[role]

    def __iter__(self) -> Iterator[str]:
        return iter(self._open)

    def __len__(self) -> int:
        return len(self._open)

    async def open(self, spec: SandboxSpec, role: str) -> Sandbox:
        """Open one. Raises `SandboxError`."""
        if self._provider is None:
            raise SandboxError(f"the session asks for the sandbox `{role}`, and there is none", hint="--sandbox REF")
        if self._closed:
            raise SandboxError(f"the session asks for the sandbox `{role}`, and is closed")
        if role in self._lives:
            raise SandboxError(f"the session has a sandbox `{role}` already", hint="open_sandbox(spec, role=...)")
        life = self._lives[role] = lifespan(self._provider.open(spec), self._seconds, f"the sandbox `{role}`")
        try:
            sandbox = await self._entered(role, life)
        except Exception as error:
            if isinstance(error, SandboxError):
                raise
            raise SandboxError(f"the sandbox `{role}` could not be opened: {described(error)}") from error
        finally:
            del self._lives[role]
        if self._closed:  # meanwhile: the rollout was given up
            await _leave(role, life)
            raise SandboxError(f"the sandbox `{role}` was opened for a session that is closed")
        self._lives[role] = life
        self._open[role] = sandbox
        return sandbox

    async def _entered(self, role: str, life: AbstractAsyncContextManager[Sandbox]) -> Sandbox:
        """What is open once it has been entered. Where that is cancelled, there is time to take back what was begun."""
        entering = asyncio.ensure_future(life.__aenter__())
        try:
            await asyncio.wait([entering])
        except asyncio.CancelledError:
            self._allow(self._seconds)
            await end([entering], f"the start of the sandbox `{role}`", self._seconds)
            if entering.done() and not entering.cancelled() and entering.exception() is None:  # at the last moment
                await _leave(role, life)
            raise
        return entering.result()

    async def close(self) -> None:
        """Close all that are open, at once. One that fails to close costs a warning."""
        self._closed = True
        lives = {role: self._lives[role] for role in self._open}
        self._open.clear()
        await asyncio.gather(*(_leave(role, life) for role, life in lives.items()))


async def _leave(role: str, life: AbstractAsyncContextManager[Any]) -> None:
    try:
        await life.__aexit__(None, None, None)
    except Exception as error:
        logger.warning("the sandbox `%s` failed to close: %s", role, described(error))
