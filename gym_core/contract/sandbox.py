"""Sandboxes: where commands of a rollout run, with a file system and processes of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from gym_core.contract.component import Component, OptionsT_co


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSpec:
    """What a session wants of a sandbox. What is not said, the provider chooses.

    `image`: what the file system is made from, such as `python:3.12`. `workdir`: where commands run and relative paths
    start, a path inside. `env`: variables of all commands; none of gym's own process reaches them. `memory`: bytes that
    all of it may take, and `cpus` how many processors. `network`: whether others can be reached from inside; None for
    as the provider has it. `timeout`: seconds a command may take where `exec` does not say.
    """

    image: str = ""
    workdir: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    memory: int | None = None
    cpus: float | None = None
    network: bool | None = None
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class ExecResult:
    """What a command came to.

    `exit_code`: 0 to 255, or below 0 the number of the signal that ended it. `stdout`, `stderr`: as UTF-8, with what is
    none replaced. `timed_out`: it was ended because it took too long. `truncated`: it wrote more than was kept.
    """

    exit_code: int
    stdout: str = ""
    stderr: str = ""
    timed_out: bool = False
    truncated: bool = False


class Sandbox(Protocol):
    """One sandbox while it is open. Paths are those inside; relative ones start at `workdir`.

    Methods may be called at once. They raise `SandboxError` where the sandbox is gone or cannot do what is asked, which
    ends the rollout without a reward; a command that fails is a result, and a file that is not there an `OSError`.
    """

    @property
    def workdir(self) -> str:
        """Where commands run, an absolute path inside."""
        ...

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
        """Run a command to its end: a text by the shell, a list of arguments without one.

        `timeout`: seconds, after which it and all that it started is killed. `limit`: bytes that are kept of each
        stream; what is beyond is read and dropped. `env`: further variables. `cwd`: where it runs. `user`: as whom,
        inside; empty for the sandbox's own.
        """
        ...

    async def read(self, path: str) -> bytes:
        """The content of a file. Raises `OSError`: `FileNotFoundError`, `IsADirectoryError`, `PermissionError`."""
        ...

    async def write(self, path: str, content: str | bytes) -> None:
        """Write a file, with the folders above it; text as UTF-8. Raises `OSError`."""
        ...

    async def upload(self, source: str | Path, path: str) -> None:
        """Copy a file or a folder of this machine into the sandbox, as `path`. Raises `OSError`."""
        ...

    async def download(self, path: str, target: str | Path) -> None:
        """Copy a file or a folder of the sandbox to this machine, as `target`. Raises `OSError`."""
        ...


class SandboxProvider(Component[OptionsT_co], ABC):
    """Makes sandboxes. `--sandbox NAME` takes one; its options are given with `-S`. One instance serves a whole run."""

    @abstractmethod
    def open(self, spec: SandboxSpec) -> AbstractAsyncContextManager[Sandbox]:
        """A sandbox of its own for each call; leaving it ends its processes and removes its files.

        Entering raises `SandboxError` for what the spec wants and the provider cannot give: never less than was asked.
        Entering that is cancelled leaves nothing behind. Both are called in one task.
        """
