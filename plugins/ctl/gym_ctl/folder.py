"""Where the sockets of runs lie: a folder that only its owner can enter, and nobody else can have put there."""

from __future__ import annotations

import os
import socket
import stat
import struct
import sys
import tempfile
from pathlib import Path

from gym_core import UsageError

VARIABLE = "XDG_RUNTIME_DIR"
SUFFIX = ".sock"
_PEERCRED = struct.Struct("3i")  # Linux: pid, uid, gid
_LOCAL_PEERCRED = 1  # macOS: struct xucred begins with its version and the uid
_XUCRED = struct.Struct("2I")


def own_folder(*, make: bool = False) -> Path:
    """The folder, in `XDG_RUNTIME_DIR` or else among temporary files. Raises `UsageError` where it is not safe.

    Without `make` it need not exist.
    """
    base = os.environ.get(VARIABLE, "")
    folder = Path(base, "gym") if base and os.path.isdir(base) else Path(tempfile.gettempdir(), f"gym-{os.getuid()}")
    try:
        if make:
            folder.mkdir(mode=0o700, exist_ok=True)
        about = folder.lstat()
    except FileNotFoundError:
        return folder
    except OSError as error:
        raise UsageError(f"{folder} cannot be used for sockets: {error.strerror or error}") from None
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid():
        raise UsageError(f"{folder} is no folder of yours: somebody else made it", hint=f"remove it, or set {VARIABLE}")
    if stat.S_IMODE(about.st_mode) & 0o077:
        raise UsageError(f"others can enter {folder}", hint=f"chmod 700 {folder}")
    return folder


def check_peer(connection: socket.socket) -> None:
    """Raise `UsageError` where a socket leads to another user's process."""
    uid = _peer(connection)
    if uid is not None and uid != os.getuid():
        raise UsageError(f"the other end belongs to the user {uid}, and only the user {os.getuid()} may steer this run")


def _peer(connection: socket.socket) -> int | None:
    """Whose process is at the other end; None where the system does not tell: there the folder has to do."""
    if sys.platform == "linux":
        _, uid, _ = _PEERCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size))
        return int(uid)
    if sys.platform == "darwin":
        _, uid = _XUCRED.unpack(connection.getsockopt(0, _LOCAL_PEERCRED, 256)[: _XUCRED.size])
        return int(uid)
    return None
