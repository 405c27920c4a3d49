"""Keeps a component's child running at one address: a child that dies is replaced, a bounded number of times."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gym_core.spi import Redactor, message_of
from gym_http.protocol.errors import RemoteError
from gym_isolated.process import IsolatedChild
from gym_isolated.records import Environment

logger = logging.getLogger("gym")

DEATHS = 5
"""How many children may die one soon after the other; the next one is not replaced."""
SOON_SECONDS = 60.0
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
START_SECONDS = 600.0
"""How long a component may take to open in its child."""
LINGER_SECONDS = 10.0
"""How long a child that is to end may take to close its component."""
STOP_SECONDS = 5.0
"""How long after that it is killed from here."""
GONE = "isolated_gone"
"""The code of the error for a child that is replaced no more."""
USES_UNIX_SOCKETS = sys.platform != "win32"
"""Whether asyncio has them here; else a child listens on loopback."""
_SOCKET_PATH_LIMIT = 100


class Supervisor:
    """An async context manager around the children of one component, one at a time.

    `request`: what each is to serve. `url` and `token`: where it does, all the time. `found`: secrets that the
    component has found. Entering raises `UsageError` and `PluginError` as the component's own opening would.
    """

    def __init__(self, environment: Environment, name: str, request: Mapping[str, Any], hidden: Sequence[str]) -> None:
        self.label = f"{environment.distribution}/{name}"
        self.url = ""
        self.token = secrets.token_urlsafe(24)
        self.found: tuple[str, ...] = ()
        self._environment = environment
        self._request = {**request, "token": self.token}
        self._hidden = hidden
        self._address: dict[str, Any] = {}
        self._child: IsolatedChild
        self._started = 0.0
        self._deaths = 0
        self._ready: asyncio.Future[None]
        self._watching: asyncio.Task[None]

    async def __aenter__(self) -> Supervisor:
        loop = asyncio.get_running_loop()
        self._address = {"uds": str(_socket_folder() / "s")} if USES_UNIX_SOCKETS else {"host": "127.0.0.1", "port": 0}
        try:
            await self._start()
        except BaseException:
            self._remove_folder()
            raise
        self._ready = loop.create_future()
        self._ready.set_result(None)
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *cause: object) -> None:
        self._watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._watching
        try:
            if await asyncio.to_thread(self._child.close, LINGER_SECONDS + STOP_SECONDS):
                logger.warning("%s: its isolated environment did not end and was killed", self.label)
        finally:
            self._remove_folder()

    async def ready(self) -> None:
        """Wait until a child serves. Raises `RemoteError` where none will be started any more."""
        if not self._ready.done() or self._ready.exception() is not None:
            await asyncio.shield(self._ready)

    async def _start(self) -> None:
        redactor = Redactor(self._hidden)
        child = IsolatedChild(self._environment, "serve", redactor, grace=LINGER_SECONDS, logs=True)
        try:
            request = {**self._request, "address": self._address}
            answer = await asyncio.to_thread(child.answer, request, START_SECONDS)
        except BaseException:
            child.kill()
            await asyncio.to_thread(child.close)
            raise
        redactor.add(*answer["secrets"])
        self.found, self.url = tuple(answer["secrets"]), answer["url"]
        if "port" in self._address:  # a replacement is found where the first one was
            self._address["port"] = int(self.url.rpartition(":")[2])
        self._child, self._started = child, asyncio.get_running_loop().time()

    async def _watch(self) -> None:
        """Replace the child whenever it has died."""
        loop = asyncio.get_running_loop()
        while True:
            ended = await self._child.ended()
            self._ready = ready = loop.create_future()
            self._deaths = 1 if loop.time() - self._started > SOON_SECONDS else self._deaths + 1
            await asyncio.to_thread(self._child.close)
            said = await asyncio.to_thread(self._child.said)
            error = await self._replace(f"the isolated environment of {self.label} died ({ended}){said}")
            if error is not None:
                logger.error("%s", error.message)
                ready.set_exception(error)
                ready.exception()  # whether or not anybody asks for it
                return
            ready.set_result(None)

    async def _replace(self, died: str) -> RemoteError | None:
        while self._deaths <= DEATHS:
            logger.warning("%s; it is started again", died)
            await asyncio.sleep(0 if self._deaths == 1 else min(FIRST_PAUSE * 2**self._deaths, LONGEST_PAUSE))
            try:
                await self._start()
                return None
            except Exception as error:
                died = message_of(error)
                self._deaths += 1
        return RemoteError(
            f"{died}; after {DEATHS} replacements it is not started any more",
            hint="the log of the run has what it wrote",
            code=GONE,
        )

    def _remove_folder(self) -> None:
        if "uds" in self._address:
            shutil.rmtree(os.path.dirname(self._address["uds"]), ignore_errors=True)


def _socket_folder() -> Path:
    """A folder for sockets that only this user can enter; a socket's path must not be long (unix(7))."""
    folder = tempfile.mkdtemp(prefix="gym-")
    if len(folder) > _SOCKET_PATH_LIMIT and os.path.isdir("/tmp"):
        os.rmdir(folder)
        folder = tempfile.mkdtemp(prefix="gym-", dir="/tmp")
    return Path(folder)
