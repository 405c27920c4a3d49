"""How a run is doing, in one line of text."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from gym_core.engine.run.run import Run

LIVE_SECONDS = 0.2
"""Seconds between two looks of somebody who watches."""
_WINDOW = 50


class Pace:
    """Speed over the last stretch of a run."""

    def __init__(self, run: Run[Any]) -> None:
        self._run = run
        self._samples: deque[tuple[float, int, int]] = deque(maxlen=_WINDOW)

    def sample(self) -> tuple[float, float | None]:
        """Output tokens per second, and seconds left where that can be told."""
        progress = self._run.progress
        now, finished = progress.seconds, progress.finished - progress.kept
        self._samples.append((now, finished, progress.usage.output_tokens))
        start, _, tokens = self._samples[0]
        speed = (progress.usage.output_tokens - tokens) / (now - start) if now > start else 0.0
        left = None
        if finished and progress.total is not None and progress.total > progress.finished:
            left = (progress.total - progress.finished) * now / finished
        return speed, left


def line(run: Run[Any], pace: Pace, *, over: bool = False) -> str:
    """The state of a run in one line, what matters most first: its end is cut off where there is no room."""
    progress = run.progress
    speed, left = pace.sample()
    mean = progress.rewards.running_mean
    parts = [
        f"{progress.finished - progress.cancelled}/{progress.total if progress.total is not None else '?'} done",
        f"{progress.failed - progress.cancelled} failed",
        *([f"{progress.cancelled} cancelled"] if progress.cancelled else ()),
        f"reward {mean:.3f}" if mean is not None else "reward -",
    ]
    if over:
        return ", ".join(parts)
    if left is not None:
        parts.insert(0, f"{duration(left)} left")
    parts += [f"{speed:.0f} tok/s", f"{progress.in_flight} in flight"]
    parts += [f"{count} waiting for the {what}" for what, count in run.waiting().items()]
    if progress.expected is not None:
        tokens, cost = progress.expected
        money = f" and {cost:.3g} USD" if cost is not None else ""
        parts.append(f"about {amount(tokens)} tokens{money} in all")
    return ", ".join(parts)


def fitted(text: str, width: int) -> str:
    """As many parts of a line as fit, the first one at least."""
    while len(text) > width and ", " in text:
        text = text.rpartition(", ")[0]
    return text


def amount(count: float) -> str:
    """A large number in three digits."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f}"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


@asynccontextmanager
async def ticking(tick: Callable[[], None], seconds: float) -> AsyncIterator[None]:
    """Call `tick` every so many seconds for as long as the context is open."""

    async def forever() -> None:
        while True:
            await asyncio.sleep(seconds)
            tick()

    task = asyncio.create_task(forever())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
