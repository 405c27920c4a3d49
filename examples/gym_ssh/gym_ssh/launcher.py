"""Starts a worker per SSH connection; its frames go through standard input and output."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import Field

from gym_core import ComponentContext, Operational, Options, Selector, UsageError
from gym_workers import FrameReader, Receive, WorkerChannel, WorkerLauncher

CHUNK = 1 << 16


class SshOptions(Options):
    """Where workers run, and how they are reached."""

    hosts: Annotated[str, Selector(), Operational()] = Field(
        description="The machines, separated by commas; workers are dealt out to them in turn."
    )
    command: Annotated[str, Operational()] = Field(
        "ssh -o BatchMode=yes", description="What connects; the host and what to run there are added."
    )
    python: Annotated[str, Operational()] = Field(
        "python3", description="The interpreter there, which has gym and the plugins of the run."
    )


class SshLauncher(WorkerLauncher[SshOptions]):
    """Workers are processes of other machines, over SSH."""

    def __init__(self, options: Any = None, context: ComponentContext | None = None) -> None:
        super().__init__(options, context)
        self._hosts: list[str] = []

    async def prepare(self, workers: int, distributions: Sequence[str]) -> None:
        """Say what is wrong with the options before anything is started. Raises `UsageError`."""
        self._hosts = [host for host in self.options.hosts.split(",") if host]
        if not self._hosts:
            raise UsageError("the executor `ssh` needs a host", hint="--executor ssh:HOST[,HOST...]")

    def start(self, number: int, receive: Receive, gone: Callable[[str], None]) -> WorkerChannel:
        """Connect to the next machine and start a worker there."""
        host = self._hosts[number % len(self._hosts)]
        there = f"exec {shlex.quote(self.options.python)} -m gym_ssh.worker"
        command = [*shlex.split(self.options.command), host, there]
        return _Channel(f"worker {number} ({host})", command, receive, gone)


class _Channel:
    """One connection. What is sent before it stands waits for it."""

    def __init__(self, name: str, command: Sequence[str], receive: Receive, gone: Callable[[str], None]) -> None:
        self.name = name
        self._reader = FrameReader(receive)
        self._gone = gone
        self._process: asyncio.subprocess.Process | None = None
        self._early: list[bytes] = []
        self._killed = False
        self.over = asyncio.create_task(self._live(command))

    def send(self, frame: bytes) -> None:
        """Send a frame."""
        if self._process is None:
            self._early.append(frame)
        elif self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(frame)

    def kill(self) -> None:
        """End the connection, and with its input the worker."""
        self._killed = True
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def _live(self, command: Sequence[str]) -> None:
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        except OSError as error:
            self._gone(f"{command[0]} cannot be started: {error.strerror}")
            return
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        if self._killed:
            process.kill()
        process.stdin.writelines(self._early)
        while data := await process.stdout.read(CHUNK):
            self._reader.feed(data)
        self._gone(f"exit code {await process.wait()}")
