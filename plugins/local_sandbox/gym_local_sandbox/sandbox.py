"""One sandbox: a folder, and commands that start in it."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gym_core import ExecResult
from gym_core.errors import SandboxError
from gym_local_sandbox.commands import MARK, Limits, kill_leftovers, run_command


class LocalSandbox:
    """A folder and processes of this machine. `folder` holds `work`, where commands start, and `tmp`."""

    def __init__(self, folder: Path, limits: Limits, env: Mapping[str, str]) -> None:
        self._folder = folder
        self._work = folder / "work"
        self._limits = limits
        self._mark = secrets.token_hex(8)
        self._groups: set[int] = set()
        self._running: set[asyncio.Task[ExecResult]] = set()
        self._ran = False
        self._ended = False
        # Nothing of gym's own variables: keys stand among them.
        self._env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self._work),
            "TMPDIR": str(folder / "tmp"),
            "LANG": "C.UTF-8",
            **env,
            MARK: self._mark,
        }

    @property
    def workdir(self) -> str:
        """Where commands run."""
        return str(self._work)

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
        """Run a command to its end."""
        if user:
            raise SandboxError(f"the sandbox `local` runs commands as its own user, not as {user!r}")
        self._require_open()
        place = self._inside(cwd) if cwd else self._work
        if not place.is_dir():
            raise NotADirectoryError(f"{cwd}: no folder to run a command in")
        limits = self._limits
        limits = replace(
            limits,
            seconds=timeout if timeout is not None else limits.seconds,
            output=limit if limit is not None else limits.output,
        )
        task = asyncio.ensure_future(
            run_command(
                ["/bin/sh", "-c", command] if isinstance(command, str) else list(command),
                limits,
                input=input.encode() if isinstance(input, str) else input,
                cwd=place,
                env={**self._env, **(env or {}), MARK: self._mark},
                groups=self._groups,
            )
        )
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        self._ran = True
        try:
            return await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if self._ended and current is not None and not current.cancelling():
                raise SandboxError("the sandbox was closed while a command ran") from None
            raise

    async def read(self, path: str) -> bytes:
        """The content of a file."""
        return await asyncio.to_thread(self._inside(path).read_bytes)

    async def write(self, path: str, content: str | bytes) -> None:
        """Write a file, with the folders above it."""
        target = self._inside(path)
        await asyncio.to_thread(_write, target, content.encode() if isinstance(content, str) else content)

    async def upload(self, source: str | Path, path: str) -> None:
        """Copy a file or a folder into the sandbox."""
        await asyncio.to_thread(_copy, Path(source), self._inside(path))

    async def download(self, path: str, target: str | Path) -> None:
        """Copy a file or a folder of the sandbox."""
        await asyncio.to_thread(_copy, self._inside(path), Path(target))

    async def end(self) -> None:
        """End all that runs in it."""
        self._ended = True
        running = [*self._running]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        if self._ran:
            await asyncio.to_thread(kill_leftovers, self._groups, self._mark)

    def _inside(self, path: str) -> Path:
        """A path as it is on this machine. Links are followed, so that none leads out of the folder."""
        self._require_open()
        place = (self._work / path).resolve()
        if not place.is_relative_to(self._folder):
            raise PermissionError(f"{path} is outside of the sandbox, which begins at {self._work}")
        return place

    def _require_open(self) -> None:
        if self._ended:
            raise SandboxError("the sandbox is closed")


def _write(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)
