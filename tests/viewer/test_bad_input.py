"""Files that are no runs, or no longer, or say hostile things: a clear answer, and the others are still shown."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from gym_core import UsageError
from gym_viewer.library import Library
from tests.viewer.conftest import Opening
from tests.viewer.stored import line, message, row, sibling, tool_call, tool_output, write_run

HOSTILE = "</script><img src=x onerror=alert(1)>\x1b[31m\u202e'\"`;../../\u2028"


@pytest.mark.parametrize(
    "name", ["missing.jsonl", "missing", "x.failures.jsonl", "x.tools.jsonl", "x.run.json", "notes.txt", "nul\0.jsonl"]
)
def test_what_is_no_results_file_is_refused_at_once(tmp_path: Path, name: str) -> None:
    write_run(tmp_path / "x.jsonl", [row("a")], [row("b", reward=None)])
    (tmp_path / "notes.txt").write_text("notes")
    with pytest.raises(UsageError) as refused:
        Library([tmp_path / name])
    assert name.partition("\0")[0] in str(refused.value)


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.jsonl")
    with pytest.raises(UsageError):
        Library([tmp_path / "x.jsonl"])


@pytest.mark.parametrize("content", [b"what is this\n", b'{"a": 1}\n', b"\x89PNG\r\n\x1a\n\0\0", b"[1, 2]\n" * 2000])
def test_a_file_of_something_else_is_said_to_be_that(viewing: Opening, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.jsonl").write_bytes(content)
    viewer = viewing(tmp_path / "x.jsonl")
    (entry,) = viewer.get("/api/runs")["runs"]
    answer = viewer.http.get(f"/api/runs/{entry['id']}")
    if answer.status_code == 200:
        view = answer.json()
        assert view["entry"]["state"] == "unreadable"
        assert any("x.jsonl" in note or "not a row" in note for note in [*view["notes"], view["entry"]["problem"]])
    else:
        assert answer.status_code == 422
        assert "x.jsonl" in answer.json()["error"]


def test_results_without_a_manifest_are_shown_all_the_same(viewing: Opening, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(line(row("a")))
    viewer = viewing(tmp_path / "x.jsonl")
    (entry,) = viewer.get("/api/runs")["runs"]
    assert "missing" in entry["problem"]
    view = viewer.get(f"/api/runs/{entry['id']}")
    assert view["account"]["reward"]["mean"] == 1.0
    assert viewer.get(f"/api/runs/{entry['id']}/rollouts/1")["entry"]["task_id"] == "a"


def test_an_empty_run_is_one(viewing: Opening, tmp_path: Path) -> None:
    write_run(tmp_path / "r" / "x.jsonl", [])
    viewer = viewing(tmp_path / "r")
    path = viewer.run("x")
    view = viewer.get(path)
    assert (view["account"], view["histograms"], view["time"]["moments"]) == (None, [], [])
    assert viewer.get(f"{path}/rollouts")["total"] == 0
    assert viewer.get(f"{path}/tasks")["tasks"] == []
    assert viewer.get(f"{path}/by", field="x")["values"] == []


def test_another_format_version_is_named(viewing: Opening, tmp_path: Path) -> None:
    rows = write_run(tmp_path / "r" / "x.jsonl", [row("a")])
    manifest = json.loads(sibling(rows, ".run.json").read_text())
    sibling(rows, ".run.json").write_text(json.dumps({**manifest, "format_version": 99}))
    viewer = viewing(tmp_path / "r")
    (entry,) = viewer.get("/api/runs")["runs"]
    assert entry["state"] == "unreadable"
    assert "format version 99" in entry["problem"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format_version": 1}', "\0" * 10])
def test_a_manifest_that_is_none_hides_no_other_run(viewing: Opening, tmp_path: Path, content: str) -> None:
    write_run(tmp_path / "r" / "good.jsonl", [row("a")])
    bad = write_run(tmp_path / "r" / "bad.jsonl", [row("a")])
    sibling(bad, ".run.json").write_text(content)
    viewer = viewing(tmp_path / "r")
    states = {run["name"]: run["state"] for run in viewer.get("/api/runs")["runs"]}
    assert states == {"good": "cut", "bad": "unreadable"}
    assert viewer.get(viewer.run("bad"))["entry"]["problem"]


def test_one_rollout_twice_is_told(viewing: Opening, tmp_path: Path) -> None:
    write_run(tmp_path / "r" / "x.jsonl", [row("a"), row("a")])
    viewer = viewing(tmp_path / "r")
    notes = viewer.get(viewer.run("x"))["notes"]
    assert any("stands on an earlier line already" in note for note in notes)


def test_a_torn_line_is_told(viewing: Opening, tmp_path: Path) -> None:
    rows = write_run(tmp_path / "r" / "x.jsonl", [row("a")])
    with rows.open("ab") as file:
        file.write(line(row("b"))[:50])
    viewer = viewing(tmp_path / "r")
    view = viewer.get(viewer.run("x"))
    assert view["torn"]
    assert viewer.get(f"{viewer.run('x')}/rollouts")["total"] == 1


def test_a_run_that_goes_away_is_said_to_be_gone(viewing: Opening, tmp_path: Path) -> None:
    rows = write_run(tmp_path / "r" / "x.jsonl", [row("a"), row("b")])
    viewer = viewing(tmp_path / "r")
    path = viewer.run("x")
    viewer.get(path)
    content = rows.read_bytes()
    rows.write_bytes(content[: content.index(b"\n") + 1])
    assert viewer.get(f"{path}/rollouts")["total"] == 1
    assert viewer.refused(f"{path}/rollouts/2")[0] == 404
    rows.unlink()
    status, error = viewer.refused(path)
    assert status == 422
    assert "no longer there" in error


def test_hostile_words_stay_words(viewing: Opening, tmp_path: Path) -> None:
    made = row(
        HOSTILE,
        fields={HOSTILE: HOSTILE, "nested": {HOSTILE: [HOSTILE]}},
        input=[message("user", HOSTILE)],
        output=[tool_call(HOSTILE, HOSTILE), tool_output(HOSTILE), {"type": HOSTILE, "x": HOSTILE}],
        components={HOSTILE: 1.0},
        stop_reason=HOSTILE,
    )
    write_run(tmp_path / "r" / "x.jsonl", [made], [row(HOSTILE, 1, None)])
    viewer = viewing(tmp_path / "r")
    path = viewer.run("x")
    for what in ("", "/rollouts", "/tasks", "/rollouts/1", "/rollouts/f1", "/rollouts/1/raw"):
        answer = viewer.http.get(path + what)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
    assert viewer.get(f"{path}/rollouts", task=HOSTILE)["matched"] == 2
    assert viewer.get(f"{path}/rollouts", stop_reason=HOSTILE)["matched"] == 1
    assert viewer.get(f"{path}/rollouts/1")["entry"]["task_id"] == HOSTILE
    assert viewer.get(f"{path}/by", field=HOSTILE)["values"][0]["value"] == HOSTILE


@pytest.mark.parametrize(
    "about",
    [
        {"model_calls": [{"actor": "policy", "shown": [[0, 99999999999]], "gave": "x"}]},
        {"model_calls": [{"actor": "policy", "continues": 5, "kept": -3, "tokens": 7}, {"actor": "a", "tokens": {}}]},
        {"tool_calls": [{"call": 0, "output": 99}, {"call": "x"}, 7]},
        {"items": "none", "usage": [1], "info": "text"},
        {"timing": {}, "tools": {}},
        {"error": {"class": None, "message": 5}},
        {"rescored": 1, "request": 5, "seed": "x"},
    ],
)
def test_rows_that_others_made_are_shown_as_far_as_they_go(viewing: Opening, tmp_path: Path, about: Any) -> None:
    write_run(tmp_path / "r" / "x.jsonl", [row("a", **about)])
    viewer = viewing(tmp_path / "r")
    path = viewer.run("x")
    assert viewer.get(path)["progress"]
    if viewer.get(f"{path}/rollouts")["total"]:
        view = viewer.get(f"{path}/rollouts/1")
        for actor in view["actors"]:
            for branch in actor["branches"]:
                viewer.get(f"{path}/rollouts/1/items", branch=branch["id"])
        viewer.get(f"{path}/rollouts/1/tokens")
    else:
        assert viewer.get(path)["notes"]


def test_a_folder_without_runs_is_empty_and_a_missing_one_refused(viewing: Opening, tmp_path: Path) -> None:
    assert viewing(tmp_path).get("/api/runs")["runs"] == []
    with pytest.raises(UsageError):
        Library([tmp_path / "nothing"])
