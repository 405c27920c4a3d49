"""Standard streams that are closed, full, unread or noisy: what a command makes of them."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gym_core.cli import boundary
from tests.support.forks import gym_program

if TYPE_CHECKING:
    from tests.cli.conftest import Site

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="descriptors and signals are POSIX")

PATIENCE = 30
CODE = """
import asyncio
import ctypes
import os
import subprocess
import sys

from pydantic import Field

import gym_core
from gym_core import Agent, ModelBackend, ResourceServer, Response, Session, Stop, Task, hookimpl, isolated, tool


def noise():
    print("NOISE")
    if "LOUD" not in os.environ:
        return
    os.write(1, b"NOISE")
    if os.environ["LOUD"] == "at the end, too":  # as long as these are kept back
        (sys.__stdout__ or sys.stderr).write("NOISE")
        ctypes.CDLL(None).printf(b"NOISE")
    subprocess.run(["echo", "NOISE"])


noise()


class Says(ModelBackend):
    async def respond(self, request, context):
        noise()
        message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]}
        return Response({"id": "r", "output": [message]})

    async def list_models(self):
        noise()
        return ["m"]


class Loud(Session):
    @isolated
    def apart(self):
        noise()
        return 1.0

    async def verify(self, trajectory):
        noise()
        await asyncio.sleep(self.server.options.pause)
        print(self.server.options.shout * "x", file=sys.stderr)
        print("verified", file=sys.stderr, flush=True)
        return 1.0


class LoudsOptions(gym_core.Options):
    shout: int = Field(0, description="How many characters a verifier prints.")
    pause: float = Field(0.0, description="Seconds a verifier takes.")
    count: int = Field(3, description="How many tasks there are.")


class Louds(ResourceServer[LoudsOptions]):
    session_type = Loud

    def tasks(self):
        noise()
        for number in range(self.options.count):
            yield Task.ask("Say it." * 100, task_id=str(number))


class Once(Agent):
    async def run(self, episode):
        return Stop((await episode.respond(episode.request.input)).stop_reason)


@hookimpl(contract=1)
def gym_model_backends():
    return {"says": Says}


@hookimpl(contract=1)
def gym_resource_servers():
    return {"louds": Louds}


@hookimpl(contract=1)
def gym_agents():
    return {"simple_agent": Once}
"""
GYM = (sys.executable, "-m", "gym_core")
RUN = ("run", "--model", "says", "--env", "louds", "--output", "x.jsonl", "--overwrite")


@pytest.fixture(autouse=True)
def folder(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    module = site.add("loud", CODE)
    groups = {"gym.models": "says", "gym.resource_servers": "louds", "gym.agents": "simple_agent"}
    site.record("loud", {group: {name: module} for group, name in groups.items()}, "1.0", "Loud")
    monkeypatch.setenv("PYTHONPATH", str(site.path))
    monkeypatch.setenv("GYM_NO_DOTENV", "1")
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def shell(arguments: tuple[str, ...], redirections: str) -> subprocess.CompletedProcess[str]:
    text = f"{shlex.join((*GYM, *arguments))} {redirections}"
    return subprocess.run(["sh", "-c", text], capture_output=True, text=True, timeout=PATIENCE)


def rows(path: Path) -> int:
    return len((path / "x.jsonl").read_bytes().splitlines())


@contextlib.contextmanager
def started(*arguments: str, **streams: Any) -> Iterator[subprocess.Popen[str]]:
    """`gym` as a fork, which is gone in the end."""
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    process = subprocess.Popen([gym_program(), *arguments], text=True, **streams)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def full_pipe() -> tuple[int, int]:
    """The two ends of a pipe that takes nothing more."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 1024)
    os.set_blocking(writing, True)
    return reading, writing


# Closed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("closed", "more"), [(">&-", ()), ("2>&-", ()), ("<&- >&- 2>&-", ()), ("<&- >&- 2>&-", ("--workers", "2"))]
)
def test_a_run_does_without_streams(closed: str, more: tuple[str, ...], folder: Path) -> None:
    ended = shell((*RUN, *more), closed)
    assert ended.returncode == 0, ended.stderr
    assert rows(folder) == 3


@pytest.mark.slow
@pytest.mark.parametrize("command", ["rescore x.jsonl", "doctor", "tasks --env louds --json"])
def test_other_commands_do_without_streams(command: str) -> None:
    assert boundary.run_command(RUN) == 0
    assert shell(tuple(command.split()), "<&- >&- 2>&-").returncode in (0, 1)


@pytest.mark.slow
def test_standard_input_that_is_closed_is_no_input() -> None:
    ended = shell((*RUN, "--input", "-"), "<&-")
    assert ended.returncode == 3
    assert "there is no standard input" in ended.stderr
    assert shell(("uninstall", "loud"), "<&-").returncode == 2


# Full, or without a reader


