"""Files may be named as the file system lets them: with spaces, line breaks, markup, or bytes that are no text."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gym_core import parse_json
from gym_testing import FakeOpenAI
from tests.support.endpoints import gym_environment
from tests.support.forks import gym_program

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other file systems refuse such names")
ROW = b'{"cities": ["Paris"], "responses_create_params": {"input": "Paris?"}}\n'


@pytest.mark.slow
@pytest.mark.parametrize("name", [b"caf\xe9", b"two\nlines", "-[red]x %s {0} 日本🙂".encode()], ids=repr)
def test_every_command_takes_a_file_of_any_name(name: bytes, tmp_path: Path) -> None:
    folder = os.path.join(os.fsencode(tmp_path), name)
    os.mkdir(folder)
    with open(os.path.join(folder, b"in" + name + b".jsonl"), "wb") as file:
        file.write(ROW)
    rows, run = b"./" + name + b".jsonl", (b"run", b"--no-config", b"--env", b"simple_weather", b"--model", b"openai:m")

    def gym(*arguments: bytes) -> bytes:
        command = [os.fsencode(gym_program()), *arguments]
        done = subprocess.run(command, cwd=folder, env=gym_environment(), capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    with FakeOpenAI("It is sunny.") as server:
        options = (
            b"--input",
            b"in" + name + b".jsonl",
            b"--output=" + name + b".jsonl",
            b"--log-file=" + name + b".log",
        )
        wanted = (*run, b"-M", b"base_url=" + server.base_url.encode(), *options)
        gym(*wanted)
        gym(*wanted, b"--resume")
        assert len(server.received) == 1
    assert parse_json(gym(b"stats", rows, b"--json"))
    assert b"paris" in gym(b"show", rows, b"1", b"--json").lower()
    gym(b"rescore", rows, b"--output=again" + name + b".jsonl")
    gym(b"export", rows, b"--format", b"nemo", b"--output", b"nemo" + name + b".jsonl")
    names = os.listdir(folder)
    assert {name + b".jsonl", name + b".log", b"again" + name + b".jsonl", b"nemo" + name + b".jsonl"} <= set(names)
