"""`LlamaServer`: llama.cpp's HTTP server in a child process, for as long as a context is open."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from gym_core import GymError, encode_json
from gym_core.spi import ChildProcess, NoAnswer

_TAIL_LINES = 40
_LINE_LIMIT = 500
_NATURAL_END = 2.0
_STOP_SECONDS = 5.0


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
    does, even by SIGKILL. Raises `LocalServerError` when it cannot start in time.
    """

    _child: ChildProcess
    _ended: asyncio.Future[str]

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self._log: deque[str] = deque(maxlen=_TAIL_LINES)
        self.root_url = ""
        """The server itself, where llama.cpp's own routes are (`/props`, `/tokenize`, ...)."""

    @property
    def base_url(self) -> str:
        """The endpoint as OpenAI clients want it: `http://127.0.0.1:PORT/v1`."""
        return f"{self.root_url}/v1"

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._child.pid

    async def __aenter__(self) -> Self:
        # Spinning OpenMP threads starve each other on busy cores; waiting ones cost nothing.
        environ = {**os.environ, "OMP_WAIT_POLICY": "passive"}
        self._child = ChildProcess("gym_local_model.child:serve", environ=environ, heard=self._heard)
        self._ended = self._child.ended()
        wanted = encode_json(asdict(self.settings), fallback=str)
        try:
            answer = await asyncio.to_thread(self._child.answer, wanted, self.settings.start_timeout)
            if "error" in answer:
                await asyncio.wait([self._ended], timeout=_NATURAL_END)  # with all of its log
                await self._stop()
                raise self._start_failure(answer["error"], answer["message"])
        except NoAnswer as error:
            await self._stop()
            hint = "see its log above; where it was still loading, raise `-M start_timeout=` or take a smaller model"
            raise self._failure(f"the local server {error}", hint) from None
        except BaseException:
            self._child.kill()  # so that the thread ends
            await self._stop()
            raise
        self.root_url = answer["address"].rstrip("/")
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stop()

    async def death(self) -> LocalServerError | None:
        """The error to report when the child has ended though it should serve, None while it lives."""
        # A dying server drops its connections a moment before its process is reaped.
        await asyncio.wait([self._ended], timeout=_NATURAL_END)
        if not self._ended.done():
            return None
        await asyncio.to_thread(self._child.last_lines)  # the log is whole then
        return self._failure(
            f"the local server ended in the middle of the run ({self._ended.result()})",
            "a lack of memory is the usual cause: fewer slots (`-M slots=`), a smaller context (`-M context_size=`)",
        )

    def _start_failure(self, kind: str, reason: str) -> LocalServerError:
        if "libgomp" in reason:
            return LocalServerError(
                "the local model needs the system library libgomp.so.1",
                hint="install the system package `libgomp1` (on Fedora and Alpine: `libgomp`)",
            )
        if kind in ("ImportError", "ModuleNotFoundError"):
            return LocalServerError(
                f"the local model's runtime cannot be imported: {reason}", hint="reinstall gym-local-model"
            )
        said = next((line for line in self._log if " E " in line and "gguf" in line), "")
        reason = said.partition(" E ")[2].strip() or reason
        return self._failure(
            f"llama.cpp cannot load {self.settings.model}: {reason}", "check that it is a whole GGUF file"
        )

    def _failure(self, message: str, hint: str) -> LocalServerError:
        tail = "".join(f"\n  {line}" for line in self._log)
        error = LocalServerError(message, hint=hint)
        if tail:
            error.add_note(f"the end of the local server's log:{tail}")
        return error

    def _heard(self, line: str) -> str:
        self._log.append(line[:_LINE_LIMIT])
        return line

    async def _stop(self) -> None:
        await asyncio.to_thread(self._child.close, _STOP_SECONDS)
