"""`gym serve` as a process of its own, on a port."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.forks import KILL, gym_program


class Process:
    """A server that can be killed and started again on the same port. `log`: where its standard error goes."""

    def __init__(self, *arguments: str, log: Path, **variables: str) -> None:
        self.url = ""
        self._arguments = arguments
        self._log = log
        self._environ = {**os.environ, **variables}
        self._port = "0"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and wait until it takes requests."""
        command = [str(gym_program()), "serve", "--port", self._port, *self._arguments]
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.PIPE, stderr=log, env=self._environ
            )
        assert self._process.stdout is not None
        line = (await self._process.stdout.readline()).decode()
        assert "http://" in line, self._log.read_text(encoding="utf-8")
        self.url = line.split()[-1]
        self._port = self.url.rpartition(":")[2]

    async def end(self) -> tuple[int, str]:
        """Ask it to end; how it did, and what else it printed."""
        assert self._process is not None
        self._process.terminate()
        return await self.ended()

    async def ended(self) -> tuple[int, str]:
        """Wait for its end."""
        assert self._process is not None
        process, self._process = self._process, None
        out, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode()

    def signal(self, number: int) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def line(self) -> str:
        """The next line that it prints."""
        assert self._process is not None
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode().strip()

    async def kill(self) -> None:
        """End it as a crash does."""
        if self._process is not None:
            process, self._process = self._process, None
            process.send_signal(KILL)
            await process.communicate()


@asynccontextmanager
async def process(*arguments: str, log: Path, **variables: str) -> AsyncIterator[Process]:
    """A started server."""
    made = Process(*arguments, log=log, **variables)
    try:
        await made.start()
        yield made
    finally:
        await made.kill()
