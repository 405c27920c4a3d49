"""A provider of sandboxes that keeps files in memory, and notes what is opened and closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from pydantic import Field

from gym_core import ExecResult, Options, Sandbox, SandboxProvider, SandboxSpec
from gym_core.errors import SandboxError


class MemoryOptions(Options):
    """`opening`, `closing`: seconds that each takes; below 0 it raises."""

    opening: float = Field(default=0.0, description="Seconds to open.")
    closing: float = Field(default=0.0, description="Seconds to close.")


class MemorySandbox:
    """Its one command is `cat FILE`."""

    workdir = "/memory"

    def __init__(self, spec: SandboxSpec) -> None:
        self.spec = spec
        self.files: dict[str, bytes] = {}

    async def exec(
        self,
        command: str | Sequence[str],
        *,
        input: str | bytes = b"",
        timeout: float | None = None,
        limit: int | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str = "",
        user: str = "",
    ) -> ExecResult:
        words = command.split() if isinstance(command, str) else command
        return ExecResult(0, (await self.read(words[-1])).decode())

    async def read(self, path: str) -> bytes:
        if path not in self.files:
            raise FileNotFoundError(path)
        return self.files[path]

    async def write(self, path: str, content: str | bytes) -> None:
        self.files[path] = content.encode() if isinstance(content, str) else content

    async def upload(self, source: str | Path, path: str) -> None:
        raise NotImplementedError

    async def download(self, path: str, target: str | Path) -> None:
        raise NotImplementedError


class Memory(SandboxProvider[MemoryOptions]):
    """Sandboxes in memory. `log`: what happened, in order."""

    def __init__(self, options: MemoryOptions | None = None) -> None:
        super().__init__(options)
        self.log: list[str] = []
        self.made: list[MemorySandbox] = []

    def open(self, spec: SandboxSpec) -> AbstractAsyncContextManager[Sandbox]:
        return self._opened(spec)

    @asynccontextmanager
    async def _opened(self, spec: SandboxSpec) -> AsyncIterator[Sandbox]:
        if spec.image == "none":
            raise SandboxError("there is no image `none`")
        task = asyncio.current_task()
        self.log.append("opening")
        try:
            if self.options.opening < 0:
                raise OSError("it is down")
            await asyncio.sleep(self.options.opening)
            sandbox = MemorySandbox(spec)
            self.made.append(sandbox)
            self.log.append("open")
            yield sandbox
        finally:
            assert asyncio.current_task() is task
            if self.options.closing < 0:
                raise OSError("it does not close")
            await asyncio.sleep(self.options.closing)
            self.log.append("closed")
