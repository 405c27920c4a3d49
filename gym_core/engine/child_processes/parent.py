"""A child process as its parent sees it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from gym_core.domain.json_text import JsonError, parse_json
from gym_core.engine.child_processes import child
from gym_core.engine.child_processes.child import read_message, write_message
from gym_core.engine.standard_streams import open_missing

REAP_SECONDS = 1.0
"""How long a killed process may take to be seen off, which is a matter of microseconds."""
_END_SECONDS = 5.0
_LAST_LINES = 5
_LAST_LINES_SECONDS = 1.0
_LONGEST_LINE = 2_000


class NoAnswer(Exception):
    """A child did not answer, and has ended. Its text says what it did instead, behind the name of who was asked."""


class ChildProcess:
    """One child, which performs `MODULE:FUNCTION`, see `child`. Its methods block, except for `kill`.

    `grace`: seconds that it has for closing once this process has let go of it, or is gone. `python`: another
    interpreter, which has gym and an import path of its own. `group`: whether it leads one: a Ctrl-C is the parent's
    business then, and what the child starts is ended with it. `heard`: what is told of standard error, see
    `ErrorLines`; without it the child shares that of this process. Raises `OSError` where it cannot be started.
    """

    def __init__(
        self,
        performs: str,
        *,
        grace: float = 0.0,
        python: Path | None = None,
        group: bool = True,
        environ: Mapping[str, str] | None = None,
        stdin: Any = subprocess.PIPE,
        stdout: Any = subprocess.PIPE,
        heard: Callable[[str], str] | None = None,
    ) -> None:
        open_missing()
        start = [sys.executable, "-P", child.__file__]  # by its path: it needs nothing of this package
        if python is not None:  # neither the working directory nor the user's own packages are on its path
            start = [str(python), "-P", "-s", "-m", child.__name__]
        self._own_path = python is not None
        self.process = subprocess.Popen(
            [*start, performs, str(grace)],
            stdin=stdin,
            stdout=stdout,
            stderr=None if heard is None else subprocess.PIPE,
            env=environ,
            start_new_session=group,
        )
        self._lines = None if heard is None else ErrorLines(self.process.stderr, heard)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def first_message(self) -> bytes:
        """What it has to be sent before anything else: where it finds what this process finds."""
        return b"" if self._own_path else pickle.dumps([os.path.abspath(entry) for entry in sys.path])

    def greet(self) -> None:
        """Send the first message."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # it is dead already; its end is noticed in the usual way
            write_message(self.process.stdin, self.first_message)

    def answer(self, request: bytes, seconds: float) -> dict[str, Any]:
        """The JSON object that it says to the one request that it gets; it has so many seconds. Raises `NoAnswer`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self.kill()

        timer = threading.Timer(seconds, give_up)
        timer.daemon = True
        timer.start()
        try:
            self.greet()
            with contextlib.suppress(OSError):
                write_message(self.process.stdin, request)
            said = read_message(self.process.stdout)
        except (EOFError, OSError, ValueError):  # the last where it was let go of meanwhile
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_END_SECONDS)
            self.kill()
            how = f"ended ({how_ended(self.process.wait())})"
            raise NoAnswer(f"did not answer within {seconds:g} s" if late.is_set() else how) from None
        except (OverflowError, MemoryError):  # what came first is no length
            said = b""
        finally:
            timer.cancel()
        with contextlib.suppress(JsonError):
            if isinstance(answer := parse_json(said), dict):
                return answer
        self.kill()
        raise NoAnswer("answered with something that is no JSON object")

    def kill(self) -> None:
        """End it at once, with all that it has started where it leads a group. Reading from it ends, too."""
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg") and os.getpgid(self.pid) == self.pid:
                os.killpg(self.pid, signal.SIGKILL)
            else:
                self.process.kill()

    def last_lines(self) -> str:
        """What it wrote last, once it has ended, as that ends a message; see `ErrorLines.last`."""
        return "" if self._lines is None else self._lines.last()

    def close(self, seconds: float = 0.0) -> bool:
        """Let go of it, so that it closes what it has open; after so many seconds it is killed. Says whether it was."""
        assert self.process.stdin is not None
        late = seconds > 0
        if late:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
                late = False
        self.kill()  # and what it has started
        if self._lines is not None:
            self._lines.end()
        self.reap()
        return late

    def reap(self) -> None:
        """See a killed process off."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(REAP_SECONDS)
        self.release()

    def release(self) -> None:
        """Close what it was spoken to through."""
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def ended(self) -> asyncio.Future[str]:
        """How it ended, once it has. A thread waits for that, since no event loop would have to know of the child."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[str] = loop.create_future()

        def tell(how: str) -> None:
            if not future.done():
                future.set_result(how)

        def wait() -> None:
            how = how_ended(self.process.wait())
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(tell, how)

        threading.Thread(target=wait, name=f"gym-child-{self.pid}", daemon=True).start()
        return future


class ErrorLines:
    """What a child writes to standard error, read in a thread. `heard`: is told each line, and says what is kept of it.

    The last lines are kept: they are how a child says why it ended.
    """

    def __init__(self, stream: IO[bytes] | None, heard: Callable[[str], str]) -> None:
        assert stream is not None
        self._heard = heard
        self._lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def last(self) -> str:
        """The last lines of a child that has ended, as they end a message: `: one | another`, or nothing."""
        self.end()
        said = " | ".join(" ".join(line.split()) for line in [*self._lines])  # a thread may still add to them
        return f": {said}" if said else ""

    def end(self) -> None:
        """Wait a little for what is still to come: what the child has started may keep the pipe open for ever."""
        self._thread.join(_LAST_LINES_SECONDS)

    def _read(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError):
            while line := stream.readline(_LONGEST_LINE):
                if text := self._heard(line.decode("utf-8", "replace").rstrip()):
                    self._lines.append(text)


def how_ended(code: int) -> str:
    """How a process ended, by its exit code as `subprocess` has it."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"