@pytest.mark.slow
def test_a_full_disk_behind_the_streams_hurts_no_run(folder: Path) -> None:
    assert shell((*RUN, "-v"), "> /dev/full 2> /dev/full").returncode == 0
    assert rows(folder) == 3


@pytest.mark.parametrize("command", [("--help",), ("tasks", "--env", "louds", "--json")])
def test_data_that_cannot_be_written_is_an_error(command: tuple[str, ...]) -> None:
    ended = shell(command, "> /dev/full")
    assert ended.returncode == 2
    assert "error: standard output cannot be written: No space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_tasks_without_end_stop_when_their_reader_does() -> None:
    with started("tasks", "--env", "louds", "-E", "count=100000000", "--json") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["task_id"] == "0"
        process.stdout.close()
        assert process.wait(PATIENCE) == 141


def test_a_signal_ends_what_nobody_reads() -> None:
    with started("tasks", "--env", "louds", "-E", "count=100000000", "--json") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 128 + signal.SIGTERM


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--workers", "2")], ids=["here", "workers"])
def test_a_run_whose_notes_nobody_reads_ends_and_sums_up(more: tuple[str, ...], folder: Path) -> None:
    reading, writing = full_pipe()
    with started(*RUN, "-v", "-E", "shout=200000", "--json", *more, stderr=writing) as process:
        os.close(writing)
        assert process.stdout is not None
        assert json.loads(process.stdout.read())["rollouts"]["with_verdict"] == 3
        assert process.wait(PATIENCE) == 0
        assert rows(folder) == 3
    os.close(reading)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "gone"), [(signal.SIGINT, True), (signal.SIGTERM, False)], ids=["gone", "unread"])
def test_one_signal_ends_a_run_without_a_reader(number: signal.Signals, gone: bool, folder: Path) -> None:
    reading, writing = os.pipe() if gone else full_pipe()
    if gone:
        os.close(reading)
    with started(*RUN, "-E", "pause=600", "-v", "--log-file", "log", stdout=writing, stderr=writing) as process:
        os.close(writing)
        while not (folder / "log").exists() or b"run_started" not in (folder / "log").read_bytes():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(PATIENCE) == 128 + number
    if not gone:
        os.close(reading)


@pytest.mark.slow
def test_one_signal_ends_a_server_without_a_reader(tmp_path: Path) -> None:
    reading, writing = full_pipe()
    path = tmp_path / "s"
    with started("serve", "--env", "louds", "--uds", str(path), stdout=writing, stderr=writing) as process:
        os.close(writing)
        with socket.socket(socket.AF_UNIX) as client:
            while client.connect_ex(str(path)):
                assert process.poll() is None
                time.sleep(0.05)
            client.sendall(b"GET /health HTTP/1.1\r\nHost: gym\r\nConnection: close\r\n\r\n")
            assert client.recv(15) == b"HTTP/1.1 200 OK"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    os.close(reading)


def test_a_log_file_that_is_a_pipe_without_a_reader_is_refused(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with started(*RUN, "--log-file", "pipe") as process:
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert "--log-file takes another path" in err


def test_a_pipe_that_does_not_wait_gets_all_of_it(folder: Path) -> None:
    """Some launchers hand out pipes whose writes fail instead of waiting."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with started("tasks", "--env", "louds", "-E", "count=500", "--json", stdout=writing) as process:
        os.close(writing)
        with open(reading, "rb") as read:
            lines = read.read().splitlines()
        assert process.wait(PATIENCE) == 0
    assert [json.loads(line)["task_id"] for line in lines] == [str(number) for number in range(500)]


# Noisy plugins


@pytest.mark.parametrize(
    "command",
    [
        "run --model says --env louds --output y.jsonl --json",
        "rescore x.jsonl --output z.jsonl --json",
        "tasks --env louds --json --limit 1",
        "models --model says --json",
        "plugins check --json",
        "plugins show says --json",
        "check louds --json",
        "doctor --env louds --json",
        "config --model says --env louds --json",
        "stats x.jsonl --json",
        "show x.jsonl --json",
        "export x.jsonl --format nemo",
    ],
)
def test_json_is_all_that_is_printed(
    command: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert boundary.run_command([*RUN, "--limit", "1", "--quiet"]) == 0
    monkeypatch.setenv("LOUD", "1")
    with open(1, "w", encoding="utf-8", closefd=False) as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        monkeypatch.setattr(sys, "__stdout__", stdout)
        capfd.readouterr()
        boundary.run_command(command.split())
        stdout.flush()
    printed = capfd.readouterr().out
    assert "NOISE" not in printed
    assert json.loads(printed)


@pytest.mark.slow
def test_nor_does_a_process_print_anything_else_when_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOUD", "at the end, too")
    ended = subprocess.run(
        [*GYM, *RUN, "--workers", "2", "--json"], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert "NOISE" not in ended.stdout
    assert json.loads(ended.stdout), ended.stderr
