"""What starts workers, and ends those that are left of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gym_workers import Receive, WorkerLauncher
from tests.support.loop import asynchronous


class Channel:
    """A worker that goes on until it is killed."""

    name = "worker"

    def __init__(self, gone: Callable[[str], None]) -> None:
        self._gone = gone

    def send(self, frame: bytes) -> None:
        """Lose a frame."""

    def kill(self) -> None:
        """End a little later."""
        asyncio.get_running_loop().call_later(0.01, self._gone, "killed")


class Launcher(WorkerLauncher):
    """Starts nothing."""

    def start(self, number: int, receive: Receive, gone: Callable[[str], None]) -> Channel:
        return Channel(gone)


@asynchronous
async def test_a_launcher_that_is_closed_ends_what_is_left_of_its_workers_and_waits_for_that() -> None:
    told: list[str] = []
    async with Launcher() as launcher:
        launcher.launch(0, lambda head, body: None, told.append).kill()
        while not told:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        for number in (1, 2):
            launcher.launch(number, lambda head, body: None, told.append)
    assert told == ["killed"] * 3
