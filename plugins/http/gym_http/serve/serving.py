"""Carrying `gym serve` out for a person: the line with the URL, signals, the way down."""

from __future__ import annotations

import asyncio
import gc
from contextlib import AsyncExitStack

from gym_core.spi import Interrupts, Terminal, allow_open_files
from gym_http.serve.listener import Listener
from gym_http.serve.opening import Wanted, open_application
from gym_http.serve.settings import ServeSettings

_WORDS = {"resource_server": "environment", "model": "model", "agent": "agent"}


class Serving:
    """One invocation of `gym serve`."""

    def __init__(
        self, terminal: Terminal, wanted: Wanted, settings: ServeSettings, *, host: str, port: int, uds: str | None
    ) -> None:
        self._terminal = terminal
        self._wanted = wanted
        self._settings = settings
        self._host = host
        self._port = port
        self._uds = uds
        self._ended = asyncio.Event()
        self.interrupts = Interrupts(terminal)

    def carry_out(self) -> int:
        """Run the event loop; returns the exit status."""
        return self.interrupts.run(self.run())

    async def run(self) -> int:
        """Serve until a signal; returns the exit status."""
        # Open sessions are many and live long: looking through them for cycles as often as usual costs CPU.
        gc.set_threshold(50_000, 20, 50)
        allow_open_files(0)
        async with AsyncExitStack() as stack:
            app, notices = await open_application(self._wanted, self._settings, stack, self._terminal.redactor)
            for notice in notices:
                self._terminal.note(f"warning: {notice}")
            listener = Listener(
                app, host=self._host, port=self._port, uds=self._uds, grace=1.0, limits=self._settings.connections
            )
            async with listener:
                self.interrupts.words = "finishing what is under way"
                self.interrupts.stop = lambda number: self._ended.set()
                self._terminal.out(
                    f"serving the {_WORDS[self._wanted.kind]} {self._wanted.name} on {listener.url}", required=False
                )
                await self._ended.wait()
                if not await app.drain():
                    late = f"{app.in_flight} requests did not end within {self._settings.drain:g} s"
                    self._terminal.note(f"warning: {late} and are cut off")
        return 0
