"""The way to one worker, whatever it goes over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

Head: TypeAlias = dict[str, Any]
"""The JSON object that a frame begins with."""

Receive: TypeAlias = Callable[[Head, bytes], None]
"""What takes a frame of a worker: the JSON object that it begins with, and the bytes that this is about."""


class WorkerChannel(Protocol):
    """The way to one worker. `name`: what messages call it."""

    name: str

    def send(self, frame: bytes) -> None:
        """Send a frame; to a worker that has gone it is lost."""
        ...

    def kill(self) -> None:
        """End the worker at once; `gone` of its `launch` is called when it has."""
        ...
