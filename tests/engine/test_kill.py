"""kill -9 at random moments: whatever it hits, every rollout ends once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from gym_core.engine.storage.files import read_rows
from tests.support.forks import KILL, gym_program

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")

ROOT = Path(__file__).parents[2]
TASKS, REPEATS, KILLS = 200, 2, 22
PATIENCE = 60.0

PLUGIN = '''
"""A model that takes a few milliseconds, an environment whose verifier breaks now and then."""
import asyncio
import random

from gym_core import Agent, ModelBackend, ResourceServer, Response, Session, Stop, hookimpl


class Model(ModelBackend):
    """Says a number."""

    async def respond(self, request, context):
        await asyncio.sleep(random.uniform(0.002, 0.06))
        message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "1" * 500}]}
        return Response({"id": "r", "output": [message], "usage": {"input_tokens": 1, "output_tokens": 1}})


class Checked(Session):
    def verify(self, trajectory):
        if self.task["number"] % 20 == 7:
            raise ValueError("cannot judge this")
        return self.task["number"] % 2


class Numbers(ResourceServer):
    """Numbers."""

    session_type = Checked

    async def score_group(self, rollouts):
        await asyncio.sleep(random.uniform(0.0, 0.02))
        return [rollout.reward + len(rollouts) for rollout in rollouts]


class Once(Agent):
    """Asks once."""

    async def run(self, episode):
        return Stop((await episode.respond(episode.request.input)).stop_reason)


@hookimpl(contract=1)
def gym_model_backends():
    return {"killed_model": Model}


@hookimpl(contract=1)
def gym_resource_servers():
    return {"killed_env": Numbers}


@hookimpl(contract=1)
def gym_agents():
    return {"killed_agent": Once}
'''
ENTRY_POINTS = """[gym.models]
killed_model = killed_plugin
[gym.resource_servers]
killed_env = killed_plugin
[gym.agents]
killed_agent = killed_plugin
"""


class Runs:
    """`gym run --resume` of one output, in processes of their own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.output = folder / "results" / "x.jsonl"
        self.failures = self.output.with_name("x.failures.jsonl")
        self._errors = folder / "stderr.txt"
        site = folder / "site"
        info = site / "killed-1.0.dist-info"
        info.mkdir(parents=True)
        (site / "killed_plugin.py").write_text(PLUGIN)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: killed\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(ENTRY_POINTS)
        source = folder / "in.jsonl"
        with source.open("wb") as file:
            for number in range(TASKS):
                named = {"task_id": f"t{number}"} if number % 2 else {}
                file.write(orjson.dumps({**named, "number": number, "responses_create_params": {"input": "?"}}) + b"\n")
        self._options = [
            "run", "--model", "killed_model", "--env", "killed_env",
            "--agent", "killed_agent", "--output", str(self.output), "--repeats", str(REPEATS),
            "--concurrency", "8", "--quiet", "--resume", *options,
        ]  # fmt: skip
        self._environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)]), "HOME": str(folder)}
        self._folder, self._source = folder, source

    def start(self, source: str = "", *, fresh: bool = False) -> subprocess.Popen[bytes]:
        """Start one: a fork, or a `fresh` process whose start takes its time."""
        program = [sys.executable, "-m", "gym_core"] if fresh else [str(gym_program())]
        command = [*program, *self._options, "--input", source or str(self._source)]
        with self._errors.open("wb") as errors:
            return subprocess.Popen(command, env=self._environ, cwd=self._folder, stdin=subprocess.PIPE, stderr=errors)

    def finish(self) -> int:
        with self.start() as process:
            return process.wait(PATIENCE)

    def kill(self, full: int, seconds: float | None = None) -> bool:
        """Start a run and kill it when its rows have a size, or after seconds; False when it ended before."""
        fresh = seconds is not None
        until = time.monotonic() + (PATIENCE if seconds is None else seconds)
        with self.start(fresh=fresh) as process:
            while process.poll() is None and time.monotonic() < until and self.size() < full:
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL if fresh else KILL)
            return process.wait(PATIENCE) == -signal.SIGKILL

    def size(self) -> int:
        return self.output.stat().st_size if self.output.exists() else 0

    def keys(self, path: Path) -> list[tuple[str, int]]:
        """The rollouts of a file's whole lines."""
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        rows = [orjson.loads(line) for line in lines if line.endswith(b"\n")]
        return [(row["task_id"], row["rollout"]["repeat"]) for row in rows]

    @property
    def said(self) -> str:
        return self._errors.read_text()


