"""Thousands of connections need thousands of open files."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from gym_testing import FakeOpenAI, Received
from tests.support.endpoints import gym_command, gym_environment

if sys.platform != "win32":
    import resource

TOGETHER = 100
"""Requests in flight at once: more than files are allowed at first."""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits on open files are POSIX")


@pytest.mark.slow
def test_a_low_soft_limit_on_open_files_does_not_hurt_a_run(transport: str, tmp_path: Path) -> None:
    together = asyncio.Barrier(TOGETHER)

    async def turn(request: Received) -> str:
        if request.number < TOGETHER:
            async with asyncio.timeout(30):
                await together.wait()
        return "It is sunny."

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

    options = (
        "--output",
        "x.jsonl",
        "--concurrency",
        "150",
        "--repeats",
        "10",
        "-M",
        f"transport={transport}",
        "--json",
    )
    with FakeOpenAI(turn) as server:
        ended = subprocess.run(
            gym_command(server, *options, fresh=True), cwd=tmp_path, env=gym_environment(), preexec_fn=limit,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["rollouts"]["failed"] == 0
    assert server.peak >= TOGETHER


GREEDY = """
import asyncio
import os
import sys
from pathlib import Path

from gym_core import Agent, ModelBackend, ResourceServer, Response, Session, Stop, Task
from gym_core.spi import run_config
from gym_core.spi import open_run


class Greedy(ModelBackend):
    async def respond(self, request, context):
        try:
            while True:
                os.open(os.devnull, os.O_RDONLY)
        except OSError:
            return Response({"id": "r", "output": [], "usage": {"input_tokens": 1, "output_tokens": 1}})


class Once(Agent):
    async def run(self, episode):
        return Stop((await episode.respond(episode.request.input)).stop_reason)


class Plain(ResourceServer):
    class session_type(Session):
        def verify(self, trajectory):
            if self.task["number"] == 2:
                raise ValueError("cannot judge this")
            return 1.0

    def tasks(self):
        return [Task.ask("?", number=number) for number in range(4)]


async def main():
    config = run_config(models={"policy": Greedy()}, env=Plain(), agent=Once(), output=Path(sys.argv[1]))
    async with open_run(config) as run:
        summary = await run.execute()
    raise SystemExit(repr(run.error) if run.error else summary["state"])


asyncio.run(main())
"""


def test_rows_failures_and_summary_are_written_with_no_descriptor_to_spare(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))

    output = tmp_path / "x.jsonl"
    ended = subprocess.run(
        [sys.executable, "-c", GREEDY, str(output)],
        preexec_fn=limit, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.stderr == "finished\n"
    summary = json.loads(output.with_name("x.summary.json").read_bytes())
    assert (summary["rollouts"]["with_verdict"], summary["rollouts"]["failed"]) == (3, 1)
    for name, count in (("x.jsonl", 3), ("x.failures.jsonl", 1)):
        assert len(output.with_name(name).read_bytes().splitlines()) == count
    assert json.loads(output.with_name("x.run.json").read_bytes())["run_id"] == summary["run_id"]
