"""What makes the sandboxes, and what it cannot give."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field

from gym_core import Operational, Options, Sandbox, SandboxProvider, SandboxSpec, UsageError
from gym_core.errors import SandboxError
from gym_local_sandbox.commands import Limits
from gym_local_sandbox.sandbox import LocalSandbox

WARNING = (
    "the sandbox `local` protects nothing: commands run as processes of yours, which may read and change all that you "
    "may, and reach the network"
)
MEGABYTE = 1 << 20


class LocalSandboxOptions(Options):
    """The options of the sandbox `local`."""

    root: Annotated[str, Operational()] = Field(
        default="", description="Where the folders of sandboxes are made; by default with the system's temporary files."
    )
    timeout: float = Field(
        default=60.0, gt=0, description="Seconds a command may take where neither environment nor call says."
    )
    output_kb: int = Field(default=256, ge=1, description="Kilobytes that are kept of each stream of a command.")
    memory_mb: int = Field(default=2048, ge=16, description="Megabytes of address space that each process may have.")
    cpu_seconds: int = Field(default=600, ge=1, description="Seconds of processor time that each process may take.")
    file_mb: int = Field(default=1024, ge=1, description="The largest file that may be written, in megabytes.")
    lenient: bool = Field(
        default=False,
        description="Go on where an environment wants what this cannot give: an image, a working directory, no "
        "network, a number of processors.",
    )


class LocalSandboxProvider(SandboxProvider[LocalSandboxOptions]):
    """It protects nothing: a folder and processes of this machine, for trying an environment out.

    A command in it is a process of yours: it may read and change all that you may, reach the network, and use up the
    machine. It has a folder of its own, which is removed at the end, none of gym's variables, and limits on time,
    memory, files and output. Do not run with it what a model has written, where that could do harm.
    """

    def __init__(self, options: Any = None, context: Any = None) -> None:
        super().__init__(options, context)
        self._warned = False

    async def __aenter__(self) -> Self:
        if os.name != "posix":
            raise UsageError("the sandbox `local` needs process groups and a shell, which this system lacks")
        root = self.options.root
        if root and not os.access(root, os.W_OK | os.X_OK):
            raise UsageError(f"no sandbox can be made in {root}", hint="-S root= takes a folder that can be written")
        return self

    def open(self, spec: SandboxSpec) -> AbstractAsyncContextManager[Sandbox]:
        """A folder, and processes that start in it."""
        return self._opened(spec)

    @asynccontextmanager
    async def _opened(self, spec: SandboxSpec) -> AsyncIterator[Sandbox]:
        refused = "" if self.options.lenient else ", ".join(_beyond(spec))
        if refused:
            raise SandboxError(
                f"the sandbox `local` cannot give what the environment wants: {refused}",
                hint="take another provider, or -S lenient=true to go on without",
            )
        if not self._warned:
            self._warned = True
            self.context.logger.warning(WARNING)
        folder = await asyncio.to_thread(_made, self.options.root or None)
        sandbox = LocalSandbox(folder, self._limits(spec), spec.env)
        try:
            yield sandbox
        finally:
            await sandbox.end()
            left = await asyncio.to_thread(_removed, folder)
            if left:
                self.context.logger.warning("the folder of a sandbox could not be removed: %s", left)

    def _limits(self, spec: SandboxSpec) -> Limits:
        options = self.options
        memory = options.memory_mb * MEGABYTE
        return Limits(
            seconds=spec.timeout or options.timeout,
            output=options.output_kb << 10,
            memory=min(memory, spec.memory) if spec.memory is not None else memory,
            cpu_seconds=options.cpu_seconds,
            file=options.file_mb * MEGABYTE,
        )


def _beyond(spec: SandboxSpec) -> Iterator[str]:
    """What of a spec this cannot give."""
    if spec.image:
        yield f"the image {spec.image}"
    if spec.workdir:
        yield f"the working directory {spec.workdir}"
    if spec.network is False:
        yield "no network"
    if spec.cpus is not None:
        yield f"{spec.cpus:g} processors"


def _made(root: str | None) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="gym-sandbox-", dir=root)).resolve()
    for name in ("work", "tmp"):
        (folder / name).mkdir()
    return folder


def _removed(folder: Path) -> str:
    """Remove a folder with all that is in it; returns what is wrong where it stays."""

    def again(function: Any, path: str, error: Any) -> None:
        # a command may have taken away the right to change a folder
        for place in (os.path.dirname(path), path):
            if not os.path.islink(place) and os.path.isdir(place) and place.startswith(str(folder)):
                os.chmod(place, 0o700)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)

    try:
        shutil.rmtree(folder, onerror=again)
    except OSError as error:
        return str(error)
    return ""
