"""What the environment said of the rollouts of a task together, as the core reads it beside the rows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from gym_core import GymError
from gym_core.spi import GroupLines

_PATIENCE = 10
"""A large file that grows is read anew only after so many times as long as that took."""
_LARGE = 1 << 20
_Found = TypeVar("_Found")


class Groups:
    """The groups of a run that may go on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._lines: GroupLines | None = None
        self._problem = ""
        self._mark: tuple[int, int] | None = None
        self._next = 0.0

    def joined(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row with what its group came to, see `GroupLines.joined`."""
        return self._asked(lambda lines: lines.joined(row), row)

    def rewards(self, task_id: str) -> Mapping[int, float]:
        """What the group of a task gave, by repeat."""

        def read(lines: GroupLines) -> Mapping[int, float]:
            line = lines.of(task_id)
            return {repeat: verdict["reward"] for repeat, verdict in line.verdicts.items()} if line is not None else {}

        return self._asked(read, {})

    def problem(self) -> str:
        """What is wrong with their file, empty where nothing is."""
        with self._lock:
            self._look()
            return self._problem

    def _asked(self, read: Callable[[GroupLines], _Found], otherwise: _Found) -> _Found:
        with self._lock:
            self._look()
            try:
                return read(self._lines) if self._lines is not None else otherwise
            except (GymError, ValueError, OSError):  # the file is another one by now
                self._mark = None
                return otherwise

    def _look(self) -> None:
        try:
            state = self._path.stat()
        except OSError:
            self._lines, self._mark, self._problem = None, None, ""
            return
        mark, began = (state.st_size, state.st_mtime_ns), time.monotonic()
        if mark == self._mark or (state.st_size > _LARGE and began < self._next):
            return
        try:
            self._lines, self._problem = GroupLines(self._path), ""
        except GymError as error:
            self._lines, self._problem = None, error.message
        ended = time.monotonic()
        self._mark, self._next = mark, ended + _PATIENCE * (ended - began)
