"""A server that is started here, as the process that started it sees it."""

from __future__ import annotations

import logging
import os
import subprocess

from gym_core import UsageError, encode_json
from gym_core.spi import ChildProcess, NoAnswer, how_ended, model_keys

logger = logging.getLogger("gym")

ANSWER_SECONDS = 300.0
"""How long importing an environment may take."""
GRACE = 5.0
"""Seconds that a server has for closing its sessions."""
_END_SECONDS = 1.0


class StartedServer:
    """A child process with a server. `app`: its import path. Its methods block, except for `kill`."""

    def __init__(self, app: str, *, see_keys: bool = False) -> None:
        self._app = app
        hidden = set() if see_keys else {*model_keys(), "HF_TOKEN"}  # which opens models at a hub, too
        environ = {name: value for name, value in os.environ.items() if name not in hidden}
        self._child = ChildProcess("gym_openenv.child:serve", grace=GRACE, environ=environ, heard=self._heard)
        self.kill = self._child.kill

    def begin(self, sessions: int) -> tuple[str, int]:
        """Its URL, and how many sessions it takes, 0 where that is not known. Raises `UsageError` in one line."""
        wanted = encode_json({"app": self._app, "sessions": sessions})
        try:
            answer = self._child.answer(wanted, ANSWER_SECONDS)
        except NoAnswer as error:
            said = f"openenv:{self._app} {error} when it was started{self._child.last_lines()}"
            raise UsageError(said, hint="the log of the run, or -v, shows where") from None
        if "error" in answer:
            raise UsageError(str(answer["error"]), hint=str(answer["hint"]))
        return f"http://127.0.0.1:{answer['port']}", int(answer["most"])

    def why(self) -> str:
        """How it ended, and its last words, as they end a message; empty while it runs."""
        try:
            code = self._child.process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            return ""
        return f"; the server ended ({how_ended(code)}){self._child.last_lines()}"

    def close(self) -> None:
        """Let go of it, so that it closes its sessions; after `GRACE` it is killed."""
        self._child.close(GRACE + _END_SECONDS)

    def _heard(self, line: str) -> str:
        if line:
            logger.info("openenv:%s: %s", self._app, line)
        return line
