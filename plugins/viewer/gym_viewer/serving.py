"""Carrying `gym view` out for a person: the address, the browser, the way down."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import webbrowser

from gym_core.spi import Interrupts, Terminal
from gym_http.serve.listener import Listener
from gym_viewer.application import build
from gym_viewer.library import Library

HOST = "127.0.0.1"
_TOKEN_BYTES = 24
_GRACE = 1.0


class Serving:
    """One invocation of `gym view`. `browser`: whether to open one where there is one."""

    def __init__(self, terminal: Terminal, library: Library, *, port: int, browser: bool) -> None:
        self._terminal = terminal
        self._library = library
        self._port = port
        self._browser = browser
        self._ended = asyncio.Event()
        self._interrupts = Interrupts(terminal)

    def carry_out(self) -> int:
        """Serve until a signal; returns the exit status."""
        try:
            return self._interrupts.run(self._serve())
        finally:
            self._library.close()

    async def _serve(self) -> int:
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        listener = Listener(build(self._library, token), host=HOST, port=self._port, grace=_GRACE)
        async with listener:
            self._interrupts.words = "ending the viewer"
            self._interrupts.stop = lambda number: self._ended.set()
            url = f"{listener.url}/?token={token}"
            self._terminal.out(f"the viewer is on {url}", required=False)
            if self._browser and _has_browser():
                await asyncio.to_thread(_open, url)
            await self._ended.wait()
        return 0


def _has_browser() -> bool:
    """Whether there is a screen: a browser in a terminal would take it over."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")) and not os.environ.get("SSH_CONNECTION")


def _open(url: str) -> None:
    try:
        webbrowser.open(url)
    except webbrowser.Error:  # the address was printed
        return
