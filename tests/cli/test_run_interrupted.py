"""`gym run` as a process: signals, pipes, terminals."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from tests.support.forks import gym_program

if TYPE_CHECKING:
    from tests.cli.conftest import Gym, Site

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")

MODEL = """
import asyncio
import sys

from pydantic import Field

import gym_core
from gym_core import ModelBackend, Response, hookimpl


class SleepyOptions(gym_core.Options):
    awake: int = Field(1, description="How many tasks it answers.")
    pause: float = Field(0.0, description="Seconds before an answer.")


class Sleepy(ModelBackend[SleepyOptions]):
    async def respond(self, request, context):
        if int(context.key[0]) >= self.options.awake:
            print("asleep", context.key[0], file=sys.stderr, flush=True)
            await asyncio.Event().wait()
        await asyncio.sleep(self.options.pause)
        message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]}
        return Response({"id": "r", "output": [message]})


@hookimpl(contract=1)
def gym_model_backends():
    return {"sleepy": Sleepy}
"""

ENV = """
import asyncio
import sys

from pydantic import Field

import gym_core
from gym_core import ResourceServer, Session, Task, hookimpl


class Bed(Session):
    def verify(self, trajectory):
        return 1.0

    async def close(self):
        if self.server.options.sticky and self.task.task_id == "1":
            print("closing", file=sys.stderr, flush=True)
            await asyncio.Event().wait()


class BedsOptions(gym_core.Options):
    sticky: bool = Field(False, description="Whether a session does not close.")


class Beds(ResourceServer[BedsOptions]):
    session_type = Bed

    def tasks(self):
        return [Task.ask("Sleep.", task_id=str(number)) for number in range(4)]


@hookimpl(contract=1)
def gym_resource_servers():
    return {"beds": Beds}
"""

AGENT = """
from gym_core import Agent, Stop, hookimpl


class Once(Agent):
    async def run(self, episode):
        return Stop((await episode.respond(episode.request.input)).stop_reason)


@hookimpl(contract=1)
def gym_agents():
    return {"simple_agent": Once}
