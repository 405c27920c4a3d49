"""`gym export`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Gym


def results(*rewards: float | None) -> Path:
    file = Path("x.jsonl")
    lines = []
    for number, reward in enumerate(rewards):
        about = {"run_id": "r", "task_index": number, "repeat": 0, "agent": "loop"}
        row: dict[str, Any] = {"task_id": str(number), "responses_create_params": {"input": "Hi."}}
        lines.append(json.dumps({**row, "response": {"output": []}, "reward": reward, "rollout": about}))
    file.write_text("\n".join(lines) + "\n")
    return file


def test_rows_go_to_standard_output(gym: Gym) -> None:
    done = gym("export", "--format", "nemo", str(results(1.0, None, 0.0)))
    assert done.status == 0
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [(row["_ng_task_index"], row["reward"]) for row in rows] == [(0, 1.0), (2, 0.0)]
    assert {row["_ng_rollout_index"] for row in rows} == {0}
    assert done.err == "left out, without a reward: 1\n"


def test_rows_go_to_a_file_that_does_not_exist(gym: Gym) -> None:
    file = str(results(1.0))
    done = gym("export", "--format", "nemo", file, "--output", "y.jsonl")
    assert (done.status, done.out, done.err) == (0, "", "rows in y.jsonl: 1\n")
    assert json.loads(Path("y.jsonl").read_text())["agent_ref"] == {"name": "loop"}
    again = gym("export", "--format", "nemo", file, "--output", "y.jsonl")
    assert again.status == 2
    assert "exists already" in again.err


def test_a_file_of_something_else_leaves_nothing_behind(gym: Gym) -> None:
    file = results(1.0)
    file.write_text(file.read_text() + "{}\n")
    done = gym("export", "--format", "nemo", str(file), "--output", "y.jsonl")
    assert done.status == 2
    assert "x.jsonl:2: this is no rollout that gym wrote" in done.err
    assert not Path("y.jsonl").exists()


def test_a_file_that_is_not_there(gym: Gym) -> None:
    done = gym("export", "--format", "nemo", "none.jsonl")
    assert done.status == 2
    assert "none.jsonl cannot be read" in done.err


def test_rows_never_go_to_a_name_of_a_run(gym: Gym) -> None:
    file = results(1.0)
    Path("x.run.json").write_text("{}")
    for name in ("x.failures.jsonl", "x.summary.json"):
        done = gym("export", "--format", "nemo", str(file), "--output", name)
        assert done.status == 2
        assert "a file of the run x.jsonl" in done.err
        assert not Path(name).exists()


@pytest.mark.parametrize(
    "command", [("export", "--format", "nemo", "x.jsonl"), ("show", "x.jsonl", "--json"), ("stats", "x.jsonl")]
)
@pytest.mark.parametrize("name", ["x.jsonl", "x.failures.jsonl", "x.run.json", "x.summary.json"])
def test_standard_output_is_never_a_file_of_the_run_that_is_read(name: str, command: tuple[str, ...], gym: Gym) -> None:
    file = results(1.0)
    place = file.with_name(name)
    place.touch()
    before = place.read_bytes()
    with place.open("ab") as end:
        done = subprocess.run(
            [sys.executable, "-m", "gym_core", *command], stdout=end, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert "standard output goes to" in done.stderr
    assert place.read_bytes() == before


def test_a_link_that_is_in_the_way_stays(gym: Gym) -> None:
    file = results(1.0)
    Path("y.jsonl").symlink_to("nowhere")
    done = gym("export", "--format", "nemo", str(file), "--output", "y.jsonl")
    assert (done.status, Path("y.jsonl").is_symlink()) == (2, True)
    assert "exists already" in done.err
