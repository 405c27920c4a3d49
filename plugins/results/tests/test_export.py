"""`gym export`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.exports import NEEDED
from tests.support.forks import gym_program

if TYPE_CHECKING:
    from tests.support.exports import Gym


def results(*rewards: float | None) -> Path:
    file = Path("x.jsonl")
    lines = []
    for number, reward in enumerate(rewards):
        about = {**NEEDED, "task_index": number, "agent": "loop"}
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


def test_failures_are_masked_rows_where_that_is_asked_for(gym: Gym) -> None:
    done = gym("export", "--format", "nemo", "-O", "failures=masked", str(results(1.0, None, 0.0)))
    assert (done.status, done.err) == (0, "")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [(row["_ng_task_index"], row["reward"], row.get("mask_sample")) for row in rows] == [
        (0, 1.0, None),
        (1, 0.0, True),
        (2, 0.0, None),
    ]
    wrong = gym("export", "--format", "nemo", "-O", "failures=zero", str(results(1.0)))
    assert wrong.status == 2
    assert "failures" in wrong.err


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
    assert "x.jsonl:2: not a row that gym wrote" in done.err
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
        done = subprocess.run([gym_program(), *command], stdout=end, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert "standard output goes to" in done.stderr
    assert place.read_bytes() == before


def test_a_link_that_is_in_the_way_stays(gym: Gym) -> None:
    file = results(1.0)
    Path("y.jsonl").symlink_to("nowhere")
    done = gym("export", "--format", "nemo", str(file), "--output", "y.jsonl")
    assert (done.status, Path("y.jsonl").is_symlink()) == (2, True)
    assert "exists already" in done.err


def group(*rows: tuple[str, int, float | None]) -> Path:
    """Rows of tasks, repeats and rewards; those without a reward are failures."""
    file = Path("x.jsonl")
    lines: dict[bool, list[str]] = {True: [], False: []}
    for number, (task_id, repeat, reward) in enumerate(rows):
        about = {**NEEDED, "task_index": number, "repeat": repeat}
        row: dict[str, Any] = {
            "task_id": task_id,
            "kind": f"k{number % 2}",
            "responses_create_params": {"input": "Hi."},
        }
        lines[reward is None].append(
            json.dumps({**row, "response": {"output": []}, "reward": reward, "rollout": about})
        )
    file.write_text("\n".join(lines[False]) + "\n")
    if lines[True]:
        Path("x.failures.jsonl").write_text("\n".join(lines[True]) + "\n")
    return file


def keys(out: str) -> list[tuple[str, int]]:
    return [(row["task_id"], row["_ng_rollout_index"]) for row in map(json.loads, out.splitlines())]


ROWS = (("a", 0, 0.5), ("b", 0, 1.0), ("a", 1, 1.0), ("b", 1, 1.0), ("a", 2, 0.0), ("c", 0, 0.2), ("a", 3, None))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("c", 0)]),
        (("--select", "reward>=0.5", "--select", "kind=k1"), [("b", 0), ("b", 1)]),
        (("--select", "task_id~^[ac]"), [("a", 0), ("a", 1), ("a", 2), ("c", 0)]),
        (("--select", "rollout.error=null", "--select", "reward<0.1"), [("a", 2)]),
        (("--best", "1"), [("b", 0), ("a", 1), ("c", 0)]),
        (("--best", "2"), [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("c", 0)]),
        (("--best", "1", "--select", "reward<1"), [("a", 0), ("c", 0)]),
        (("--drop-flat-groups",), [("a", 0), ("a", 1), ("a", 2)]),
        (("--drop-flat-groups", "--select", "reward=1.0"), [("a", 1)]),
        (("--pairs", "1"), [("a", 1), ("a", 2)]),
        (("--pairs", "9"), [("a", 1), ("a", 2)]),
    ],
)
def test_what_is_selected(options: tuple[str, ...], expected: list[tuple[str, int]], gym: Gym) -> None:
    done = gym("export", "--format", "nemo", str(group(*ROWS)), *options)
    assert done.status == 0, done.err
    assert keys(done.out) == expected
    assert "left out, without a reward: 1" in done.err, "failures are counted, wherever they stand"


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        (("--select", "rewrad>=1"), "--select: no rollout of x.jsonl has the field `rewrad`", "did you mean `reward`?"),
        (("--select", "reward=1", "--select", "status=completed"), "has the field `status`", "`rollout.status`"),
        (("--select", "reward"), "--select reward: this is no condition", "write --select FIELD=VALUE"),
        (("--select", "reward=>0.5"), "--select reward=>0.5: there is no `=>`", "write reward>=0.5, or reward==>0.5"),
        (("--select", "reward>"), "--select reward>: there is nothing to compare with", ""),
        (("--select", "kind~("), "--select kind~(: no regular expression", ""),
        (("--best", "1", "--pairs", "1"), "--best and --pairs exclude one another", ""),
        (("--best", "0"), "0 is not in the range", ""),
        (("--breaks", "mend"), "'mend' is not one of", ""),
        (("-O", "x=1"), "nemo has no option 'x' (-O x)", "`gym plugins show nemo`"),
        (("--output", "y.parquet"), "the rows of nemo fit into no table", "ends in .jsonl"),
        (("--output", "y.csv"), "the rows of nemo fit into no table", "ends in .jsonl"),
    ],
)
def test_what_cannot_be_selected_is_said_before_anything_is_written(
    options: tuple[str, ...], message: str, hint: str, gym: Gym
) -> None:
    file = str(group(*ROWS))
    done = gym(
        "export", "--format", "nemo", file, *(() if "--output" in options else ("--output", "y.jsonl")), *options
    )
    assert done.status == 2
    assert message in done.err
    assert hint in done.err
    assert not [*Path().glob("*y.*")]


def test_rollouts_with_breaks(gym: Gym) -> None:
    file = group(*ROWS)
    lines = file.read_text().splitlines()
    lines[1] = lines[1].replace('"task_index"', '"token_breaks": 2, "task_index"')
    file.write_text("\n".join(lines) + "\n")
    done = gym("export", "--format", "nemo", str(file), "--breaks", "drop")
    assert keys(done.out) == [("a", 0), ("a", 1), ("b", 1), ("a", 2), ("c", 0)]
    assert "left out, with breaks: 1" in done.err
    done = gym("export", "--format", "nemo", str(file), "--breaks", "refuse", "--output", "y.jsonl")
    assert done.status == 2
    assert "b#0: tokens were encoded anew" in done.err
    assert not Path("y.jsonl").exists()


def test_an_end_that_is_being_written_is_left_out_and_said(gym: Gym) -> None:
    file = group(*ROWS)
    file.write_text(file.read_text() + '{"task_id": "d", "rew')
    done = gym("export", "--format", "nemo", str(file), "--best", "1")
    assert len(keys(done.out)) == 3
    assert "the unfinished last line was left out" in done.err


def test_secrets_of_this_shell_are_in_no_export(gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-4fH7kQ2mZx9TyWv1LpRb")
    file = group(*ROWS)
    file.write_text(file.read_text().replace("k0", "sk-4fH7kQ2mZx9TyWv1LpRb"))
    for options in ((), ("--best", "1")):
        done = gym("export", "--format", "nemo", str(file), "--output", f"y{len(options)}.jsonl", *options)
        assert done.status == 0
        assert "sk-4f" not in Path(f"y{len(options)}.jsonl").read_text()
