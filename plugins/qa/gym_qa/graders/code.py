"""`code`: a program that passes its tests, run in a process of its own.

What the process has: a folder of its own that is deleted afterwards, no variables of this process, limits of processor
time, time, memory and size of files. What it has not: a wall around the file system, the network or other processes.
Whoever does not trust a model runs gym itself in a container.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any

from gym_qa.answers import unthought
from gym_qa.graders.grade import Expected, Grade

WAITS = 3
"""A program that waits instead of computing has so many times the processor time."""
_FENCED = re.compile(r"```[ \t]*([\w+-]*)[^\n]*\n(.*?)```", re.DOTALL)
_PYTHON = ("python", "py", "python3", "")
SHOWN = 500

HARNESS = r"""
import json, os, resource, signal, sys
seconds, memory = int(sys.argv[1]), int(sys.argv[2])
for what, most in (("CPU", seconds), ("AS", memory), ("FSIZE", 1 << 24), ("CORE", 0)):
    try:
        resource.setrlimit(getattr(resource, "RLIMIT_" + what), (most, most))
    except (ValueError, OSError):
        pass
try:
    import ctypes
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
except Exception:
    pass
asks, tells = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", 0)
nothing = os.open(os.devnull, os.O_RDWR)
for number in (0, 1, 2):
    os.dup2(nothing, number)
def said(**what):
    tells.write(json.dumps(what).encode() + b"\n")
def failed(step, error):
    said(step=step, error=(type(error).__name__ + ": " + str(error))[:500])
    os._exit(0)
space = {"__name__": "solution"}
try:
    exec(compile(json.loads(asks.readline())["code"], "solution", "exec"), space)
except BaseException as error:
    failed("code", error)
said(step="loaded")
asked = json.loads(asks.readline())
try:
    exec(compile(asked["tests"], "tests", "exec"), space)
except BaseException as error:
    failed("tests", error)
said(step="passed", token=asked["token"])
os._exit(0)
"""
"""The tests come after the program was run, with a word to say when they have passed: to leave early is not to pass."""


def code(reply: str, expected: Expected) -> Grade:
    """The program of the reply, its last block or all of it, runs, and then all of the tests do."""
    program = program_of(unthought(reply), expected.row, expected.question)
    if not program.strip():
        return Grade(0.0)
    outcome = run_tests(program, tests_of(expected.tests, expected.row), expected.timeout, expected.memory)
    return Grade(float(outcome == ""), program, info={"failed": outcome} if outcome else {})


def check_code(expected: Expected) -> None:
    """Raise `ValueError` for tests that are none, or that do not compile."""
    tests = tests_of(expected.tests, expected.row)
    try:
        compile(tests, "tests", "exec")
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"has tests that are no Python: {error}") from None
    if not tests.strip():
        raise ValueError("has no tests: -E tests=COLUMN names them")


def program_of(reply: str, row: Mapping[str, Any], question: str) -> str:
    """The last block of Python, else the last block, else all of the reply. A body goes on where the question ends."""
    found = _FENCED.findall(reply)
    python = [text for language, text in found if language.lower() in _PYTHON] or [text for _, text in found]
    program = python[-1] if python else reply
    entry = row.get("entry_point")
    if isinstance(entry, str) and f"def {entry}" in question and f"def {entry}" not in program:
        return f"{question.rstrip()}\n{program}"
    return program


def tests_of(tests: Any, row: Mapping[str, Any]) -> str:
    """The tests as one text: assertions, a list of them as in MBPP, or `check` of an entry point as in HumanEval."""
    if isinstance(tests, str) and tests.lstrip().startswith("["):
        with suppress(ValueError):
            tests = json.loads(tests)
    text = "\n".join(map(str, tests)) if isinstance(tests, list) else str(tests or "")
    setup = row.get("test_setup_code") or row.get("test_imports") or ""
    setup = "\n".join(map(str, setup)) if isinstance(setup, list) else str(setup)
    entry = row.get("entry_point")
    calls = f"\ncheck({entry})\n" if isinstance(entry, str) and entry.isidentifier() and "def check(" in text else ""
    return f"{setup}\n{text}\n{calls}"


def run_tests(program: str, tests: str, seconds: float, memory: int) -> str:
    """Why a program does not pass; empty where it does. `seconds` of processor time, `memory` in bytes."""
    token = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="gym-qa-") as folder:
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", HARNESS, str(max(1, round(seconds))), str(memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={"PATH": os.defpath, "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8"},
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        alarm = threading.Timer(WAITS * seconds, _kill, [process.pid])
        alarm.start()
        try:
            _send(process.stdin, {"code": program})
            heard = _hear(process.stdout)
            if heard.get("step") == "loaded":
                _send(process.stdin, {"tests": tests, "token": token})
                heard = _hear(process.stdout)
        finally:
            alarm.cancel()
            _kill(process.pid)
            process.wait()
            process.stdin.close()
            process.stdout.close()
    if heard.get("token") == token:
        return ""
    return f"{heard.get('step', '')}: {heard['error']}"[:SHOWN] if "error" in heard else "it ended, or was ended"


def _send(pipe: IO[bytes], message: Mapping[str, str]) -> None:
    try:
        pipe.write(json.dumps(message).encode() + b"\n")
        pipe.flush()
    except OSError:
        pass  # it is gone, as what is heard of it will show


def _hear(pipe: IO[bytes]) -> dict[str, Any]:
    try:
        heard = json.loads(pipe.readline(1 << 16))
    except ValueError:
        return {}
    return heard if isinstance(heard, dict) else {}


def _kill(process: int) -> None:
    """End a process and all that it has started, as far as they have stayed together."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process, signal.SIGKILL)
