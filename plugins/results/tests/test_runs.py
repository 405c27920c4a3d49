"""`gym runs`: the runs of a folder, whatever else lies there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gym_core.engine.storage.store import LineFile
from gym_results import stored_runs
from tests.support.envs import ask, env
from tests.support.models import ScriptedModel
from tests.support.running import run

if TYPE_CHECKING:
    from tests.support.exports import Gym

ACTS = "\x1b]0;owned\x07\x1b[2J\x9b8m\u202e\r\n\x7f"


def collected(name: str, rewards: list[float], *, created: str = "", **settings: Any) -> Path:
    tasks = [ask(n, reward_wanted=reward) for n, reward in enumerate(rewards)]
    model = ScriptedModel(lambda request, context: ValueError("no") if context.key == ("t0", 1) else "yes")
    path = Path(name)
    run(model, env(tasks=tasks), output=path, **settings)
    if created:
        changed(path, created_at=created)
    return path


def changed(path: Path, suffix: str = ".run.json", **fields: Any) -> None:
    file = path.with_name(path.stem + suffix)
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def listed(gym: Gym, *arguments: str) -> list[dict[str, Any]]:
    result = gym("runs", *arguments, "--json")
    assert (result.status, result.err) == (0, "")
    found: list[dict[str, Any]] = json.loads(result.out)
    return found


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """No row may be read."""

    def refused(*arguments: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(stored_runs, "Statistics", refused)


@pytest.mark.usefixtures("unread")
def test_runs_are_listed_newest_first_by_their_summaries(gym: Gym) -> None:
    collected("results/old.jsonl", [0.0, 1.0, 1.0], repeats=2, created="2026-01-01T00:00:00+00:00")
    collected("results/sweep/new.jsonl", [0.5], created="2026-02-01T00:00:00+00:00")
    new, old = listed(gym)
    assert (new["path"], old["path"]) == ("results/sweep/new.jsonl", "results/old.jsonl")
    assert (old["state"], old["model"], old["env"], old["rollouts"], old["failed"]) == (
        "finished",
        "scripted",
        "tiny",
        5,
        1,
    )
    assert old["reward"]["mean"] == 0.8
    assert old["reward"]["interval_95"][0] < 0.8 < old["reward"]["interval_95"][1]
    assert (old["input_tokens"], old["output_tokens"], old["cost"]) == (50, 10, None)
    lines = gym("runs").out.splitlines()
    assert lines[0].split()[:3] == ["run", "state", "started"]
    assert [line.split()[0] for line in lines[1:]] == [new["path"], old["path"]]
    assert [one["path"] for one in listed(gym, "results/sweep")] == [new["path"]]


def test_states_are_told_apart(gym: Gym) -> None:
    finished, cut, stopped, resumed, running = (
        collected(f"results/{name}.jsonl", [0.5, 1.0]) for name in ("finished", "cut", "stopped", "resumed", "running")
    )
    changed(stopped, ".summary.json", state="stopped")
    cut.with_name("cut.summary.json").unlink()
    cut.write_text(cut.read_text() + '{"torn')
    changed(resumed, ".summary.json", state="interrupted", rollouts={"with_verdict": 1, "failed": 0, "cancelled": 0})
    for copied in (resumed, finished):  # the rows are newer than the summary
        later = copied.with_name(copied.stem + ".summary.json").stat().st_mtime + 60
        os.utime(copied, (later, later))
    writer = LineFile(running)
    writer.lock()
    try:
        states = {Path(one["path"]).stem: one for one in listed(gym)}
    finally:
        writer.close()
    assert {name: one["state"] for name, one in states.items()} == {
        "finished": "finished",
        "cut": "cut",
        "stopped": "stopped",
        "resumed": "cut",
        "running": "running",
    }
    assert all((one["rollouts"], one["reward"]["mean"]) == (2, 0.75) for one in states.values())


def test_a_run_that_has_no_row_yet_is_listed(gym: Gym) -> None:
    path = collected("results/x.jsonl", [0.5])
    path.with_name("x.summary.json").unlink()
    path.write_text("")
    (one,) = listed(gym)
    assert (one["state"], one["rollouts"], one["planned"], one["reward"]) == ("cut", 0, 1, None)
    assert "0 of 1" in gym("runs").out


@pytest.mark.parametrize(
    ("suffix", "content", "problem"),
    [
        (".run.json", "", "not a manifest"),
        (".run.json", "[]", "not a manifest"),
        (".run.json", '{"format_version": 9}', "format version 9"),
        (".run.json", {"settings": 5}, "not a manifest"),
        (".run.json", {"created_at": 5}, "not a manifest"),
        (".run.json", "[" * 100_000, "not a manifest"),
        (".summary.json", "{", "not a summary"),
        (".summary.json", {"state": ["finished"]}, "not a summary"),
        (".summary.json", {"format_version": 2}, "format version 2"),
        (".jsonl", None, "is missing"),
    ],
)
def test_what_is_no_run_is_one_line(gym: Gym, suffix: str, content: Any, problem: str) -> None:
    collected("results/good.jsonl", [0.5])
    path = collected("results/bad.jsonl", [0.5])
    if isinstance(content, dict):
        changed(path, suffix, **content)
    elif content is None:
        path.unlink()
    else:
        path.with_name(path.stem + suffix).write_text(content)
    found = {Path(one["path"]).stem: one for one in listed(gym)}
    assert (found["good"]["state"], found["bad"]["state"]) == ("finished", "unreadable")
    assert problem in found["bad"]["problem"]
    assert problem in gym("runs").out


def test_odd_values_are_left_out(gym: Gym) -> None:
    path = collected("results/x.jsonl", [0.5])
    changed(path, created_at="9999-12-31T23:59:59+00:00", dataset=None, extent=[], settings={"models": {"policy": 5}})
    odd = {"mean": "high", "standard_error": {}}
    changed(path, ".summary.json", rollouts={"with_verdict": -1, "failed": "x"}, reward=odd, usage=[], cost=10**400)
    (one,) = listed(gym)
    assert one["state"] == "finished"
    assert [one[name] for name in ("model", "planned", "rollouts", "reward", "input_tokens", "cost")] == [None] * 6
    assert gym("runs").status == 0


def test_rows_that_are_none_stop_nothing(gym: Gym) -> None:
    path = collected("results/x.jsonl", [0.5])
    path.with_name("x.summary.json").unlink()
    row = json.loads(path.read_text())
    row["rollout"]["timing"] = 5
    path.write_text(json.dumps(row) + "\n")
    (one,) = listed(gym)
    assert (one["state"], one["problem"]) == ("unreadable", "results/x.jsonl: not what gym wrote (TypeError)")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes are POSIX")
def test_nothing_is_waited_for(gym: Gym) -> None:
    Path("results").mkdir()
    os.mkfifo("results/pipe.run.json")
    os.symlink(".", "results/again")
    (one,) = listed(gym)
    assert "no regular file" in one["problem"]


def test_nothing_in_a_manifest_acts_on_the_terminal(gym: Gym) -> None:
    path = collected("results/x.jsonl", [0.5])
    refs = {name: {"ref": f"{name}{ACTS}", "options": {}} for name in ("env", "agent")}
    changed(path, settings={"models": {"policy": refs["env"], f"judge{ACTS}": refs["agent"]}, **refs})
    Path(f"results/{ACTS.replace('/', '')}.run.json").write_text("{")
    for result in (gym("runs"), gym("runs", "--json")):
        forbidden = {character for character in ACTS if not character.isprintable()} - {"\n"}
        assert not forbidden & {*(result.out + result.err)}
    assert len(gym("runs").out.splitlines()) == 3


def test_no_runs_and_no_folder_are_said(gym: Gym) -> None:
    assert gym("runs", ".").err == "there is no run in .\n"
    result = gym("runs")
    assert (result.status, result.err.splitlines()[0]) == (
        2,
        "error: results cannot be read: No such file or directory",
    )
    Path("x.jsonl").write_text("")
    assert "Not a directory" in gym("runs", "x.jsonl").err


def test_the_interval_is_that_of_the_mean(gym: Gym) -> None:
    collected("results/x.jsonl", [0.0, 1.0])
    (one,) = listed(gym)
    assert one["reward"]["mean"] == 0.5
    # Wilson's interval of 1 in 2, which stays between 0 and 1
    assert one["reward"]["interval_95"] == pytest.approx([0.0945, 0.9055], abs=1e-4)
