"""How a run is doing, for who has started it from Python: a bar below the cell of a notebook, or on a terminal."""

from __future__ import annotations

import html
import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gym_core.engine.run.progress_line import LIVE_SECONDS, Pace, fitted, line, ticking
from gym_core.engine.run.run import Run

_BAR = 12
"""Columns of the bar on a terminal."""


@asynccontextmanager
async def displayed(run: Run[Any]) -> AsyncIterator[None]:
    """Show progress for as long as the context is open, if anybody watches: standard error is a terminal."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    if console.is_jupyter:
        shown: Any = _in_notebook(run)
    elif console.is_terminal:
        shown = _on_terminal(run, console)
    else:
        yield
        return
    async with shown:
        yield


@asynccontextmanager
async def _in_notebook(run: Run[Any]) -> AsyncIterator[None]:
    # What IPython itself displays needs no widgets, which not every notebook has.
    shown: Any = importlib.import_module("IPython.display")
    pace = Pace(run)

    def bar(*, over: bool = False) -> Any:
        total = run.progress.total
        share = f' value="{run.progress.finished}" max="{total}"' if total else ""
        return shown.HTML(f"<progress{share}></progress> {html.escape(line(run, pace, over=over))}")

    handle = shown.display(bar(), display_id=True)
    try:
        async with ticking(lambda: handle.update(bar()), LIVE_SECONDS):
            yield
    finally:
        handle.update(bar(over=True))


@asynccontextmanager
async def _on_terminal(run: Run[Any], console: Any) -> AsyncIterator[None]:
    from rich.progress import BarColumn, Progress, TextColumn

    pace = Pace(run)
    columns = BarColumn(_BAR), TextColumn("{task.description}", markup=False)
    with Progress(*columns, console=console, auto_refresh=False) as bars:
        bar = bars.add_task("")

        def update(*, over: bool = False) -> None:
            progress = run.progress
            text = fitted(line(run, pace, over=over), console.width - _BAR - 2)
            bars.update(bar, total=progress.total, completed=progress.finished, description=text)
            bars.refresh()

        try:
            async with ticking(update, LIVE_SECONDS):
                yield
        finally:
            update(over=True)
