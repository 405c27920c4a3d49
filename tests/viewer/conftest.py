from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest

from gym_http.serve.listener import Listener
from gym_viewer.application import build
from gym_viewer.library import Library

TOKEN = "the-token"


@dataclass
class Viewer:
    """A viewer on loopback. `http` has the token."""

    url: str
    library: Library
    http: httpx.Client

    def get(self, path: str, **query: Any) -> Any:
        answer = self.http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, path: str, **query: Any) -> tuple[int, str]:
        """Status and words of a refusal."""
        answer = self.http.get(path, params=query)
        said = answer.json()
        assert set(said) == {"error", "hint"}
        return answer.status_code, said["error"]

    def run(self, name: str) -> str:
        """The path of a run by its name."""
        runs = self.get("/api/runs")["runs"]
        (found,) = (run["id"] for run in runs if run["name"] == name)
        return f"/api/runs/{found}"


class Opening(Protocol):
    def __call__(self, *places: Path) -> Viewer: ...


@pytest.fixture
def viewing(tmp_path: Path) -> Iterator[Opening]:
    """Opens viewers that end with the test."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def begin(*places: Path) -> Viewer:
            library = Library(places, indexes=tmp_path / "indexes")
            stack.callback(library.close)
            url = stack.enter_context(_served(library))
            http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False, timeout=30)
            stack.enter_context(http)
            return Viewer(url, library, http)

        yield begin


@contextmanager
def _served(library: Library) -> Iterator[str]:
    started, url = threading.Event(), []
    ended: list[Any] = []

    async def serve() -> None:
        end = asyncio.Event()
        ended.append((asyncio.get_running_loop(), end))
        async with Listener(build(library, TOKEN), grace=0.1) as listener:
            url.append(listener.url)
            started.set()
            await end.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(30)
    try:
        yield url[0]
    finally:
        loop, end = ended[0]
        loop.call_soon_threadsafe(end.set)
        thread.join(30)
