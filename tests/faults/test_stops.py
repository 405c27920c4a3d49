"""What hits every rollout alike stops the run, says why, and leaves it so that it can be finished."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
from pathlib import Path

import pytest

from gym_core import UsageError
from gym_testing import FakeOpenAI, Received, Reply, Turn, faults
from tests.support.endpoints import (
    KEY,
    check_account,
    config,
    execute,
    gym_command,
    gym_environment,
    task_number,
    work,
)
from tests.support.loop import asynchronous
from tests.support.running import read_jsonl

FATAL = {
    "wrong key": (faults.wrong_key(), "refused the key"),
    "forbidden": (faults.wrong_key(403), "refused the key"),
    "no quota": (faults.no_quota(), "quota"),
    "model not found": (faults.model_not_found(), "not served"),
    "web page": (faults.html(200), "web page"),
    "web page 404": (faults.html(404), "web page"),
    "no such path": (faults.error(404, "Not Found"), "no such path"),
}


def everything(count: int) -> set[tuple[str, int]]:
    return {(f"t{number}", 0) for number in range(count)}


@pytest.mark.parametrize(("fault", "words"), FATAL.values(), ids=FATAL)
@asynchronous
async def test_a_fatal_reply_in_mid_run_stops_it_and_it_can_be_finished(
    fault: Reply, words: str, tmp_path: Path
) -> None:
    def turn(request: Received) -> Turn:
        return fault if request.number >= 20 else work(request)

    async with FakeOpenAI(turn) as server:
        made = config(server, tasks=40, concurrency=4, output=tmp_path / "x.jsonl")
        first = await execute(made)
        check_account(first, everything(40))
        asked = len(server.received)
        server.script(work)
        again = await execute(config(server, tasks=40, concurrency=4, output=tmp_path / "x.jsonl", mode="resume"))
    assert first.summary["state"] == "stopped"
    assert first.error is not None
    assert words in str(first.error)
    assert asked <= 20 + 4  # what was under way, and nothing more
    assert first.summary["rollouts"]["failed"] == 0  # it can be finished: nobody's own fault
    assert set(again.statuses.values()) == {"completed"}
    assert {row["task_id"] for row in read_jsonl(tmp_path / "x.jsonl")} == {f"t{number}" for number in range(40)}
    assert len(read_jsonl(tmp_path / "x.jsonl")) == 40


@asynchronous
async def test_a_key_that_is_revoked_stops_the_run_over_every_transport(transport: str) -> None:
    async with FakeOpenAI(work, api_key=KEY) as server:

        def turn(request: Received) -> Turn:
            if request.number == 9:
                server.api_key = "another"
            return work(request)

        server.script(turn)
        ended = await execute(config(server, tasks=20, concurrency=2, transport=transport))
    assert ended.summary["state"] == "stopped"
    assert KEY not in str(ended.error)


@asynchronous
async def test_five_equal_refusals_at_first_stop_the_run(tmp_path: Path) -> None:
    async with FakeOpenAI(faults.bad_request()) as server:
        ended = await execute(config(server, tasks=50, concurrency=1, output=tmp_path / "x.jsonl"))
        check_account(ended, everything(50))
        assert len(server.received) == 5
        server.script(work)
        again = await execute(config(server, tasks=50, output=tmp_path / "x.jsonl", mode="resume"))
    assert "Unsupported parameter" in str(ended.error)
    assert again.summary["rollouts"]["with_verdict"] == 50


@asynchronous
async def test_one_refusal_fails_one_rollout(api: str, tmp_path: Path) -> None:
    def turn(request: Received) -> Turn:
        return faults.bad_request() if task_number(request) in (0, 7) else work(request)

    async with FakeOpenAI(turn) as server:
        made = config(server, tasks=10, api=api, concurrency=2, output=tmp_path / "x.jsonl")
        ended = await execute(made)
    check_account(ended, everything(10))
    assert {task for task, status in ended.statuses.items() if status == "model_error"} == {"t0", "t7"}
    assert len([request for request in server.received if task_number(request) in (0, 7)]) == 2  # not tried again
    assert ended.summary["errors"][0]["class"] == "BadRequestError"


@asynchronous
async def test_a_context_that_is_too_short_is_verified(api: str) -> None:
    def turn(request: Received) -> Turn:
        return faults.context_length() if request.tool_outputs else work(request)

    async with FakeOpenAI(turn) as server:
        ended = await execute(config(server, tasks=3, api=api))
    assert set(ended.statuses.values()) == {"truncated"}
    assert [rollout.reward for rollout in ended.rollouts] == [1.0] * 3  # the tool had been called
    assert {rollout.row["rollout"]["stop_reason"] for rollout in ended.rollouts} == {"context_length"}
    assert len(server.received) == 6


@asynchronous
async def test_a_refusal_of_the_content_policy_is_verified() -> None:
    async with FakeOpenAI(work, faults.content_filter()) as server:
        ended = await execute(config(server))
    (rollout,) = ended.rollouts
    assert rollout.row["rollout"]["stop_reason"] == "content_filter"
    assert rollout.reward == 1.0
    assert len(server.received) == 2


@asynchronous
async def test_nothing_listening_is_said_before_the_run(transport: str, tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound and not listening: nobody else gets the port
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(UsageError, match="connection refused"):
            await execute(config(url, transport=transport, output=tmp_path / "x.jsonl"))
    assert os.listdir(tmp_path) == []


def gym(server: FakeOpenAI, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = gym_command(server, "--output", "x.jsonl", *arguments)
    return subprocess.run(
        command, cwd=folder, env=gym_environment(), capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("fault", [faults.wrong_key(), faults.no_quota(), faults.bad_request()], ids=repr)
def test_the_command_ends_with_3_and_can_be_resumed(fault: Reply, tmp_path: Path) -> None:
    def turn(request: Received) -> Turn:
        return fault if request.number >= (0 if fault.status == 400 else 5) else "It is sunny."

    with FakeOpenAI(turn) as server:
        first = gym(server, tmp_path, "--concurrency", "2", "--limit", "12", "--json")
        assert first.returncode == 3, first.stderr
        server.script("It is sunny.")
        again = gym(server, tmp_path, "--resume", "--limit", "12", "--json")
    assert again.returncode == 0, again.stderr
    assert "error: the run stopped: " in first.stderr
    # the same settings must be refused again, so that it names no command to go on with
    assert ("nothing was collected" if fault.status == 400 else "--resume") in first.stderr
    assert "Traceback" not in first.stderr
    assert json.loads(first.stdout)["state"] == "stopped"
    assert json.loads(again.stdout)["rollouts"]["with_verdict"] == 12
    ids = [row["task_id"] for row in read_jsonl(tmp_path / "x.jsonl")]
    assert len(ids) == len(set(ids)) == 12
    for path in tmp_path.iterdir():
        assert KEY.encode() not in path.read_bytes()
    assert KEY not in first.stderr + first.stdout


def test_the_command_ends_with_2_when_nothing_listens(tmp_path: Path) -> None:
    with FakeOpenAI() as server:
        asyncio.run(server.go_down())
        ended = gym(server, tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: ")
    assert "connection refused" in ended.stderr
    assert not list(tmp_path.iterdir())


def test_the_command_ends_with_2_when_the_key_is_refused_at_first(tmp_path: Path) -> None:
    with FakeOpenAI(api_key="another") as server:
        ended = gym(server, tmp_path)
    assert ended.returncode == 2
    assert "OPENAI_API_KEY" in ended.stderr
    assert KEY not in ended.stderr
    assert not list(tmp_path.iterdir())
