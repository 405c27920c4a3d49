"""Whole runs over files: rewards, resuming, workers, rescoring, and what the audit finds."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gym_core import Request, Rollout, Task, UsageError
from gym_core.spi import run_command
from gym_qa.environment import QA
from gym_qa.options import QAOptions
from gym_testing import FakeOpenAI, ResourceServerConformance
from tests.support.forks import gym_program

SUMS = "question,answer\n" + "".join(f"What is {n} + {n}?,{2 * n}\n" for n in range(1, 21))
Roll = Callable[..., list[Rollout]]


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    path = tmp_path / "sums.csv"
    path.write_text(SUMS)
    return path


def adding(request: Request) -> str:
    """Right where the sum is below 30."""
    text = str(request.input[-1]["content"])
    number = int(text.split()[2])
    return f"Answer: {2 * number if number < 15 else 0}"


def test_a_run_over_a_file(sums: Path, roll: Roll) -> None:
    rollouts = roll(sums, adding)
    assert [rollout.reward for rollout in rollouts] == [1.0] * 14 + [0.0] * 6
    assert rollouts[0].row["question"] == "What is 1 + 1?"
    assert rollouts[0].row["rollout"]["info"] == {"match": "number", "read": "2"}


def test_a_run_is_resumed_and_only_with_the_same_file(sums: Path, roll: Roll, tmp_path: Path) -> None:
    output = tmp_path / "rows.jsonl"
    assert len(roll(sums, adding, output=output, limit=5)) == 5
    assert len(roll(sums, adding, output=output, mode="resume")) == 15
    assert len(output.read_text().splitlines()) == 20
    manifest = json.loads((tmp_path / "rows.run.json").read_text())
    assert len(manifest["settings"]["tasks"]["sha256"]) == 64
    sums.write_text(SUMS.replace("What is 20 + 20?,40", "What is 20 + 20?,41"))
    with pytest.raises(UsageError, match="sha256"):
        roll(sums, adding, output=output, mode="resume")


def test_broken_rows_are_listed_or_left_out(sums: Path, roll: Roll) -> None:
    sums.write_text(SUMS + "What?,\nAnd?,none\n")
    with pytest.raises(UsageError, match=r"sums.csv:22: .*\n.*sums.csv:23: "):
        roll(sums, adding, options={"match": "number"})
    assert len(roll(sums, adding, skip_invalid=True, options={"match": "number"})) == 20


def test_the_output_is_never_the_input(tmp_path: Path, roll: Roll) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"question": "a b 1?", "answer": 2}\n')
    before = path.read_text()
    for mode in ("new", "overwrite"):
        with pytest.raises(UsageError, match="it would be destroyed"):
            roll(path, adding, output=path, mode=mode)
    assert path.read_text() == before


def test_ids_of_rows_name_tasks(tmp_path: Path, roll: Roll) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"id": 7, "question": "a b 1?", "answer": 2}\n{"id": 9, "question": "a b 2?", "answer": 4}\n')
    assert [rollout.task_id for rollout in roll(path, adding)] == ["7", "9"]
    path.write_text('{"id": 7, "question": "a b 1?", "answer": 2}\n{"id": 7, "question": "a b 2?", "answer": 4}\n')
    assert [rollout.task_id for rollout in roll(path, adding)] == ["1", "2"]


@dataclass(frozen=True)
class Said:
    """How a command ended and what it wrote."""

    status: int
    out: str
    err: str


@pytest.fixture
def gym(capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Runs `gym` in this process."""

    def run(*arguments: Any) -> Said:
        capfd.readouterr()
        status = run_command([str(argument) for argument in arguments])
        return Said(status, *capfd.readouterr())

    return run


Gym = Callable[..., Said]


def test_tasks_are_listed_as_a_run_takes_them_and_run_as_listed(
    sums: Path, roll: Roll, gym: Gym, tmp_path: Path
) -> None:
    listed = gym("tasks", "--env", "qa", "--input", sums, "--json")
    assert listed.status == 0, listed.err
    lines = listed.out.splitlines()
    assert len(lines) == 20
    path = tmp_path / "tasks.jsonl"
    path.write_text("\n".join(lines))
    assert sum(rollout.reward or 0 for rollout in roll(path, adding)) == 14


def test_the_audit_finds_a_grader_that_can_be_cheated(sums: Path, gym: Gym) -> None:
    assert gym("check", "qa", "--input", sums).status == 0
    sums.write_text("question,answer\n" + "".join(f"Say the word w{n} please,w{n}\n" for n in range(20)))
    audit = gym("check", "qa", "--input", sums, "-E", "match=contains")
    assert audit.status == 1, audit.out
    assert "cheatable by `parrot`" in audit.out


def test_a_column_that_is_not_there_costs_one_line(sums: Path, gym: Gym) -> None:
    failed = gym("tasks", "--env", "qa", "--input", sums, "-E", "answer=result")
    assert failed.status == 2
    assert failed.out == ""
    assert "there is no column `result` for -E answer=; there are `question`, `answer`" in failed.err
    assert "Traceback" not in failed.err


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The endpoint of `--model openai:fake-model`, in processes that are started, too."""
    with FakeOpenAI("2") as fake:
        monkeypatch.setenv("OPENAI_BASE_URL", fake.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-nobody")
        yield


@pytest.mark.usefixtures("endpoint")
def test_how_a_file_was_read_is_no_warning(sums: Path, gym: Gym, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    ran = gym(*("run", "--model", "openai:fake-model", "--env", "qa", "--input", sums, "--limit", 1, "--output", rows))
    assert ran.status == 0, ran.err
    assert "read as question=question, answer=answer, match=number (guessed; -E sets them)" in ran.err.splitlines()
    assert "warning:" not in ran.err


@pytest.mark.slow
@pytest.mark.usefixtures("endpoint")
def test_workers_share_a_file(sums: Path, tmp_path: Path) -> None:
    output = tmp_path / "rows.jsonl"
    command = [
        *(str(gym_program()), "run", "--model", "openai:fake-model", "--env", "qa", "--input", str(sums)),
        *("--limit", "4", "--workers", "2", "--concurrency", "2", "--output", str(output)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=200)
    assert done.returncode == 0, done.stderr
    assert len(output.read_text().splitlines()) == 4


@pytest.mark.slow
def test_stored_replies_are_graded_again(sums: Path, roll: Roll, gym: Gym, tmp_path: Path) -> None:
    output = tmp_path / "rows.jsonl"
    roll(sums, adding, output=output, env="qa")
    sums.unlink()  # the rows hold all that is needed
    again = gym("rescore", output, "-E", "match=contains")
    assert again.status == 0, again.err
    rows = [json.loads(line) for line in (tmp_path / "rows.rescored.jsonl").read_text().splitlines()]
    assert sum(row["reward"] for row in rows) == 14
    assert rows[0]["rollout"]["info"]["match"] == "contains"


@pytest.mark.slow
class TestQA(ResourceServerConformance):
    """The conformance suite, over rows of a file."""

    reference = "qa"

    options = {"data": str(Path(__file__).parent / "sums.csv")}

    def winning(self, task: Task) -> list[Any]:
        return [f"Answer: {task['answer']}"]

    def losing(self, task: Task) -> list[Any]:
        return ["Answer: 1"]


def test_a_file_may_be_an_option_for_whoever_serves(sums: Path) -> None:
    tasks = list(QA(QAOptions.model_validate({"data": str(sums)})).tasks())
    assert len(tasks) == 20
