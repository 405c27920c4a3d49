"""The other end: finding runs that are going on, and asking them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from gym_core import JsonError, UsageError, encode_json, parse_json
from gym_ctl.folder import SUFFIX, check_peer, own_folder

PATIENCE = 15.0
"""Seconds for an answer: longer than a run takes to say that its event loop is held."""
LONGEST = 1 << 22


class Stale(UsageError):
    """A socket that nobody listens on: its run was killed."""


@dataclass(frozen=True, slots=True)
class Going:
    """A run that is going on, and its state."""

    path: Path
    state: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.state['run_id']} ({self.state['output'] or 'without an output'})"

    def ask(self, do: str, *given: Any) -> Any:
        """Have something done. Raises `UsageError`."""
        return ask(self.path, do, *given)


def going_on(note: Callable[[str], object]) -> list[Going]:
    """All runs of this user that are going on, and can be asked. `note` is told of those that cannot."""
    found: list[Going] = []
    folder = own_folder()
    for path in sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []:
        try:
            found.append(Going(path, ask(path, "state")))
        except Stale:
            path.unlink(missing_ok=True)
            note(f"removed: {path}, whose run was killed")
        except UsageError as error:
            note(f"left out: {path.name.removesuffix(SUFFIX)}: {error.message}")
    return found


def one_run(wanted: str | None, note: Callable[[str], object]) -> Going:
    """The run that is meant: by the beginning of its id, or its output; the only one where none is named.

    Raises `UsageError`.
    """
    runs = going_on(note)
    if not runs:
        raise UsageError("no run is going on that can be steered", hint="start one with `--extension ctl`")
    if wanted is not None:
        matching = [run for run in runs if _means(wanted, run.state)]
        if not matching:
            raise UsageError(f"no run {wanted!r} is going on", hint=f"there are {_names(runs)}")
        runs = matching
    if len(runs) > 1:
        raise UsageError(f"{len(runs)} runs are going on: {_names(runs)}", hint="choose one with `--run ID`")
    return runs[0]


def _means(wanted: str, state: Mapping[str, Any]) -> bool:
    if state["output"] is not None:
        output = os.path.join(state["folder"], state["output"])  # as the run says it, wherever this is asked
        if os.path.exists(wanted) and os.path.exists(output):
            return os.path.samefile(wanted, output)
    return bool(wanted) and str(state["run_id"]).startswith(wanted)


def _names(runs: list[Going]) -> str:
    return ", ".join(run.name for run in runs)


def state_of(run_id: str, *, patience: float = 1.0) -> Mapping[str, Any] | None:
    """How a run of this user is doing: see `RunControl.state`. None where it cannot be asked within `patience` seconds.

    That is any run without `--extension ctl`, one that has ended, and one whose event loop is held.
    """
    if Path(run_id).name != run_id or "\0" in run_id:  # whoever wrote the manifest may have written anything
        return None
    try:
        path = own_folder() / f"{run_id}{SUFFIX}"
        return cast("Mapping[str, Any]", ask(path, "state", patience=patience)) if path.exists() else None
    except UsageError:
        return None


def ask(path: Path, do: str, *given: Any, patience: float = PATIENCE) -> Any:
    """Ask the run behind a socket, and return what it said. Raises `UsageError`, and `Stale`, which is one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(patience)
        try:
            connection.connect(str(path))
            check_peer(connection)
            with suppress(BrokenPipeError):  # whoever refuses to be asked may have said so before it has heard anything
                connection.sendall(encode_json({"do": do, "with": given}) + b"\n")
            reply = _read(connection)
        except (ConnectionRefusedError, FileNotFoundError):
            raise Stale("nobody listens: the run was killed") from None
        except TimeoutError:
            raise UsageError(f"the run has not answered in {patience:g} s") from None
        except OSError as error:
            raise UsageError(f"the run cannot be asked: {error.strerror or error}") from None
    if not isinstance(reply, dict) or not {"said", "error"} & reply.keys():
        raise UsageError("the run ended before it answered", hint="`gym runs` says what it came to")
    if "error" in reply:
        raise UsageError(str(reply["error"]), hint=str(reply.get("hint") or ""))
    return reply["said"]


def _read(connection: socket.socket) -> Any:
    text = b""
    while not text.endswith(b"\n") and len(text) <= LONGEST:
        part = connection.recv(1 << 16)
        if not part:
            break
        text += part
    with suppress(JsonError):
        return parse_json(text)
    return None
