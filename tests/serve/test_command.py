"""`gym serve` as a process: the line with the URL, tokens, socket files, signals."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gym_testing.command import gym
from gym_testing.site import Site
from tests.support.envs import row
from tests.support.forks import gym_program

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and socket files are POSIX")

TOKEN = "a-token-for-this-test"
PATIENCE = 60.0
ENV = """
import asyncio
import sys

from gym_core import ResourceServer, Session, Task, hookimpl, tool


class Waiting(Session):
    \"\"\"A session that says what becomes of it.\"\"\"

    @tool
    async def wait(self, seconds: float) -> str:
        \"\"\"Wait.\"\"\"
        print("waiting", flush=True)
        await asyncio.sleep(seconds)
        return "over"

    def verify(self, trajectory):
        return 1.0

    def close(self):
        print("closed", self.task.task_id, flush=True)


class Waits(ResourceServer):
    \"\"\"An environment that waits.\"\"\"

    session_type = Waiting

    def tasks(self):
        return [Task.ask("Wait.", task_id="w")]


@hookimpl(contract=1)
def gym_resource_servers():
    return {"waits": Waits}
"""


class Process:
    """A server in a process of its own. `url`: from the line that it prints."""

    def __init__(self, *arguments: str, path: Path | None = None, **variables: str) -> None:
        places = [str(path)] if path is not None else []
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(places), **variables}
        self.child = subprocess.Popen(
            [gym_program(), "serve", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environ,
        )
        self.line = self.next_line()
        self.url = self.line.rpartition(" ")[2]

    def next_line(self) -> str:
        assert self.child.stdout is not None
        return self.child.stdout.readline().strip()

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """Send a signal; how it ended, and the rest of what it wrote."""
        self.child.send_signal(number)
        out, err = self.child.communicate(timeout=PATIENCE)
        return self.child.returncode, out, err


@contextlib.contextmanager
def serving(*arguments: str, **options: Any) -> Iterator[Process]:
    process = Process(*arguments, **options)
    try:
        yield process
    finally:
        if process.child.poll() is None:
            process.child.kill()
        process.child.communicate()


@pytest.fixture
def waits(tmp_path: Path) -> Path:
    """A folder with an installed environment that waits."""
    site = Site(tmp_path / "site")
    site.add("gym-waits", ENV, group="gym.resource_servers", name="waits")
    return site.path


@pytest.mark.slow
def test_an_environment_is_served_until_sigterm_and_its_sessions_are_closed(waits: Path) -> None:
    with serving("--env", "waits", "--port", "0", path=waits) as process:
        assert process.line.startswith("serving the environment waits on http://127.0.0.1:")
        with httpx.Client(base_url=process.url, timeout=PATIENCE) as client:
            opened = client.post("/v1/sessions", json={"task": {"row": row(), "task_id": "s1"}}).json()
            answers: list[httpx.Response] = []

            def call() -> None:
                path = f"/v1/sessions/{opened['id']}/tools/wait"
                headers = {"Authorization": f"Bearer {opened['tool_token']}"}
                body = {"arguments": {"seconds": 1.0}}
                answers.append(httpx.post(process.url + path, json=body, headers=headers, timeout=PATIENCE))

            calling = threading.Thread(target=call)
            calling.start()
            assert process.next_line() == "waiting"
            status, out, err = process.end()
            calling.join(PATIENCE)
        assert status == 0
        assert answers[0].json()["output"] == "over"
        assert out == "closed s1\n"
        assert err == "SIGTERM: finishing what is under way; once more to stop at once\n"


@pytest.mark.slow
def test_a_second_signal_ends_it_at_once(waits: Path) -> None:
    with serving("--env", "waits", "--port", "0", path=waits) as process:
        opened = httpx.post(f"{process.url}/v1/sessions", json={"task": {"row": row()}}, timeout=PATIENCE).json()

        def call() -> None:
            path = f"{process.url}/v1/sessions/{opened['id']}/tools/wait"
            headers = {"Authorization": f"Bearer {opened['tool_token']}"}
            with contextlib.suppress(httpx.HTTPError):
                httpx.post(path, json={"arguments": {"seconds": 600}}, headers=headers, timeout=PATIENCE)

        calling = threading.Thread(target=call)
        calling.start()
        assert process.next_line() == "waiting"
        process.child.send_signal(signal.SIGINT)
        assert process.child.stderr is not None
        assert process.child.stderr.readline().startswith("SIGINT: finishing")
        assert process.end(signal.SIGINT)[0] == 130
        calling.join(PATIENCE)


@pytest.mark.slow
def test_a_socket_file_and_a_token_from_a_file() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="gs") as folder:
        path, secret = Path(folder) / "s", Path(folder) / "token"
        secret.write_text(TOKEN + "\n")
        arguments = ("--env", "simple_weather", "--uds", str(path), "--token-file", str(secret))
        with serving(*arguments) as process:
            assert process.url == f"unix:{path}"
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://gym") as client:
                assert client.get("/health").status_code == 200
                assert client.get("/v1/component").status_code == 401
                about = client.get("/v1/component", headers={"Authorization": f"Bearer {TOKEN}"}).json()
                assert (about["kind"], about["name"], about["protocol"]) == ("resource_server", "simple_weather", 1)
                assert about["distribution"] == "gym-simple-weather"
            again = gym("serve", *arguments)
            assert again.exit_code == 2
            assert "is served on already" in again.err
            assert process.end(signal.SIGINT)[0] == 0
        assert not path.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is nothing to serve"),
        (["--env", "simple_weather", "--host", "0.0.0.0"], "so it needs a token"),
        (["--env", "simple_weather", "--model", "openai"], "an environment asks no policy"),
        (["--agent", "simple_agent", "--model", "openai"], "served with its environment and its model"),
        (["--agent", "simple_agent", "--env", "simple_weather"], "served with its environment and its model"),
        (["--model", "a=openai", "--model", "b=openai"], "without a role"),
        (["--env", "nothing_like_it"], "no environment named 'nothing_like_it'"),
        (["--env", "simple_weather", "-E", "no=1"], "no"),
        (["--env", "simple_weather", "-A", "no=1"], "-A is for a component that is not served"),
        (["--model", "openai", "--mcp"], "--mcp offers the tools of an environment"),
        (["--env", "simple_weather", "--token", "x", "--token-file", "y"], "contradict each other"),
        (["--env", "simple_weather", "--token-file", "/no/such/file"], "the token cannot be read"),
        (["--env", "simple_weather", "--token", "two words"], "holds no token"),
        (["--env", "simple_weather", "--uds", "/no/such/folder/s"], "cannot be served on"),
    ],
)
def test_what_cannot_be_served_is_said_before_anything_starts(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GYM_SERVE_TOKEN", raising=False)
    ended = gym("serve", *arguments)
    assert ended.exit_code == 2
    assert message in ended.err


def test_the_token_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GYM_SERVE_TOKEN", TOKEN)
    ended = gym("serve", "--env", f"{TOKEN}", "--host", "0.0.0.0")
    assert ended.exit_code == 2
    assert TOKEN not in ended.err
