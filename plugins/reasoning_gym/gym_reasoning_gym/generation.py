"""The items that the generating process makes, read as they are asked for."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator
from dataclasses import asdict
from typing import IO, Any

from gym_core import GymError
from gym_reasoning_gym.order import Order

_KEPT = ("HOME", "LANG", "PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "USERPROFILE", "XDG_CACHE_HOME")
"""The variables that the process gets. It runs code of the package's data files: keys are none of its business."""


PROGRAM = (sys.executable, "-P", "-W", "ignore", "-m", "gym_reasoning_gym.generator")
"""What makes the items: the order comes on standard input, the lines go to standard output."""


async def generate(order: Order) -> AsyncGenerator[dict[str, Any], None]:
    """The lines of the generator as objects. It works a little ahead, as far as a pipe holds.

    Raises `GymError` when the process dies. Leaving the loop ends it.
    """
    with tempfile.TemporaryFile() as errors:
        process = await asyncio.to_thread(_start, order, errors)
        assert process.stdout is not None
        try:
            while line := await asyncio.to_thread(process.stdout.readline):
                item: dict[str, Any] = json.loads(line)
                yield item
            if await asyncio.to_thread(process.wait):
                errors.seek(0)
                said = errors.read().decode(errors="replace").strip().splitlines()
                raise GymError(f"generating tasks ended with exit code {process.returncode}: {(said or ['?'])[-1]}")
        finally:
            process.kill()  # ends a read that is under way, too
            process.wait()
            process.stdout.close()


def _start(order: Order, errors: IO[bytes]) -> subprocess.Popen[bytes]:
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    process = subprocess.Popen(
        PROGRAM,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env={**environment, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)), "PYTHONHASHSEED": "0"},
        start_new_session=True,  # a Ctrl-C is the parent's business
    )
    assert process.stdin is not None
    with process.stdin as pipe:
        pipe.write(json.dumps(asdict(order)).encode() + b"\n")
    return process
