"""`gym ...` within the process of a test."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import TypeAlias

from gym_core.spi import run_command


@dataclass(frozen=True, slots=True)
class Completed:
    """How a command ended and what it wrote."""

    exit_code: int
    out: str
    err: str


GymCommand: TypeAlias = "Callable[..., Completed]"


def gym(*arguments: str) -> Completed:
    """Run `gym` with these arguments; errors become an exit code and a message, as they do on the command line."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="", write_through=True) for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        code = run_command(arguments)
    return Completed(code, _text(out), _text(err))


def _text(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()
