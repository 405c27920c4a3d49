"""One command: started with its limits, read, and ended.

A command is the leader of a session and a process group of its own, so that it is ended with what it has started. What
goes on in the background when the command itself has ended is left alone until the sandbox is closed, as in a
container; what it writes from then on is lost.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gym_core import ExecResult

MARK = "GYM_SANDBOX"
"""The variable by which processes that have left their group are known to be of a sandbox."""
CANNOT_START = 126
"""The exit code of a command that could not be started, as shells have it."""
_LINGER = 0.1
"""Seconds that are waited for the rest of an output, once its command has ended."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a command may take. `output`: bytes kept of a stream. `memory`, `cpu_seconds`, `file`: of each process."""

    seconds: float
    output: int
    memory: int
    cpu_seconds: int
    file: int

    def around(self, arguments: Sequence[str]) -> list[str]:
        """The same command, limited: by a shell that becomes it, since no Python may run between fork and exec."""
        script = (
            "ulimit -c 0; "
            f"ulimit -v {self.memory >> 10} 2>/dev/null; "  # macOS knows none
            f"ulimit -t {self.cpu_seconds} 2>/dev/null; "
            f"ulimit -f {self.file >> 9} 2>/dev/null; "
            'exec "$@"'
        )
        return ["/bin/sh", "-c", script, "sh", *arguments]


class Output(asyncio.Protocol):
    """One stream of a command: what is beyond `limit` bytes is read and dropped."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()
        self.truncated = False
        self.ended = asyncio.get_running_loop().create_future()

    def itself(self) -> Output:
        """What a loop asks for that makes protocols."""
        return self

    def data_received(self, data: bytes) -> None:
        """Keep what there is room for."""
        room = self._limit - len(self._kept)
        self._kept += data[:room]
        self.truncated = self.truncated or len(data) > room

    def connection_lost(self, error: Exception | None) -> None:
        """Nobody writes any more."""
        if not self.ended.done():
            self.ended.set_result(None)

    @property
    def text(self) -> str:
        """What was kept."""
        return self._kept.decode("utf-8", errors="replace")


async def run_command(
    arguments: Sequence[str],
    limits: Limits,
    *,
    input: bytes,
    cwd: Path,
    env: Mapping[str, str],
    groups: set[int],
) -> ExecResult:
    """Run a command to its end. `groups`: gets its process group where some of it goes on."""
    outputs = (Output(limits.output), Output(limits.output))
    transports: list[asyncio.ReadTransport] = []
    ends: list[int] = []
    loop = asyncio.get_running_loop()
    try:
        for output in outputs:
            reading, writing = os.pipe()
            ends.append(writing)
            transport, _ = await loop.connect_read_pipe(output.itself, os.fdopen(reading, "rb", 0))
            transports.append(transport)
        try:
            process = await asyncio.create_subprocess_exec(
                *limits.around(arguments),
                stdin=asyncio.subprocess.PIPE if input else asyncio.subprocess.DEVNULL,
                stdout=ends[0],
                stderr=ends[1],
                cwd=cwd,
                env=env,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:  # too long, or with a null byte in it: what a model may write
            return ExecResult(CANNOT_START, "", f"the command cannot be started: {error}\n")
        while ends:
            os.close(ends.pop())
        groups.add(process.pid)
        feeding = asyncio.ensure_future(_feed(process, input))
        timed_out = False
        try:
            await asyncio.wait_for(process.wait(), limits.seconds)
        except TimeoutError:
            timed_out = True
        finally:
            feeding.cancel()
            if process.returncode is None:  # too late, or cancelled
                kill_group(process.pid)
        exit_code = await process.wait()
        if timed_out or not _lives(process.pid):
            groups.discard(process.pid)
        await asyncio.wait([output.ended for output in outputs], timeout=_LINGER)
        return ExecResult(
            exit_code,
            outputs[0].text,
            outputs[1].text,
            timed_out=timed_out,
            truncated=any(output.truncated for output in outputs),
        )
    finally:
        for end in ends:
            os.close(end)
        for transport in transports:
            transport.close()


async def _feed(process: asyncio.subprocess.Process, input: bytes) -> None:
    if process.stdin is not None:
        with suppress(OSError):  # it reads no further
            process.stdin.write(input)
            await process.stdin.drain()
            process.stdin.close()


def kill_group(group: int) -> None:
    """Kill a process group, which may be gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def kill_leftovers(groups: set[int], mark: str) -> None:
    """Kill what goes on of a sandbox: `groups` whose leaders have ended, and on Linux whatever carries its mark."""
    for group in groups:
        try:
            os.kill(group, 0)  # the number of the leader was given to somebody else, who is not ours
        except ProcessLookupError:
            kill_group(group)
        except PermissionError:
            continue
    if sys.platform == "linux":
        for _ in range(3):  # one may start another one meanwhile
            found = [*_marked(f"{MARK}={mark}".encode())]
            for pid in found:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            if not found:
                return


def _marked(variable: bytes) -> Iterator[int]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/environ", "rb") as file:
                    if variable in file.read().split(b"\0"):
                        yield int(name)
            except OSError:  # it is gone, or not ours
                continue


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
