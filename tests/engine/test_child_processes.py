"""Child processes end when nobody wants them any more, whatever they are at, and take along what they have started."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

from gym_core.spi import ChildProcess, Receive, WorkerLauncher, how_ended, read_message, when_let_go, write_message
from tests.support.loop import asynchronous

ROOT = Path(__file__).parents[2]
linux = pytest.mark.skipif(sys.platform != "linux", reason="waits for the processes of others")


@pytest.fixture(autouse=True)
def project_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def repeat(requests: IO[bytes], replies: IO[bytes], grace: float) -> None:
    """In a child: print to both streams, then say what is heard, and the grace."""
    print("not for the parent", flush=True)
    os.write(1, b"neither is this\n")
    write_message(replies, read_message(requests) + str(grace).encode())


def hold(requests: IO[bytes], replies: IO[bytes], grace: float) -> None:
    """In a child: start another process, tell both ids, and hold the interpreter for longer than anybody lives."""
    started = subprocess.Popen(["sleep", "1000"])
    when_let_go(requests.fileno(), grace, lambda: None)
    write_message(replies, f"{os.getpid()} {started.pid}".encode())
    import re

    re.match("(a+)+$", "a" * 50 + "b")


def start(performs: Callable[..., None], **options: Any) -> ChildProcess:
    started = ChildProcess(f"{__name__}:{performs.__name__}", **options)
    started.greet()
    return started


def answer(started: ChildProcess) -> bytes:
    assert started.process.stdout is not None
    return read_message(started.process.stdout)


def test_what_is_said_and_what_is_printed_are_kept_apart() -> None:
    child = start(repeat, grace=2.5, stderr=subprocess.PIPE)
    assert child.process.stdin is not None
    write_message(child.process.stdin, b"x" * 1_000_000)
    assert answer(child) == b"x" * 1_000_000 + b"2.5"
    assert child.process.stderr is not None
    assert child.process.stderr.read() == b"not for the parent\nneither is this\n"
    child.reap()
    assert child.process.returncode == 0


@linux
@pytest.mark.parametrize("how", ["kill", "let go", "parent killed"])
def test_one_that_holds_the_interpreter_is_ended_with_what_it_started(how: str) -> None:
    if how == "parent killed":
        program = textwrap.dedent(
            f"""
            import os, sys
            sys.path.insert(0, {str(ROOT)!r})
            from tests.engine.test_child_processes import answer, hold, start
            print(answer(start(hold)).decode(), flush=True)
            os.kill(os.getpid(), 9)
            """
        )
        pids = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=False).stdout
        until_gone(pids)
        return
    child = start(hold)
    pids = answer(child)
    if how == "kill":
        child.kill()
    else:
        child.release()
    until_gone(pids)
    child.reap()


def until_gone(pids: bytes) -> None:
    for pid in map(int, pids.split()):
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            assert select.select([process], [], [], 60)[0]
        finally:
            os.close(process)


@pytest.mark.parametrize(
    ("code", "said"), [(7, "exit code 7"), (-signal.SIGKILL, "signal SIGKILL"), (-99, "exit code -99")]
)
def test_how_it_ended_is_said(code: int, said: str) -> None:
    assert how_ended(code) == said


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
