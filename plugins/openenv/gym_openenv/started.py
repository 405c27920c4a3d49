"""A server that is started here, as the process that started it sees it."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import threading
from collections import deque
from typing import IO, Any

from gym_core import UsageError, encode_json, parse_json
from gym_core.spi import ChildProcess, how_ended, one_line, read_message, write_message

logger = logging.getLogger("gym")

ANSWER_SECONDS = 300.0
"""How long importing an environment may take."""
GRACE = 5.0
"""Seconds that a server has for closing its sessions."""
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENROUTER_API_KEY", "AZURE_OPENAI_API_KEY", "HF_TOKEN")
"""Variables that an environment does not see unless it is to."""
_END_SECONDS = 1.0
_LINE_LIMIT = 2_000
_TAIL = 5


class StartedServer:
    """A child process with a server. `app`: its import path. Its methods block, except for `kill`."""

    def __init__(self, app: str, *, see_keys: bool = False) -> None:
        self._app = app
        self._lines: deque[str] = deque(maxlen=_TAIL)
        environ = {name: value for name, value in os.environ.items() if see_keys or name not in KEYS}
        self._child = ChildProcess("gym_openenv.serving:serve", grace=GRACE, environ=environ, stderr=subprocess.PIPE)
        self.kill = self._child.kill
        assert self._child.process.stderr is not None
        self._listening = threading.Thread(target=self._listen, args=(self._child.process.stderr,), daemon=True)
        self._listening.start()

    def begin(self, sessions: int) -> tuple[str, int]:
        """Its URL, and how many sessions it takes, 0 where that is not known. Raises `UsageError` in one line."""
        process = self._child.process
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self.kill()

        timer = threading.Timer(ANSWER_SECONDS, give_up)
        timer.daemon = True
        timer.start()
        try:
            self._child.greet()
            with contextlib.suppress(OSError):
                write_message(process.stdin, encode_json({"app": self._app, "sessions": sessions}))
            answer: dict[str, Any] = parse_json(read_message(process.stdout))
        except (EOFError, OSError, ValueError):
            how = f"was not imported within {ANSWER_SECONDS:g} s" if late.is_set() else "ended while it was started"
            raise UsageError(
                f"openenv:{self._app} {how}{self.why()}", hint="the log of the run, or -v, shows where"
            ) from None
        finally:
            timer.cancel()
        if "error" in answer:
            raise UsageError(f"openenv:{self._app} cannot be started: {answer['error']}", hint=str(answer["hint"]))
        return f"http://127.0.0.1:{answer['port']}", int(answer["most"])

    def why(self) -> str:
        """How it ended, and its last words, as they end a message; empty while it runs."""
        try:
            code = self._child.process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            return ""
        self._listening.join(_END_SECONDS)
        said = one_line(" | ".join(self._lines))
        return f"; the server ended ({how_ended(code)}){': ' if said else ''}{said}"

    def close(self) -> None:
        """Let go of it, so that it closes its sessions; after `GRACE` it is killed."""
        process = self._child.process
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE + _END_SECONDS)
        self.kill()  # and what it has started
        self._listening.join(_END_SECONDS)
        self._child.reap()

    def _listen(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError):
            while line := stream.readline(_LINE_LIMIT):
                if text := line.decode("utf-8", "replace").rstrip():
                    self._lines.append(text)
                    logger.info("openenv:%s: %s", self._app, text)
