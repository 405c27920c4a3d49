"""A pager: the program that shows long output a page at a time."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager

from gym_core.spi import Terminal

_USUAL = "less"
_LESS = "FRX"
"""Ends where all fits on the screen, shows our colours and nothing else, and leaves the text where it was."""


def paged(terminal: Terminal) -> AbstractContextManager[None]:
    """Show what is written to standard output a page at a time, where that is a terminal.

    Ends early, and quietly, where the reader has seen enough.
    """
    return terminal.through(open_pager)


class PagerClosed(Exception):
    """Whoever reads has seen enough."""


class Pager:
    """A pager that is open, as where a `Terminal` writes to."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def is_full(self) -> bool:
        """It is waited for."""
        return False

    def put(self, data: bytes, required: bool) -> None:
        """Hand it on. Raises `PagerClosed`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise PagerClosed from None

    def flush(self, patience: float | None, for_data: float | None = None) -> None:
        """Nothing is kept back."""


@contextlib.contextmanager
def open_pager(output: int) -> Iterator[Pager | None]:
    """`$PAGER`, else less, on a descriptor; None where there is none. It is waited for until its reader leaves."""
    process = _start(output)
    if process is None:
        yield None
        return
    try:
        with contextlib.suppress(PagerClosed):
            yield Pager(process)
    finally:
        with _ctrl_c_left_to_it():
            assert process.stdin is not None
            with contextlib.suppress(OSError):
                process.stdin.close()
            process.wait()


@contextlib.contextmanager
def _ctrl_c_left_to_it() -> Iterator[None]:
    """While the pager may have more to show, an interrupt is for it alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _start(output: int) -> subprocess.Popen[bytes] | None:
    try:
        command = shlex.split(os.environ.get("PAGER", _USUAL))
    except ValueError:
        return None
    if not command or command == ["cat"] or shutil.which(command[0]) is None:
        return None
    environment = {"LESS": _LESS, **os.environ}
    try:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, env=environment)
    except OSError:
        return None
