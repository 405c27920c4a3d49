"""Child processes end when nobody wants them any more, whatever they are at, and take along what they have started."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

import pytest

from gym_core import UsageError
from gym_core.engine.child_processes.parent import ErrorLines
from gym_core.errors import PluginError
from gym_core.spi import (
    ChildProcess,
    NoAnswer,
    how_ended,
    read_message,
    when_let_go,
    write_message,
)
from gym_isolated.process import ask
from gym_isolated.records import Environment
from gym_openenv.process import StartedServer

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
    child = start(repeat, grace=2.5, heard=str)
    assert child.process.stdin is not None
    write_message(child.process.stdin, b"x" * 1_000_000)
    assert answer(child) == b"x" * 1_000_000 + b"2.5"
    assert not child.close(60)
    assert child.last_lines() == ": not for the parent | neither is this"
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


def garble(requests: IO[bytes], replies: IO[bytes], grace: float) -> None:
    """In a child: answer with what is asked for, byte for byte or as a message, and live on."""
    asked = json.loads(read_message(requests))
    said = str(asked["say"]).encode()
    if asked.get("raw"):
        replies.write(said)
        replies.flush()
    else:
        write_message(replies, said)
    time.sleep(1000)


@pytest.mark.parametrize("asked", [{"say": "no JSON"}, {"say": "[1]"}, {"say": "Traceback", "raw": True}])
def test_a_garbled_answer_is_none_and_ends_the_child(asked: dict[str, Any]) -> None:
    child = ChildProcess(f"{__name__}:garble")
    with pytest.raises(NoAnswer) as caught:
        child.answer(json.dumps(asked).encode(), 60)
    assert str(caught.value) == "answered with something that is no JSON object"
    assert child.process.wait(60) == -signal.SIGKILL
    child.reap()


@pytest.mark.parametrize("let_go", ["before", "meanwhile"])
def test_one_that_was_let_go_of_does_not_answer(let_go: str, monkeypatch: pytest.MonkeyPatch) -> None:
    child = ChildProcess(f"{__name__}:hold")
    if let_go == "before":
        child.release()
    else:
        monkeypatch.setattr(child, "greet", child.release)
    with pytest.raises(NoAnswer) as caught:
        child.answer(b"{}", 60)
    assert str(caught.value).startswith("ended (")
    child.kill()
    child.reap()


def test_whoever_asks_says_a_garbled_answer_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def start_garbling(performs: str, *, python: Path | None = None, **options: Any) -> ChildProcess:
        return ChildProcess(f"{__name__}:garble", **options)

    for module in ("gym_isolated", "gym_openenv"):
        monkeypatch.setattr(f"{module}.process.ChildProcess", start_garbling)
        monkeypatch.setattr(f"{module}.process.encode_json", lambda value, **how: b'{"say": "no JSON"}')
    venv = Environment(tmp_path, "odd", "gym-odd", "1.0", "", "1.0", 1, "3.12", [])
    with pytest.raises(PluginError, match=r"answered with something that is no JSON object \("):
        ask(venv, "describe", {})
    server = StartedServer("odd_env:app")
    with pytest.raises(UsageError, match=r"^openenv:odd_env:app answered .* no JSON object when it was started"):
        server.begin(1)
    server.close()


class Endless:
    """What a child writes that goes on and on: a line whenever the last ones are looked at."""

    def __init__(self) -> None:
        self.wanted, self.read = threading.Semaphore(5), threading.Semaphore(0)

    def readline(self, longest: int) -> bytes:
        self.read.release()
        self.wanted.acquire()
        return b"a line\n"


def test_the_last_lines_of_one_that_still_writes_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gym_core.engine.child_processes.parent._LAST_LINES_SECONDS", 0)
    stream = Endless()

    class Line(str):
        def split(self, *how: Any) -> list[str]:
            stream.wanted.release()
            stream.read.acquire()  # the line before it is among the last ones now
            return super().split(*how)

    lines = ErrorLines(cast("IO[bytes]", stream), Line)
    for _ in range(6):
        stream.read.acquire()
    assert lines.last() == ": " + " | ".join(["a line"] * 5)
