"""Workers that die, and coordinators: whatever a kill hits, every rollout ends once."""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path

import pytest

from gym_testing.isolation import IsolatedPlugins
from tests.support.processes import alive
from tests.support.running import read_jsonl
from tests.support.spread import told
from tests.support.spread_runs import PATIENCE, Command, ended, run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")


@pytest.mark.usefixtures("spread_plugins")
class TestWorkers:
    def test_what_a_worker_died_with_starts_again(self, tmp_path: Path) -> None:
        once = str(tmp_path / "died")
        tasks = [told(number, **({"die_once": once} if number == 9 else {"sleep": 0.02})) for number in range(60)]
        ended = run(tasks=tasks, output=tmp_path / "x.jsonl")
        assert ended.error is None
        assert sorted(row["task_id"] for row in read_jsonl(tmp_path / "x.jsonl")) == sorted(f"t{n}" for n in range(60))
        assert ended.summary["health"]["workers"]["died"] == 1
        assert ended.summary["health"]["workers"]["started"] == 3

    @pytest.mark.slow
    def test_one_that_ends_every_worker_is_a_failure_and_the_others_are_not(self) -> None:
        tasks = [told(number, **({"die": True} if number == 5 else {"sleep": 0.01})) for number in range(40)]
        ended = run(tasks=tasks, concurrency=12)
        failed = [rollout for rollout in ended.rollouts if rollout.reward is None]
        assert [rollout.task_id for rollout in failed] == ["t5"]
        error = failed[0].error
        assert error is not None
        assert (error["class"], error["phase"], error["retryable"]) == ("WorkerDied", "worker", True)
        assert len(ended.rollouts) == 40
        assert ended.summary["health"]["workers"]["died"] == 3
        assert "--retry-failed" in ended.summary["errors"][0]["remedy"]

    @pytest.mark.slow
    def test_where_all_die_the_run_stops_and_can_be_resumed(self, tmp_path: Path) -> None:
        ended = run(tasks=[told(number, die=True) for number in range(60)], output=tmp_path / "x.jsonl")
        assert "workers have died" in str(ended.error)
        keys = [row["task_id"] for row in read_jsonl(tmp_path / "x.failures.jsonl")]
        assert len(keys) == len(set(keys))
        tasks = [told(number) for number in range(60)]
        again = run(tasks=tasks, output=tmp_path / "x.jsonl", mode="resume", retry_failed=True)
        assert again.summary["rollouts"]["with_verdict"] == 60

    def test_a_death_while_others_are_let_go(self) -> None:
        tasks = [told(0, sleep=0.3, die=False), told(1, hang=True), *(told(number) for number in range(2, 10))]
        ended = run(tasks=tasks, finish_at=0.8, concurrency=10)
        assert len(ended.rollouts) == 10


@pytest.fixture
def command(spread_plugins: IsolatedPlugins, tmp_path: Path) -> Command:
    return Command(tmp_path, sleep=0.02)


def test_workers_end_with_their_coordinator(command: Command) -> None:
    with command.start() as process:
        command.wait_for(process, 10)
        assert command.kill(process) == -signal.SIGKILL
    workers = {row["rollout"]["info"]["process"] for row in command.rows()}
    assert workers
    assert all(map(ended, workers))


@pytest.mark.slow
def test_an_interrupt_is_the_coordinators_business(command: Command) -> None:
    """As in a terminal, where all processes get it."""
    with command.start() as process:
        command.wait_for(process, 10)
        workers = {row["rollout"]["info"]["process"] for row in command.rows()}
        for worker in workers:
            os.kill(worker, signal.SIGINT)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130, command.errors.read_text()
    assert "Traceback" not in command.errors.read_text()
    rows, failures = command.rows(), read_jsonl(command.output.with_name("x.failures.jsonl"))
    assert {row["rollout"]["status"] for row in failures} <= {"cancelled"}
    assert len({row["task_id"] for row in (*rows, *failures)}) == len(rows) + len(failures) < 120
    with command.start() as process:
        assert process.wait(PATIENCE) == 0, command.errors.read_text()
    assert len({row["task_id"] for row in command.rows()}) == len(command.rows()) == 120


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_whatever_a_kill_hits_every_rollout_ends_once(command: Command) -> None:
    """Workers and coordinators are killed at random moments of six runs; the seventh finishes."""
    chance = random.Random(6)
    for number in range(6):
        with command.start() as process:
            before = len(command.rows())
            command.wait_for(process, min(118, before + chance.randrange(1, 20)))
            seen = command.rows()[before:]
            if seen and number % 2:
                victim = chance.choice(sorted({row["rollout"]["info"]["process"] for row in seen}))
                if process.poll() is None and alive(victim):
                    os.kill(victim, signal.SIGKILL)
                command.wait_for(process, min(118, len(command.rows()) + chance.randrange(1, 10)))
            command.kill(process)
        keys = [row["task_id"] for row in command.rows()]
        assert len(keys) == len(set(keys))
    with command.start() as process:
        assert process.wait(PATIENCE) == 0, command.errors.read_text()
    assert sorted(row["task_id"] for row in command.rows()) == sorted(f"t{number}" for number in range(120))
    assert not command.output.with_name("x.failures.jsonl").exists()