"""

RUN = ("run", "--model", "sleepy", "--env", "beds", "--output", "x.jsonl")


@pytest.fixture(autouse=True)
def plugins(site: Site) -> None:
    site.add("sleepy-model", MODEL, group="gym.models", name="sleepy")
    site.add("beds-env", ENV, group="gym.resource_servers", name="beds")
    site.add("once-agent", AGENT, group="gym.agents", name="simple_agent")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "process"
    made.mkdir()
    return made


@contextlib.contextmanager
def started(
    site: Site, folder: Path, *arguments: str, program: Sequence[str] = (), **streams: Any
) -> Iterator[subprocess.Popen[str]]:
    """`gym` in a process of its own, a fork where no program is given, which is gone in the end."""
    env = {**os.environ, "PYTHONPATH": str(site.path), "GYM_NO_DOTENV": "1"}
    process = subprocess.Popen(
        [*(program or (str(gym_program()),)), *arguments],
        cwd=folder, env=env, text=True,
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(process: subprocess.Popen[str], *words: str) -> str:
    """Read standard error until all the words have been seen."""
    assert process.stderr is not None
    seen = ""
    for line in process.stderr:
        seen += line
        if all(word in seen for word in words):
            return seen
    raise AssertionError(f"it ended before it said {words}:\n{seen}")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_keeps_its_rows_and_tells_how_to_continue(
    number: signal.Signals, status: int, site: Site, folder: Path
) -> None:
    with started(site, folder, *RUN, "--json", "--concurrency", "1") as process:
        wait_for(process, "asleep 1")
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == status, err
    assert f"{number.name}: ending what is under way" in err
    assert "gym run --model sleepy --env beds --output x.jsonl --json --concurrency 1 --resume" in err
    assert "Traceback" not in err
    assert "1 with a verdict, 1 cancelled" in err
    assert "failures by cause" not in err
    summary = json.loads(out)
    assert summary["state"] == "interrupted"
    assert summary["rollouts"]["with_verdict"] == 1
    assert summary["rollouts"]["cancelled"] == 1
    assert [orjson.loads(line)["task_id"] for line in (folder / "x.jsonl").read_bytes().splitlines()] == ["0"]
    with started(site, folder, *RUN, "--resume", "--accept-changes", "-M", "awake=4") as again:
        _, err = again.communicate(timeout=30)
    assert again.returncode == 0, err
    found = [orjson.loads(line)["task_id"] for line in (folder / "x.jsonl").read_bytes().splitlines()]
    assert sorted(found) == ["0", "1", "2", "3"]


@pytest.mark.slow
def test_a_second_signal_stops_at_once(site: Site, folder: Path) -> None:
    with started(site, folder, *RUN, "-E", "sticky=true") as process:
        wait_for(process, "asleep 1")
        process.send_signal(signal.SIGINT)
        wait_for(process, "closing")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)
    assert process.returncode == 143


@pytest.mark.slow
def test_a_killed_run_can_be_resumed(site: Site, folder: Path) -> None:
    program = (sys.executable, "-m", "gym_core")
    with started(site, folder, *RUN, "--concurrency", "2", program=program) as process:
        wait_for(process, "asleep 1")
        process.kill()
        process.wait()
    rows = (folder / "x.jsonl").read_bytes()
    assert rows == b"" or rows.endswith(b"\n")
    with started(site, folder, *RUN, "--resume", "--accept-changes", "-M", "awake=4") as again:
        _, err = again.communicate(timeout=30)
    assert again.returncode == 0, err
    assert len((folder / "x.jsonl").read_bytes().splitlines()) == 4


@pytest.mark.slow
def test_a_second_process_on_the_same_output_is_refused(site: Site, folder: Path) -> None:
    with started(site, folder, *RUN, "--concurrency", "1") as first:
        wait_for(first, "asleep 1")
        before = (folder / "x.jsonl").read_bytes()
        for flag in ("--resume", "--overwrite"):
            with started(site, folder, *RUN, flag) as second:
                _, err = second.communicate(timeout=30)
            assert second.returncode == 2
            assert "another run" in err
            assert (folder / "x.jsonl").read_bytes() == before
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=30)
    assert first.returncode == 130


@pytest.mark.slow
def test_rows_on_standard_input_are_run_as_they_come(site: Site, folder: Path) -> None:
    line = '{{"id": {}, "responses_create_params": {{"input": "Sleep."}}}}\n'
    with started(site, folder, *RUN, "--input", "-", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(line.format(0) + line.format(1))
        process.stdin.flush()
        wait_for(process, "asleep 1")  # nobody has closed standard input
        process.stdin.write(line.format(2))
        process.stdin.flush()
        wait_for(process, "asleep 2")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130
    found = [orjson.loads(line)["task_id"] for line in (folder / "x.failures.jsonl").read_bytes().splitlines()]
    assert {"1", "2"} <= set(found)


@pytest.mark.slow
def test_a_reader_of_the_summary_that_has_gone_does_not_hurt_the_results(site: Site, folder: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with started(site, folder, *RUN, "-M", "awake=4", "--json", stdout=writing) as process:
        os.close(writing)
        _, err = process.communicate(timeout=30)
    assert "Traceback" not in err
    assert len((folder / "x.jsonl").read_bytes().splitlines()) == 4
    assert (folder / "x.summary.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("columns", "has_bar"), [(80, True), (40, False)])
def test_on_a_terminal_progress_is_a_live_line_that_fits(
    columns: int, has_bar: bool, site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller, terminal = os.openpty()
    monkeypatch.setenv("COLUMNS", str(columns))
    with started(site, folder, *RUN, "-M", "awake=4", "-M", "pause=0.3", stderr=terminal) as process:
        os.close(terminal)
        shown = b""
        with contextlib.suppress(OSError):  # the terminal is closed when the process ends
            while chunk := os.read(controller, 65536):
                shown += chunk
        os.close(controller)
        assert process.wait(timeout=30) == 0
    assert b"4/4 done" in shown
    assert b"0 failed" in shown
    assert "with a verdict" in shown.decode()
    lines = re.sub(r"\x1b\[[0-9;]*[mJ]", "", shown.decode()).replace("\n", "\r").split("\r")
    progress = [line for line in lines if "failed" in line]
    assert len(progress) > 1
    assert all(len(line) < columns and ("\u2501" in line) == has_bar for line in progress)


def test_elsewhere_progress_is_plain_lines(gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gym_core.cli.progress.PLAIN_SECONDS", 0.02)
    done = gym(*RUN, "-M", "awake=4", "-M", "pause=0.2")
    assert done.status == 0
    lines = [line for line in done.err.splitlines() if " done, " in line]
    assert lines
    assert lines[0].startswith("0/4 done, 0 failed, reward -, 0 tok/s, 4 in flight")
    assert "\x1b" not in done.err
    assert " done, " not in gym(*RUN, "--overwrite", "-M", "awake=4", "-M", "pause=0.2", "--quiet").err
