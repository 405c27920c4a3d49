"""A child process in an isolated environment, seen from its parent: started, asked, listened to, ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from typing import Any

from gym_core import GymError, JsonError, UsageError, encode_json, parse_json
from gym_core.errors import PluginError
from gym_core.spi import Redactor
from gym_isolated.child import LEVEL_MARK
from gym_isolated.records import Environment

logger = logging.getLogger("gym")

MODULE = "gym_isolated.child"
ANSWER_SECONDS = 120.0
"""How long a child may take to validate or to describe, imports included."""
START_SECONDS = 600.0
"""How long a component may take to open in its child."""
LINGER_SECONDS = 10.0
"""How long a child that is to end may take to close its component."""
STOP_SECONDS = LINGER_SECONDS + 5.0
_TAIL_LINES = 20
_TAIL_SHOWN = 5
_LINE_LIMIT = 2_000
# They lead an interpreter to packages, or to a home, that are not its own.
_ELSEWHERE = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__", "VIRTUAL_ENV")


def command(environment: Environment) -> list[str]:
    """How a child is started: neither the working directory nor the user's own packages are on its path."""
    return [str(environment.python), "-P", "-s", "-m", MODULE]


def variables(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment variables of a child: its parent's, without those that lead to other packages."""
    given = os.environ if environ is None else environ
    return {name: value for name, value in given.items() if name not in _ELSEWHERE}


def ask(environment: Environment, request: Mapping[str, Any], redactor: Redactor | None = None) -> dict[str, Any]:
    """What a child answers to one request; it ends with that. Blocks.

    Raises `UsageError` and `PluginError` as the child did, and `PluginError` where it gave no answer.
    """
    try:
        done = subprocess.run(
            command(environment),
            input=_line(request),
            capture_output=True,
            env=variables(),
            timeout=ANSWER_SECONDS,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as late:
        tail = Tail(redactor)
        tail.add_all((late.stderr or b"").decode("utf-8", "replace"))
        raise silent(environment, f"did not answer within {ANSWER_SECONDS:g} s", tail) from None
    except OSError as error:
        raise gone(environment, error) from error
    tail = Tail(redactor)
    tail.add_all(done.stderr.decode("utf-8", "replace"))
    return checked(environment, done.stdout, f"ended ({how(done.returncode)})", tail)


def checked(environment: Environment, line: bytes, instead: str, tail: Tail) -> dict[str, Any]:
    """The answer in a line. `instead`: what happened where there is none. Raises as `ask` does."""
    try:
        answer: dict[str, Any] = parse_json(line)
    except JsonError:
        raise silent(environment, instead, tail) from None
    if "error" in answer:
        raise _raised(environment, answer["error"], tail)
    return answer


def silent(environment: Environment, what: str, tail: Tail) -> PluginError:
    """The error for a child that gave no answer: what it did instead, and its last lines."""
    said = tail.text()
    return PluginError(
        environment.distribution,
        f"its isolated environment {what}" + (f": {said}" if said else ""),
        hint=f"`gym install --isolated --upgrade {environment.request}` builds it again",
    )


def gone(environment: Environment, error: OSError) -> PluginError:
    """The error for an environment whose interpreter cannot be started."""
    return PluginError(
        environment.distribution,
        f"its isolated environment cannot be started: {environment.python}: {error.strerror or error}",
        hint=f"`gym install --isolated --upgrade {environment.request}` builds it again",
    )


def _raised(environment: Environment, error: Mapping[str, Any], tail: Tail) -> GymError:
    message, hint = tail.redact(str(error["message"])), tail.redact(str(error["hint"]))
    if error["kind"] == "usage":
        return UsageError(message, hint=hint)
    if error["kind"] == "crash":
        message = f"failed in its isolated environment: {message}"
        hint = "the log of the run, or -v, shows where"
        logger.info("%s: %s", environment.distribution, tail.text(_TAIL_LINES))
    return PluginError(environment.distribution, message, hint=hint)


def how(code: int) -> str:
    """How a process ended."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"signal {signal.Signals(-code).name}"
    return f"exit status {code}"


class Tail:
    """The last lines that a child wrote, without secrets."""

    def __init__(self, redactor: Redactor | None = None) -> None:
        self._redactor = redactor or Redactor()
        self._lines: deque[str] = deque(maxlen=_TAIL_LINES)

    def redact(self, text: str) -> str:
        """The text without secrets."""
        return self._redactor.redact(text)

    def hide(self, *secrets: str) -> None:
        """Let these values not be seen from now on."""
        self._redactor.add(*secrets)

    def add(self, line: str) -> tuple[int, str]:
        """Keep a line; returns the level at which it is logged, and what is."""
        level = logging.INFO
        if line.startswith(LEVEL_MARK):
            number, _, line = line[len(LEVEL_MARK) :].partition(" ")
            level = int(number) if number.isdecimal() else level
        text = self.redact(line.rstrip())
        if text:
            self._lines.append(text)
        return level, text

    def add_all(self, text: str) -> None:
        """Keep lines that are written already."""
        for line in text.splitlines():
            self.add(line)

    def text(self, lines: int = _TAIL_SHOWN) -> str:
        """The last lines as one."""
        return " | ".join(" ".join(line.split()) for line in list(self._lines)[-lines:])


class Child:
    """A child that serves one component. `answer`: what it said when it was ready."""

    def __init__(self, environment: Environment, redactor: Redactor) -> None:
        self.environment = environment
        self.answer: dict[str, Any] = {}
        self.tail = Tail(redactor)
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Its process id, 0 before it has started."""
        return self._process.pid if self._process is not None else 0

    async def start(self, request: Mapping[str, Any]) -> None:
        """Start it and wait until it serves. Raises as `ask` does; nothing is left running then."""
        try:
            await self._start(request)
        except BaseException:
            await self.stop(at_once=True)
            raise

    async def _start(self, request: Mapping[str, Any]) -> None:
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                *command(self.environment),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=variables(),
                # A group of its own: a Ctrl-C is the parent's business, and what the plugin starts is ended with it.
                start_new_session=True,
                limit=1 << 22,
            )
        except OSError as error:
            raise gone(self.environment, error) from error
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._listening = asyncio.create_task(self._listen(process.stderr))
        try:
            async with asyncio.timeout(START_SECONDS):
                with contextlib.suppress(ConnectionError):
                    process.stdin.write(_line(request))
                    await process.stdin.drain()
                line = await process.stdout.readline()
        except TimeoutError:
            raise silent(self.environment, f"did not start within {START_SECONDS:g} s", self.tail) from None
        instead = ""
        if not line:
            instead = f"ended as it started ({how(await process.wait())})"
            await self._heard()
        self.answer = checked(self.environment, line, instead, self.tail)

    async def wait(self) -> str:
        """Wait until it has ended; says how."""
        assert self._process is not None
        code = await self._process.wait()
        self.kill()  # what it has started
        await self._heard()
        self._release()
        return how(code)

    async def stop(self, *, at_once: bool = False) -> None:
        """Let it close its component and end; after a while, or `at_once`, it is killed."""
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            if not at_once:
                async with asyncio.timeout(STOP_SECONDS):
                    await process.wait()
        except TimeoutError:
            logger.warning("%s: its isolated environment did not end and was killed", self.environment.distribution)
        finally:
            self.kill()
            await process.wait()
            await self._heard()
            self._release()

    def kill(self) -> None:
        """End it, and what it has started, at once."""
        if self._process is None:
            return
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()

    async def _listen(self, stream: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await stream.read(1 << 16):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._log(line)
            if len(rest) > _LINE_LIMIT:
                self._log(rest)
                rest = b""
        self._log(rest)

    def _log(self, line: bytes) -> None:
        level, text = self.tail.add(line[:_LINE_LIMIT].decode("utf-8", "replace"))
        if text:
            logger.log(level, "%s: %s", self.environment.distribution, text)

    async def _heard(self) -> None:
        """Wait a moment for the last lines: a process that the child started may keep the pipe open."""
        if self._listening is not None:
            await asyncio.wait([self._listening], timeout=1.0)
            self._listening.cancel()

    def _release(self) -> None:
        # what else has the pipe open must not keep this end open, too
        transport = getattr(self._process, "_transport", None)
        if transport is not None:
            transport.close()


def _line(request: Mapping[str, Any]) -> bytes:
    return encode_json(request, fallback=str) + b"\n"


USES_UNIX_SOCKETS = sys.platform != "win32"
"""Whether asyncio has them here; else a child listens on loopback."""
