"""`LlamaServer`: llama.cpp's HTTP server in a child process, for as long as a context is open."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from gym_core import GymError

_CHILD = Path(__file__).with_name("_child.py")
_TAIL_LINES = 40
_LINE_LIMIT = 500
_NATURAL_END = 2.0


class LocalServerError(GymError):
    """The local server did not start, or ended while it was needed. The message carries the end of its log."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What a server is started with.

    `model`: a GGUF file. `alias`: the model's name at the endpoint. `context_size`: tokens per slot. `slots`: requests
    answered at once. `start_timeout`: seconds until the model has to be loaded.
    """

    model: Path
    alias: str = "local"
    threads: int = 1
    slots: int = 1
    context_size: int = 4096
    start_timeout: float = 120.0


class LlamaServer:
    """llama.cpp's HTTP server on a free port of the loopback interface.

    An async context manager: the server is ready inside and gone after. The child process also ends when this process
    does, even by SIGKILL, because it waits on a pipe. Raises `LocalServerError` when it cannot start in time.
    """

    def __init__(self, settings: ServerSettings, *, stop_timeout: float = 5.0) -> None:
        self.settings = settings
        self._stop_timeout = stop_timeout
        self._process: asyncio.subprocess.Process | None = None
        self._log: deque[str] = deque(maxlen=_TAIL_LINES)
        self._reader: asyncio.Task[None] | None = None
        self._address = ""

    @property
    def base_url(self) -> str:
        """The endpoint as OpenAI clients want it: `http://127.0.0.1:PORT/v1`."""
        return f"{self._address}/v1"

    @property
    def root_url(self) -> str:
        """The server itself, where llama.cpp's own routes are (`/props`, `/tokenize`, ...)."""
        return self._address

    @property
    def pid(self) -> int:
        """The child's process id, 0 before it has started."""
        return self._process.pid if self._process else 0

    @property
    def log_tail(self) -> list[str]:
        """The last lines the child has written."""
        return list(self._log)

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(self.settings.start_timeout):
                await self._start()
        except TimeoutError:
            await self._stop()
            raise self._failure(
                f"the local model was not loaded within {self.settings.start_timeout:g} s",
                "raise `-M start_timeout=` or take a smaller model",
            ) from None
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stop()

    async def death(self) -> LocalServerError | None:
        """The error to report when the child has ended though it should serve, None while it lives."""
        process = self._process
        if process is None:
            return LocalServerError("the local server is not running")
        with contextlib.suppress(TimeoutError):
            # A dying server drops its connections a moment before its process is reaped.
            async with asyncio.timeout(_NATURAL_END if self._reader and self._reader.done() else 0.2):
                await process.wait()
        if process.returncode is None:
            return None
        await self._drained()
        return self._failure(
            f"the local server ended in the middle of the run ({_exit(process.returncode)})",
            "a lack of memory is the usual cause: fewer slots (`-M slots=`), a smaller context (`-M context_size=`)",
        )

    async def _start(self) -> None:
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            str(_CHILD),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # Spinning OpenMP threads starve each other on busy cores; waiting ones cost nothing.
            env={**os.environ, "OMP_WAIT_POLICY": "passive"},
            limit=1 << 20,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._reader = asyncio.create_task(self._keep_log(process.stderr), name="local model: log")
        with contextlib.suppress(ConnectionError):
            process.stdin.write(json.dumps(self._child_settings()).encode() + b"\n")
            await process.stdin.drain()
        line = await process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {}
        if "address" in answer:
            self._address = answer["address"].rstrip("/")
            return
        await process.wait()
        await self._drained()
        raise self._start_failure(answer)

    def _child_settings(self) -> dict[str, Any]:
        ours = self.settings
        return {
            "model": str(ours.model),
            "alias": ours.alias,
            "threads": ours.threads,
            "slots": ours.slots,
            "context_size": ours.context_size,
            "start_timeout": ours.start_timeout,
        }

    def _start_failure(self, answer: dict[str, Any]) -> LocalServerError:
        reason = str(answer.get("message", ""))
        if "libgomp" in reason:
            return LocalServerError(
                "the local model needs the system library libgomp.so.1",
                hint="install the system package `libgomp1` (on Fedora and Alpine: `libgomp`)",
            )
        if answer.get("error") in ("ImportError", "ModuleNotFoundError"):
            return LocalServerError(
                f"the local model's runtime cannot be imported: {reason}", hint="reinstall gym-local-model"
            )
        if answer:
            said = next((line for line in self._log if " E " in line and "gguf" in line), "")
            reason = said.partition(" E ")[2].strip() or reason
            return self._failure(
                f"llama.cpp cannot load {self.settings.model}: {reason}", "check that it is a whole GGUF file"
            )
        code = self._process.returncode if self._process else None
        return self._failure(f"the local server ended while it started ({_exit(code)})", "see its log above")

    def _failure(self, message: str, hint: str) -> LocalServerError:
        tail = "".join(f"\n  {line}" for line in self._log)
        error = LocalServerError(message, hint=hint)
        if tail:
            error.add_note(f"the end of the local server's log:{tail}")
        return error

    async def _keep_log(self, stream: asyncio.StreamReader) -> None:
        pending = b""
        while chunk := await stream.read(1 << 16):
            *lines, pending = (pending + chunk).split(b"\n")
            pending = pending[-_LINE_LIMIT:]
            self._log.extend(line.decode(errors="replace")[:_LINE_LIMIT].rstrip() for line in lines)
        if pending:
            self._log.append(pending.decode(errors="replace").rstrip())

    async def _drained(self) -> None:
        if self._reader:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_NATURAL_END):
                    await asyncio.shield(self._reader)

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin
            process.stdin.close()
            for end in (process.terminate, process.kill):
                if process.returncode is not None:
                    break
                with contextlib.suppress(ProcessLookupError):
                    end()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._stop_timeout):
                        await process.wait()
        await self._drained()
        if self._reader:
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader
            self._reader = None


def _exit(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {-code}"
    return f"exit status {code}"
