"""Keeps a component's child running: a child that dies is replaced, a bounded number of times."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gym_core import GymError
from gym_core.spi import Redactor, described
from gym_http.protocol.errors import RemoteError
from gym_isolated.process import LINGER_SECONDS, USES_UNIX_SOCKETS, Child
from gym_isolated.records import Environment

logger = logging.getLogger("gym")

DEATHS = 5
"""How many children may die one soon after the other; the next one is not replaced."""
SOON_SECONDS = 60.0
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
GONE = "isolated_gone"
"""The code of the error for a child that is replaced no more."""
_SOCKET_PATH_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Order:
    """What a child is to serve. `request`: its options and its context, as the child reads them."""

    environment: Environment
    name: str
    request: dict[str, Any] = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"{self.environment.distribution}/{self.name}"


@dataclass(slots=True)
class Generation:
    """One child and the component that works through it."""

    child: Child
    component: Any
    stack: AsyncExitStack
    started: float = 0.0
    dead: asyncio.Event = field(default_factory=asyncio.Event)


class Supervisor:
    """An async context manager around the children of one component, one at a time.

    `connect(url, token)` makes the component that works through a child; it is opened and closed with it. Entering
    raises `UsageError` and `PluginError` as the component's own opening would.
    """

    def __init__(self, order: Order, connect: Callable[[str, str], Any]) -> None:
        self.order = order
        self._connect = connect
        self._folder: Path | None = None
        self._count = 0
        self._deaths = 0
        self._retired: Generation | None = None
        self._ready: asyncio.Future[Generation] | None = None
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Supervisor:
        if USES_UNIX_SOCKETS:
            self._folder = _socket_folder()
        try:
            first = await self._start()
        except BaseException:
            self._remove_folder()
            raise
        self._ready = asyncio.get_running_loop().create_future()
        self._ready.set_result(first)
        self._watching = asyncio.create_task(self._watch(first))
        return self

    async def __aexit__(self, *cause: object) -> None:
        assert self._watching is not None
        assert self._ready is not None
        self._watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._watching
        try:
            if self._ready.done() and not self._ready.cancelled() and self._ready.exception() is None:
                await self._end(self._ready.result())
            if self._retired is not None:
                await self._end(self._retired)
        finally:
            self._remove_folder()

    @property
    def latest(self) -> Generation | None:
        """The child that serves, or the one that did until just now."""
        if self._ready is None or not self._ready.done() or self._ready.exception() is not None:
            return self._retired
        return self._ready.result()

    async def current(self) -> Generation:
        """The child that serves, once there is one. Raises `RemoteError` when none will be started any more."""
        if self._ready is None:
            raise RemoteError(f"{self.order.label} is not open", code=GONE)
        return await asyncio.shield(self._ready)

    async def _start(self) -> Generation:
        order = self.order
        self._count += 1
        token = secrets.token_urlsafe(24)
        listen: dict[str, Any] = {"host": "127.0.0.1"}
        if self._folder is not None:
            listen = {"uds": str(self._folder / str(self._count))}
        child = Child(order.environment, Redactor(order.secrets))
        stack = AsyncExitStack()
        try:
            await child.start({"do": "serve", **order.request, "token": token, "linger": LINGER_SECONDS, **listen})
            stack.push_async_callback(child.stop)
            child.tail.hide(*child.answer["secrets"])
            component = await stack.enter_async_context(self._connect(child.answer["url"], token))
        except BaseException:
            await stack.aclose()
            raise
        return Generation(child, component, stack, asyncio.get_running_loop().time())

    async def _watch(self, serving: Generation) -> None:
        """Replace the child whenever it has died."""
        loop = asyncio.get_running_loop()
        while True:
            ended = await serving.child.wait()
            waiting: asyncio.Future[Generation] = loop.create_future()
            self._ready = waiting
            serving.dead.set()
            self._deaths = 1 if loop.time() - serving.started > SOON_SECONDS else self._deaths + 1
            said = serving.child.tail.text()
            died = f"the isolated environment of {self.order.label} died ({ended})" + (f": {said}" if said else "")
            await self._retire(serving)
            replaced = await self._replace(died)
            if isinstance(replaced, RemoteError):
                logger.error("%s", replaced.message)
                waiting.set_exception(replaced)
                waiting.exception()  # whether or not anybody asks for it
                return
            serving = replaced
            waiting.set_result(serving)

    async def _replace(self, died: str) -> Generation | RemoteError:
        while self._deaths <= DEATHS:
            logger.warning("%s; it is started again", died)
            await asyncio.sleep(0 if self._deaths == 1 else min(FIRST_PAUSE * 2**self._deaths, LONGEST_PAUSE))
            try:
                return await self._start()
            except Exception as error:
                died = error.message if isinstance(error, GymError) else described(error)
                self._deaths += 1
        return RemoteError(
            f"{died}; after {DEATHS} replacements it is not started any more",
            hint="the log of the run has what it wrote",
            code=GONE,
        )

    async def _retire(self, dead: Generation) -> None:
        """Keep the dead one's client until the next death: rollouts may still be hearing from it that it is gone."""
        if self._retired is not None:
            await self._end(self._retired)
        self._retired = dead

    async def _end(self, generation: Generation) -> None:
        try:
            await generation.stack.aclose()
        except Exception as error:
            logger.warning("%s could not be closed: %s", self.order.label, described(error))

    def _remove_folder(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _socket_folder() -> Path:
    """A folder for sockets that only this user can enter; a socket's path must not be long (unix(7))."""
    folder = tempfile.mkdtemp(prefix="gym-")
    if len(folder) > _SOCKET_PATH_LIMIT and os.path.isdir("/tmp"):
        os.rmdir(folder)
        folder = tempfile.mkdtemp(prefix="gym-", dir="/tmp")
    return Path(folder)
