"""Executors: where the workers of a run come from, processes of this machine or actors of a cluster."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol, TypeAlias

from gym_core.contract.component import Component, ComponentContext, OptionsT_co

Head: TypeAlias = dict[str, Any]
"""The JSON object that a frame begins with."""

Receive: TypeAlias = Callable[[Head, bytes], None]
"""What takes a frame of a worker: the JSON object that it begins with, and the bytes that this is about."""


CLOSE_SECONDS = 30.0
"""How long workers that were killed may take to be gone."""


class WorkerChannel(Protocol):
    """The way to one worker. `name`: what messages call it."""

    name: str

    def send(self, frame: bytes) -> None:
        """Send a frame; to a worker that has gone it is lost."""
        ...

    def kill(self) -> None:
        """End the worker at once; `gone` of its `launch` is called when it has."""
        ...


class WorkerLauncher(Component[OptionsT_co]):
    """Starts the workers of a run. `--executor NAME` takes one; its options are given with `-X`.

    It restarts nothing by itself: what died is the engine's to judge. `inherits`: whether workers have this process's
    variables and import path, or are sent what they need. `flush_seconds`: how long results wait for others to share a
    frame: the longer, the more a frame costs.
    """

    inherits: ClassVar[bool] = False
    flush_seconds: ClassVar[float] = 0.05

    def __init__(self, options: OptionsT_co | None = None, context: ComponentContext | None = None) -> None:
        super().__init__(options, context)
        self._running: dict[WorkerChannel, asyncio.Future[None]] = {}

    async def prepare(self, workers: int, distributions: Sequence[str]) -> None:
        """Get ready for so many workers, which need these distributions. Raises `UsageError` where that cannot be.

        Called once, after it was opened and before the first `launch`.
        """

    def launch(self, number: int, receive: Receive, gone: Callable[[str], None]) -> WorkerChannel:
        """Start a worker, as the engine does; what is left of them when the launcher is closed is ended then."""
        over = asyncio.get_running_loop().create_future()

        def left(how: str) -> None:
            over.set_result(None)
            gone(how)

        channel = self.start(number, receive, left)
        self._running[channel] = over
        over.add_done_callback(lambda _: self._running.pop(channel))
        return channel

    @abstractmethod
    def start(self, number: int, receive: Receive, gone: Callable[[str], None]) -> WorkerChannel:
        """Start a worker. `receive` is given its frames, `gone` is called once, with how it ended, after the last.

        Called in the event loop.
        """

    async def __aexit__(self, *error: object) -> None:
        """Kill what is left, and see it off."""
        left = dict(self._running)
        for channel in left:
            channel.kill()
        if left:
            await asyncio.wait(left.values(), timeout=CLOSE_SECONDS)
