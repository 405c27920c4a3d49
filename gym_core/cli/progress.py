"""How a run is doing, on standard error: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from gym_core.cli.terminal import Terminal, shorten
from gym_core.engine.run.progress_line import LIVE_SECONDS, Pace, fitted, line, ticking

if TYPE_CHECKING:
    from gym_core.engine.run.run import Run

PLAIN_SECONDS = 10.0
_BARS = ((99, 24), (59, 12))
"""The columns of the bar by the least width of the whole line; below there is none."""


@asynccontextmanager
async def show_progress(terminal: Terminal, run: Run[Any], *, quiet: bool) -> AsyncIterator[None]:
    """Show progress for as long as the context is open."""
    if quiet:
        yield
        return
    pace = Pace(run)
    if terminal.error_width is not None:
        try:
            async with ticking(lambda: terminal.status(*_with_bar(terminal, run, pace)), LIVE_SECONDS):
                yield
        finally:
            terminal.status()
        terminal.note(*_with_bar(terminal, run, pace, over=True))
    else:
        async with ticking(lambda: terminal.note(line(run, pace)), PLAIN_SECONDS):
            yield


def _with_bar(terminal: Terminal, run: Run[Any], pace: Pace, *, over: bool = False) -> tuple[str, str]:
    """A bar, where there is room for one, and as much of the line as fits beside it."""
    width = (terminal.error_width or 2) - 1
    columns = next((columns for least, columns in _BARS if width >= least), 0)
    total = run.progress.total
    done = run.progress.finished - run.progress.cancelled
    bar = terminal.bar(done / total if total else 0.0, columns)
    text = (" " if columns else "") + line(run, pace, over=over)
    return bar, shorten(fitted(text, width - columns), width - columns)