def tear(path: Path, chance: random.Random) -> None:
    """Leave half a line, as a power cut may."""
    content = path.read_bytes() if path.exists() else b""
    if content:
        last = len(content.splitlines(keepends=True)[-1])
        path.write_bytes(content[: -chance.randrange(1, last)])


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_whatever_a_kill_hits_every_rollout_ends_once(tmp_path: Path) -> None:
    runs, chance = Runs(tmp_path, "--no-group"), random.Random(20)
    kills = 0
    for number in range(KILLS):
        # At any time, the start included, or while rows are being written; never so late that nothing is left to kill.
        seconds = chance.uniform(0.05, 1.2) if number % 3 == 0 else None
        killed = runs.kill(runs.size() + chance.randrange(1, 15_000), seconds)
        kills += killed
        found = runs.keys(runs.output)
        assert len(found) == len(set(found))
        if not killed:
            assert "Error" not in runs.said
        if number % 7 == 5:
            tear(chance.choice([runs.output, runs.failures]), chance)
    assert kills >= 20
    assert runs.finish() == 1, runs.said  # some verdicts failed
    rows, failed = runs.keys(runs.output), runs.keys(runs.failures)
    names = [f"t{number}" if number % 2 else str(number + 1) for number in range(TASKS)]
    assert sorted(rows + failed) == sorted((name, repeat) for name in names for repeat in range(REPEATS))
    assert {name for name, _ in failed} == {name for number, name in enumerate(names) if number % 20 == 7}
    summary = orjson.loads(runs.output.with_name("x.summary.json").read_bytes())
    assert summary["rollouts"]["with_verdict"] == len(rows)
    assert summary["rollouts"]["failed"] == len(failed)
    assert all(row["reward"] in (0.0, 1.0) for row in read_rows(runs.output))


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_whatever_a_kill_hits_every_group_is_scored_in_the_end(tmp_path: Path) -> None:
    runs, chance = Runs(tmp_path), random.Random(21)
    groups = runs.output.with_name("x.groups.jsonl")
    for number in range(8):
        runs.kill(runs.size() + chance.randrange(1_000, 30_000))
        if number % 3 == 1:
            tear(groups, chance)
    assert runs.finish() == 1, runs.said  # some verdicts failed
    rows, failed = runs.keys(runs.output), runs.keys(runs.failures)
    names = [f"t{number}" if number % 2 else str(number + 1) for number in range(TASKS)]
    assert sorted(rows + failed) == sorted((name, repeat) for name in names for repeat in range(REPEATS))
    found = {line["task_id"]: line["verdicts"] for line in map(orjson.loads, groups.read_bytes().splitlines())}
    whole = {name for name in names if (name, 0) in rows and (name, 1) in rows}
    assert found.keys() == whole
    assert all([verdict["repeat"] for verdict in verdicts] == [0, 1] for verdicts in found.values())
    summary = orjson.loads(runs.output.with_name("x.summary.json").read_bytes())
    assert (summary["groups"]["scored"], summary["groups"]["failed"]) == (len(whole), 0)


REPLACING = """
import sys
from pathlib import Path
from gym_core.engine.storage.files import write_json
number = 0
while True:
    number += 1
    write_json(Path(sys.argv[1]), {"number": number, "long": [number] * 20_000})
"""


def test_a_kill_never_leaves_half_a_manifest(tmp_path: Path) -> None:
    path, chance = tmp_path / "x.run.json", random.Random(5)
    command = [sys.executable, "-c", REPLACING, str(path)]
    for _ in range(5):
        process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)})
        until = time.monotonic() + PATIENCE
        before = path.stat().st_mtime_ns if path.exists() else 0
        while (not path.exists() or path.stat().st_mtime_ns == before) and time.monotonic() < until:
            time.sleep(0.001)
        time.sleep(chance.uniform(0.0, 0.05))
        process.kill()
        assert process.wait(PATIENCE) == -signal.SIGKILL
        found = orjson.loads(path.read_bytes())
        assert found["long"] == [found["number"]] * 20_000
    assert {file.name for file in tmp_path.iterdir()} <= {"x.run.json", "x.run.json.partial"}


def test_an_interrupt_ends_a_run_that_waits_for_standard_input(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    row = orjson.dumps({"number": 1, "responses_create_params": {"input": "?"}}) + b"\n"
    with runs.start("-") as process:
        assert process.stdin is not None
        process.stdin.write(row)
        process.stdin.flush()
        until = time.monotonic() + PATIENCE
        while len(runs.keys(runs.output)) < REPEATS and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130, runs.said
    assert sorted(runs.keys(runs.output)) == [("1", 0), ("1", 1)]
    assert "Traceback" not in runs.said
    assert "Fatal" not in runs.said
