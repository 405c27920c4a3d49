"""`gym view` as it is called."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.forks import gym_program
from tests.viewer.stored import row, write_run


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [gym_program(), "view", *arguments],
        cwd=folder,
        env={**os.environ, "GYM_HOME": str(folder / "home")},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


@contextmanager
def viewing(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and the address that it has printed."""
    process = subprocess.Popen(
        [gym_program(), "view", "--no-browser", *arguments],
        cwd=folder,
        env={**os.environ, "GYM_HOME": str(folder / "home")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{20,}", said)
        assert found, (said, process.stderr.read() if process.stderr else "")
        yield process, found[0]
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_run(tmp_path / "results" / "x.jsonl", [row("a")])
    return tmp_path


def read(url: str) -> httpx.Response:
    """The list of runs, as a browser that opens the address comes to it."""
    with httpx.Client(trust_env=False) as http:
        http.get(url)
        return http.get(url.partition("/?")[0] + "/api/runs")


@pytest.mark.slow
def test_two_viewers_are_open_until_they_are_interrupted(folder: Path) -> None:
    with viewing(folder) as (one, first), viewing(folder, "results/x.jsonl") as (_, second):
        assert first.partition("token=")[2] != second.partition("token=")[2]
        assert [run["name"] for run in read(first).json()["runs"]] == ["x"]
        assert read(second).json()["selected"]
        crossed = first.partition("token=")[0] + "token=" + second.partition("token=")[2]
        assert read(crossed).status_code == 401
        one.send_signal(signal.SIGINT)
        _, said = one.communicate(timeout=20)
        assert one.returncode == 0
        assert "Traceback" not in said


@pytest.mark.slow
def test_the_folder_of_runs_is_left_as_it_is(folder: Path) -> None:
    before = sorted(path.name for path in (folder / "results").iterdir())
    with viewing(folder) as (_, url), httpx.Client(trust_env=False) as http:
        http.get(url)
        base = url.partition("/?")[0]
        (run,) = http.get(f"{base}/api/runs").json()["runs"]
        assert http.get(f"{base}/api/runs/{run['id']}/rollouts").json()["total"] == 1
    assert sorted(path.name for path in (folder / "results").iterdir()) == before
    assert [path.suffix for path in (folder / "home" / "viewer").glob("*.sqlite")] == [".sqlite"]


@pytest.mark.slow
def test_a_port_that_is_taken_is_one_line(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = call(folder, "--port", str(taken.getsockname()[1]), "--no-browser")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0].endswith("Address already in use")
    assert "--port 0" in done.stderr
    assert len(done.stderr.splitlines()) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.jsonl"], "missing.jsonl cannot be read"),
        (["nowhere"], "nowhere: there is no such file or folder"),
        (["results/x.run.json"], "x.run.json"),
        (["--port", "70000"], "70000"),
        (["--rollout", "1"], "--rollout chooses what --export writes"),
        (["results/x.jsonl", "--export", "results/x.jsonl"], "it would be destroyed"),
        (["results/x.jsonl", "--export", "results/x.run.json"], "it would be destroyed"),
        (["results/x.jsonl", "results", "--export", "y.html"], "--export writes one run"),
        (["results/x.jsonl", "--export", "y.html", "--rollout", "9"], "has no rollout '9'"),
    ],
)
def test_what_cannot_be_is_one_line(folder: Path, arguments: list[str], said: str) -> None:
    done = call(folder, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 2


@pytest.mark.slow
def test_a_page_is_written(folder: Path) -> None:
    done = call(folder, "--export", "page.html")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"page.html: 1 rollout of {Path('results') / 'x.jsonl'}\n"
    assert (folder / "page.html").read_bytes().startswith(b"<!doctype html>")
