"""`gym ctl` asks runs that are going on, and nobody but their owner can."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from gym_core import CallContext, Request, UsageError
from gym_core.spi import run_command
from gym_ctl import client, folder
from gym_ctl.server import LONGEST, Server
from tests.support.envs import env
from tests.support.models import ScriptedModel
from tests.support.running import Ended, config, execute

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs Unix sockets")

Ask = Callable[..., Awaitable[tuple[int, str, str]]]


class Fake:
    """A run that only notes what it is asked."""

    def __init__(self, output: str | None = None) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.error: Exception | None = None
        self.output = output

    def state(self) -> Mapping[str, Any]:
        if self.error is not None:
            raise self.error
        rollouts = {"total": None, "done": 3, "failed": 1, "in_flight": 2}
        return {
            "run_id": "abc", "output": self.output, "state": "running", "concurrency": 4, "rollouts": rollouts,
            "reward": None, "tokens": 0, "cost": None, "seconds": 1.0, "waiting": {}, "under_way": [],
        }  # fmt: skip

    def pause(self) -> None:
        self.asked.append(("pause",))

    def resume(self) -> None:
        self.asked.append(("resume",))

    def cancel(self, task_id: str, repeat: int | None = None) -> int:
        self.asked.append(("cancel", task_id, repeat))
        return int(task_id == "paris")

    def set_concurrency(self, concurrency: int) -> str | None:
        self.asked.append(("set", concurrency))
        return "too many files" if concurrency > 1000 else None

    def stop(self, reason: str) -> None:
        self.asked.append(("stop", reason))


@contextmanager
def serving(run_id: str = "abc", output: str | None = None) -> Iterator[tuple[Fake, Path]]:
    run = Fake(output)
    server = Server(run_id, run)
    try:
        yield run, server.path
    finally:
        server.close()


def ctl(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    status = run_command(["ctl", *arguments])
    return status, *capsys.readouterr()


def test_a_run_is_steered_from_another_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A real run of `--extension ctl`, from its beginning to its end."""
    reached = asyncio.Event()

    async def main() -> Ended:
        go: dict[str, asyncio.Event] = {f"t{n}": asyncio.Event() for n in range(6)}

        async def say(request: Request, context: CallContext) -> str:
            reached.set()
            await go[context.key[0]].wait()
            return "done"

        class Model(ScriptedModel):
            async def respond(self, request: Request, context: CallContext) -> Any:
                await say(request, context)
                return await super().respond(request, context)

        async def ask(*arguments: str) -> str:
            status, out, err = await asyncio.to_thread(ctl, capsys, *arguments)
            assert (status, err) == (0, "")
            return out

        wanted = config(Model(), env(tasks=6), output="x.jsonl", concurrency=2, extensions=["ctl"])
        collecting = asyncio.create_task(execute(wanted))
        await reached.wait()
        (state,) = json.loads(await ask("list", "--json"))
        assert (state["pid"], state["output"], state["concurrency"]) == (os.getpid(), "x.jsonl", 2)
        assert await asyncio.to_thread(client.state_of, state["run_id"]) == state | {"seconds": ANY}
        assert state["waiting"] == {}
        assert state["under_way"] == [{"task_id": "t0", "repeat": 0}, {"task_id": "t1", "repeat": 0}]
        assert " running 0 of 6 0 2 2 - x.jsonl" in " ".join((await ask("list")).split())
        assert "starts nothing new; 2 rollouts are under way" in await ask("pause")
        assert "1 rollouts of t1 cancelled" in await ask("cancel", "t1", "--run", "x.jsonl")
        assert "has 4 rollouts under way at once" in await ask("set", "concurrency=4", "--run", state["run_id"][:4])
        assert "goes on" in await ask("resume")
        while json.loads(await ask("list", "--json"))[0]["rollouts"]["in_flight"] < 4:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        go["t0"].set()
        assert "ends" in await ask("stop")
        ended = await collecting
        assert await asyncio.to_thread(ctl, capsys, "list") == (
            0, "", "no run is going on that can be steered; start one with `--extension ctl`\n"
        )  # fmt: skip
        return ended

    ended = asyncio.run(asyncio.wait_for(main(), 60))
    assert ended.summary["state"] == "stopped"
    assert ended.summary["message"] == "stopped with `gym ctl stop`"
    assert ended.summary["rollouts"]["cancelled"] >= 4
    assert not list(folder.own_folder().iterdir())


def test_only_the_owner_can_open_the_socket(runtime: Path) -> None:
    with serving() as (_, path):
        assert path.parent == runtime / "gym"
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can become somebody else")
def test_another_user_cannot_connect(runtime: Path) -> None:
    runtime.chmod(0o755)
    with serving() as (_, path):
        child = os.fork()
        if child == 0:
            code = 9
            try:
                os.setuid(65534)
                socket.socket(socket.AF_UNIX).connect(str(path))
                code = 0
            except PermissionError:
                code = 7
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7


def test_who_is_another_user_is_refused_at_both_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as (run, path):
        monkeypatch.setattr(folder, "_peer", lambda connection: os.getuid() + 1)
        with pytest.raises(UsageError, match="belongs to the user"):
            client.ask(path, "pause")
        monkeypatch.setattr(client, "check_peer", lambda connection: None)
        with pytest.raises(UsageError, match="only the user"):
            client.ask(path, "pause")
        assert run.asked == []


