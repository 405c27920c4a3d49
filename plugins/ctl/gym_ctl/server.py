"""The end of the socket that a run listens on. A thread of its own: what it does is done by the run's event loop.

One request and one reply for each connection, a line of JSON each: `{"do": "set_concurrency", "with": [64]}` and
`{"said": ...}`, or `{"error": ..., "hint": ...}`.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gym_core import GymError, JsonError, UsageError, encode_json, parse_json
from gym_core.spi import RunControl
from gym_ctl.folder import SUFFIX, check_peer, own_folder

LONGEST = 1 << 16
"""Bytes of a request."""
PATIENCE = 5.0
"""Seconds for a request to come, and for its reply to be taken."""
STOPPED = "stopped with `gym ctl stop`"


class Server:
    """Listens for one run. Raises `OSError` and `UsageError` where it cannot."""

    def __init__(self, run_id: str, control: RunControl) -> None:
        self.path = own_folder(make=True) / f"{run_id}{SUFFIX}"
        folder = os.getcwd()  # which the path of its output starts from
        self._acts: dict[str, Callable[..., Any]] = {
            "state": lambda: {"pid": os.getpid(), "folder": folder, **control.state()},
            "pause": control.pause,
            "resume": control.resume,
            "cancel": control.cancel,
            "set_concurrency": control.set_concurrency,
            "stop": lambda: control.stop(STOPPED),
        }
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # its folder lets nobody else in, so there is no moment in which others could connect
            self._socket.bind(str(self.path))
            self.path.chmod(0o600)
            self._socket.listen()
        except BaseException:
            self._socket.close()
            raise
        threading.Thread(target=self._serve, name="gym-ctl", daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        self.path.unlink(missing_ok=True)
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes who waits for a connection
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            # each of its own, so that one that says nothing holds up nobody
            threading.Thread(target=self._answer, args=(connection,), name="gym-ctl-request", daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.settimeout(PATIENCE)
            connection.sendall(encode_json(self._reply(connection)) + b"\n")

    def _reply(self, connection: socket.socket) -> dict[str, Any]:
        try:
            check_peer(connection)
            return {"said": self._act(_read(connection))}
        except GymError as error:
            return {"error": error.message, "hint": error.hint}

    def _act(self, request: Any) -> Any:
        act = self._acts.get(request.get("do", "")) if isinstance(request, dict) else None
        given = request.get("with", []) if isinstance(request, dict) else None
        if act is None or not isinstance(given, list):
            raise UsageError(f"no request: there are {', '.join(self._acts)}")
        try:
            return act(*given)
        except TypeError as error:
            raise UsageError(f"no request: {error}") from None


def _read(connection: socket.socket) -> Any:
    """The line that was sent. Raises `UsageError`, `OSError`."""
    text = b""
    while not text.endswith(b"\n"):
        part = connection.recv(LONGEST)
        text += part
        if not part or len(text) > LONGEST:
            raise UsageError("no request: it is too long, or has no end")
    try:
        return parse_json(text)
    except JsonError as error:
        raise UsageError(f"no request: {error}") from None
