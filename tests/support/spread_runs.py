"""Runs over several processes, of the components of `spread`."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import orjson

from gym_core.spi import RunConfig, run_config
from tests.support.forks import KILL, gym_program
from tests.support.processes import alive
from tests.support.running import Ended, execute
from tests.support.spread import COMPONENTS, told, write_tasks

PATIENCE = 120.0


def config(**settings: Any) -> RunConfig:
    parts = {**COMPONENTS, **settings}
    model = parts.pop("model")
    return run_config(models={"policy": model}, **{"workers": 2, "concurrency": 8, **parts})


def run(**settings: Any) -> Ended:
    ended: Ended = wait(execute(config(**settings)))
    return ended


def wait(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, PATIENCE))


class Command:
    """`gym run --workers 2 --resume` of one output. `program`: what is started as `gym`."""

    def __init__(self, folder: Path, tasks: int = 120, **directions: Any) -> None:
        self.output = folder / "x.jsonl"
        self.errors = folder / "stderr.txt"
        self._source = write_tasks(folder / "in.jsonl", [told(number, **directions) for number in range(tasks)])
        self._folder = folder
        self.program = [str(gym_program())]
        self.env = "spread_env"

    def start(self, *extra: str) -> subprocess.Popen[bytes]:
        command = [
            *self.program, "run", "--model", "spread_model", "--env", self.env,
            "--agent", "spread_agent", "--input", str(self._source), "--output", str(self.output),
            "--concurrency", "8", "--workers", "2", "--quiet", "--resume", *extra,
        ]  # fmt: skip
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(self._folder)}
        with self.errors.open("wb") as errors:
            return subprocess.Popen(command, env=environ, cwd=self._folder, stderr=errors)

    def kill(self, process: subprocess.Popen[bytes]) -> int:
        """Kill it, and wait until it is gone. Returns how it has ended, which may have been before."""
        process.send_signal(KILL)
        return process.wait(PATIENCE)

    def rows(self) -> list[dict[str, Any]]:
        lines = self.output.read_bytes().splitlines(keepends=True) if self.output.exists() else []
        return [orjson.loads(line) for line in lines if line.endswith(b"\n")]

    def wait_for(self, process: subprocess.Popen[bytes], rows: int) -> None:
        until = time.monotonic() + PATIENCE
        while process.poll() is None and len(self.rows()) < rows and time.monotonic() < until:
            time.sleep(0.005)


def ended(process: int) -> bool:
    """Wait for a process to be gone."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if not alive(process):
            return True
        time.sleep(0.01)
    return False