@pytest.mark.parametrize("mode", [0o755, 0o770])
def test_a_folder_that_others_can_enter_is_refused(
    mode: int, runtime: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (runtime / "gym").mkdir()
    (runtime / "gym").chmod(mode)
    status, out, err = ctl(capsys, "list")
    assert (status, out) == (2, "")
    assert "others can enter" in err
    assert "chmod 700" in err


def test_a_link_in_place_of_the_folder_is_refused(runtime: Path, tmp_path: Path) -> None:
    (runtime / "gym").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="no folder of yours"):
        Server("abc", Fake())


def test_the_socket_of_a_run_that_was_killed_is_removed(capsys: pytest.CaptureFixture[str]) -> None:
    stale = folder.own_folder(make=True) / f"dead{folder.SUFFIX}"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(stale))
    with serving() as (run, _):
        status, _, err = ctl(capsys, "pause")
    assert (status, err) == (0, f"removed: {stale}, whose run was killed\n")
    assert run.asked == [("pause",)]
    assert not stale.exists()


@pytest.mark.parametrize("run_id", ["dead", "unknown", "../gym/abc", "a\0b", ""])
def test_a_run_that_cannot_be_asked_has_no_state(run_id: str) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder.own_folder(make=True) / f"dead{folder.SUFFIX}"))
    with serving():
        assert client.state_of(run_id) is None


def test_two_runs_at_once_have_to_be_told_apart(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").touch()
    with serving("abc") as (one, _), serving("abd", "b.jsonl") as (other, _):
        other.state = lambda: {**Fake.state(other), "run_id": "abd"}  # type: ignore[method-assign]
        status, _, err = ctl(capsys, "stop")
        assert status == 2
        assert "2 runs are going on: abc (without an output), abd (b.jsonl)" in err
        assert ctl(capsys, "stop", "--run", "ab")[0] == 2
        assert ctl(capsys, "stop", "--run", "abc")[0] == 0
        assert ctl(capsys, "pause", "--run", "b.jsonl")[0] == 0
        assert "no run 'x' is going on" in ctl(capsys, "pause", "--run", "x")[2]
    assert [asked[0] for asked in one.asked] == ["stop"]
    assert [asked[0] for asked in other.asked] == ["pause"]


def test_the_output_of_a_run_is_where_the_run_says(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("there", "here"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.jsonl").touch()
    monkeypatch.chdir(tmp_path / "there")
    with serving(output="x.jsonl") as (run, _):
        monkeypatch.chdir(tmp_path / "here")
        status, _, err = ctl(capsys, "stop", "--run", "x.jsonl")
        assert (status, run.asked) == (2, []), err
        assert ctl(capsys, "pause", "--run", "../there/x.jsonl")[0] == 0
        assert run.asked == [("pause",)]


def test_a_run_that_ends_while_it_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as (run, path):
        run.error = UsageError("the run has ended")
        status, _, err = ctl(capsys, "pause")
        assert status == 2
        assert "left out: abc: the run has ended" in err
    ending = socket.socket(socket.AF_UNIX)
    ending.bind(str(path))
    ending.listen()
    with ending:

        def hang_up() -> None:
            connection, _ = ending.accept()
            connection.recv(100)
            connection.close()

        threading.Thread(target=hang_up, daemon=True).start()
        with pytest.raises(UsageError, match="the run ended before it answered"):
            client.ask(path, "state")


@pytest.mark.parametrize(
    "sent",
    [b"\n", b"null\n", b"[1]\n", b"{\n", b'{"do": "eat"}\n', b'{"do": 1}\n', b'{"do": "set_concurrency"}\n', b'{"do"',
     b'{"do": "pause", "with": 1}\n', b'{"do": "pause", "with": [1]}\n', b"x" * (LONGEST + 10)],
)  # fmt: skip
def test_what_is_no_request_is_answered_with_an_error(sent: bytes) -> None:
    with serving() as (run, path), socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        reply = json.loads(connection.makefile("rb").readline())
        assert reply["error"].startswith("no request")
        assert run.asked == []


def test_a_connection_that_says_nothing_holds_up_nobody() -> None:
    with serving() as (run, path), socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(path))
        client.ask(path, "pause")
        assert run.asked == [("pause",)]


def test_what_a_task_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as (run, _):
        assert ctl(capsys, "cancel", "paris")[0] == 0
        assert ctl(capsys, "cancel", "paris#2")[0] == 0
        status, _, err = ctl(capsys, "cancel", "oslo\x1b[31m")
        assert status == 2
        assert "\x1b" not in err
    assert run.asked[:3] == [("cancel", "paris", None), ("cancel", "paris#2", None), ("cancel", "paris", 2)]


@pytest.mark.parametrize(
    "setting", ["concurrency", "concurrency=", "concurrency=-1", "concurrency=0", "speed=3", "concurrency=1e3"]
)
def test_what_cannot_be_set(setting: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = ctl(capsys, "set", setting)
    assert (status, out) == (2, "")
    assert "it is `concurrency=N` that can be set" in err


def test_a_warning_is_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    with serving():
        assert ctl(capsys, "set", "concurrency=2000")[2] == "warning: too many files\n"


def test_a_path_too_long_for_a_socket_stops_no_run(
    runtime: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    deep = runtime / ("d" * 100)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    ended = asyncio.run(execute(config(extensions=["ctl"])))
    assert ended.summary["state"] == "finished"
    assert ended.summary["health"]["extensions"][0]["errors"] == 0
    assert "gym ctl cannot reach this run" in caplog.text
