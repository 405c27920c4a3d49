"""What a run reads is never written to, and what it writes is still there when it ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from gym_core import UsageError
from gym_core.engine.config import Invocation
from gym_core.errors import StoreError
from tests.support.envs import env, row
from tests.support.models import ScriptedModel
from tests.support.running import collect, read_jsonl, run

PRICES = '["m"]\ninput = 1\noutput = 2\n'


def tasks(path: Path) -> Path:
    path.write_bytes(orjson.dumps(row()) + b"\n")
    return path


def link(path: Path, to: Path) -> Path:
    path.symlink_to(to)
    return path


def hard_link(path: Path, to: Path) -> Path:
    os.link(to, path)
    return path


def refused(words: str, *kept: Path, **settings: Any) -> None:
    """The run is refused before a call, and the files are as they were."""
    before = {path: path.read_bytes() for path in kept}
    model = ScriptedModel()
    with pytest.raises(UsageError, match=words):
        run(model, **settings)
    assert model.requests == []
    assert {path: path.read_bytes() for path in kept} == before


@pytest.mark.parametrize("mode", ["new", "overwrite", "resume"])
@pytest.mark.parametrize(
    "spelled",
    [
        lambda there: there,
        lambda there: there.parent / "." / ".." / there.parent.name / there.name,
        lambda there: link(there.with_name("linked.jsonl"), there),
        lambda there: hard_link(there.with_name("hard.jsonl"), there),
        lambda there: link(there.parent.with_name("folder"), there.parent) / there.name,
    ],
    ids=["same", "another spelling", "symbolic link", "hard link", "linked folder"],
)
def test_the_input_is_never_the_output(mode: str, spelled: Callable[[Path], Path], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    there = tasks(tmp_path / "data" / "x.jsonl")
    refused("is the input", there, input=there, output=spelled(there), mode=mode)


@pytest.mark.parametrize("suffix", ["failures.jsonl", "run.json.partial", "summary.json"])
def test_nor_is_any_other_file_of_the_output(suffix: str, tmp_path: Path) -> None:
    there = tasks(tmp_path / f"x.{suffix}")
    refused("is the input", there, input=there, output=tmp_path / "x.jsonl", mode="overwrite")


def test_prices_and_what_else_a_run_is_made_from_are_kept(tmp_path: Path) -> None:
    prices = tmp_path / "x.summary.json"
    prices.write_text('{"m": {"input": 1, "output": 2}}')
    refused("is the prices", prices, prices=prices, output=tmp_path / "x.jsonl", mode="overwrite")
    made = tmp_path / "x.run.json"
    made.write_text("{}")
    refused(
        "is the configuration",
        made,
        invocation=Invocation(made_from={"the configuration": made}),
        output=tmp_path / "x.jsonl",
        mode="overwrite",
    )


def test_standard_input_may_be_the_output_under_no_name(tmp_path: Path) -> None:
    there = tasks(tmp_path / "x.jsonl")
    kept = os.dup(0)
    try:
        with there.open("rb") as file:
            os.dup2(file.fileno(), 0)
            refused("is the input", there, input="-", output=there, mode="overwrite")
    finally:
        os.dup2(kept, 0)
        os.close(kept)


@pytest.mark.parametrize("name", ["x.jsonl", "x.failures.jsonl", "x.run.json", "x.summary.json"])
def test_the_log_is_no_file_of_a_run(name: str, tmp_path: Path) -> None:
    refused("the log", output=tmp_path / "x.jsonl", log_file=tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    run(output=tmp_path / "x.jsonl")
    refused("the log", tmp_path / "x.jsonl", output=tmp_path / "y.jsonl", log_file=tmp_path / name)
    assert not (tmp_path / "y.jsonl").exists()


@pytest.mark.parametrize("content", ["PRICES = 1\n", '{"task_id": "a"}\n', "half a line"])
def test_a_log_is_appended_to_logs_alone(content: str, tmp_path: Path) -> None:
    log = tmp_path / "it.log"
    log.write_text(content)
    refused("no log", log, log_file=log)
    log.write_text("")
    run(log_file=log)
    run(log_file=log)
    assert len([line for line in read_jsonl(log) if line["event"] == "run_started"]) == 2


def test_a_log_may_be_the_input_of_nothing(tmp_path: Path) -> None:
    there = tasks(tmp_path / "in.jsonl")
    refused("is the input|no log", there, input=there, log_file=link(tmp_path / "it.log", there))


@pytest.mark.parametrize("content", ["precious\n", '{"time":"2026-01-01","event":"log"}\n', '{"prompt": "hi"}'])
@pytest.mark.parametrize("name", ["x.jsonl", "x.failures.jsonl"])
def test_overwrite_replaces_results_and_nothing_else(name: str, content: str, tmp_path: Path) -> None:
    there = tmp_path / name
    there.write_text(content)
    refused("no results", there, output=tmp_path / "x.jsonl", mode="overwrite")
    there.write_text("")
    run(output=tmp_path / "x.jsonl", mode="overwrite")
    assert len(run(output=tmp_path / "x.jsonl", mode="overwrite").rollouts) == 1


@pytest.mark.parametrize("mode", ["overwrite", "resume"])
def test_no_copy_under_another_name_is_changed(mode: str, tmp_path: Path) -> None:
    run(output=tmp_path / "x.jsonl")
    copy = hard_link(tmp_path / "kept.jsonl", tmp_path / "x.jsonl")
    refused("hard link", copy, output=tmp_path / "x.jsonl", mode=mode, repeats=2)


@pytest.mark.parametrize("mode", ["overwrite", "resume"])
@pytest.mark.parametrize("name", ["x.jsonl", "x.failures.jsonl"])
@pytest.mark.parametrize("content", ["half a line", "precious\n"])
def test_a_link_to_what_is_no_results_is_not_followed(content: str, name: str, mode: str, tmp_path: Path) -> None:
    run(output=tmp_path / "x.jsonl")
    precious = tmp_path / "precious.txt"
    precious.write_text(content)
    (tmp_path / name).unlink(missing_ok=True)
    link(tmp_path / name, precious)
    refused("no results", precious, tmp_path / "x.run.json", output=tmp_path / "x.jsonl", mode=mode)


@pytest.mark.parametrize(("mode", "content"), [("overwrite", '{"prompt": "hi"}\n'), ("resume", '{"prompt": "hi"}\n')])
def test_data_in_the_place_of_results_are_kept(mode: str, content: str, tmp_path: Path) -> None:
    run(output=tmp_path / "x.jsonl")
    data = tmp_path / "x.jsonl"
    data.write_text(content)
    refused("no results", data, output=data, mode=mode)


def test_resume_cuts_nothing_where_there_was_no_run(tmp_path: Path) -> None:
    data = tmp_path / "x.jsonl"
    data.write_text('{"prompt": "without a last newline"}')
    refused("no results", data, output=data, mode="resume")


@pytest.mark.parametrize(
    "name", ["x" * 250 + ".jsonl", "x" * 235 + ".jsonl", "x\0y.jsonl", ".jsonl", "x.failures.jsonl"]
)
def test_a_name_that_no_output_can_have(name: str, tmp_path: Path) -> None:
    refused("name|null", output=tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["overwrite", "resume"])
@pytest.mark.parametrize("name", ["x.jsonl", "x.failures.jsonl"])
def test_failures_are_no_link_to_the_files_of_another_run(name: str, mode: str, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    run(output=tmp_path / "theirs" / "x.jsonl")
    run(output=tmp_path / "mine.jsonl")
    theirs = tmp_path / "theirs" / name
    theirs.touch()
    refused(
        "another run", theirs, output=link(tmp_path / "mine.failures.jsonl", theirs).parent / "mine.jsonl", mode=mode
    )


@pytest.mark.parametrize("mode", ["overwrite", "resume"])
@pytest.mark.parametrize("name", ["x.jsonl", "x.failures.jsonl"])
def test_a_link_to_the_files_of_another_run_is_refused(name: str, mode: str, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    session = {"tasks": 1} if name == "x.jsonl" else {"tasks": [{"responses_create_params": {"input": "?"}}]}
    run(server=env(**session), output=tmp_path / "theirs" / "x.jsonl")
    theirs = tmp_path / "theirs" / name
    theirs.touch()
    refused("another run", theirs, output=link(tmp_path / "mine.jsonl", theirs), mode=mode)


def test_a_link_to_ones_own_results_is_none(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    folder = link(tmp_path / "results", tmp_path / "disk")
    run(output=folder / "x.jsonl")
    assert run(output=folder / "x.jsonl", mode="overwrite").summary["state"] == "finished"
    elsewhere = tmp_path / "elsewhere.jsonl"
    elsewhere.touch()
    run(output=link(tmp_path / "y.jsonl", elsewhere), mode="overwrite")
    assert len(read_jsonl(elsewhere)) == 1


def test_collect_refuses_as_run_does(tmp_path: Path) -> None:
    there = tasks(tmp_path / "x.jsonl")
    with pytest.raises(UsageError, match="is the input"):
        collect(input=there, output=there, mode="overwrite")
    assert there.stat().st_size


# What happens to an output while a run goes on


def disturbed(disturb: Callable[[Path], object], output: Path, *, at: int = 3) -> Any:
    """A run of six tasks; when the model is asked for one of them, something happens to the output."""

    def answer(request: Any, context: Any) -> str:
        if context.key[0] == f"t{at}":
            disturb(output)
        return "done"

    return run(ScriptedModel(answer), env(tasks=6), output=output, concurrency=1)


def replaced(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    os.replace(other, path)


@pytest.mark.skipif(sys.platform == "win32", reason="open files cannot be removed there")
@pytest.mark.parametrize("at", [3, 5], ids=["while rows are written", "before the last row"])
@pytest.mark.parametrize(
    ("disturb", "words"),
    [
        (lambda path: path.unlink(), "removed or renamed"),
        (lambda path: path.rename(path.with_name("moved.jsonl")), "removed or renamed"),
        (lambda path: path.parent.rename(path.parent.with_name("moved")), "removed or renamed"),
        (replaced, "replaced"),
        (lambda path: os.truncate(path, 10), "cut"),
        (lambda path: path.write_bytes(b""), "cut"),
    ],
    ids=["removed", "renamed", "folder renamed", "replaced", "truncated", "emptied"],
)
def test_an_output_that_is_no_longer_there_stops_the_run(
    disturb: Callable[[Path], object], words: str, at: int, tmp_path: Path
) -> None:
    ended = disturbed(disturb, tmp_path / "results" / "x.jsonl", at=at)
    assert isinstance(ended.error, StoreError)
    assert words in ended.error.message
    assert ended.summary["state"] == "stopped"


@pytest.mark.parametrize("content", ["half a line", '{"a": "whole one"}\n'])
def test_an_output_that_others_write_to_stops_the_run(content: str, tmp_path: Path) -> None:
    def write(path: Path) -> None:
        with path.open("a") as file:
            file.write(content)

    ended = disturbed(write, tmp_path / "x.jsonl")
    assert isinstance(ended.error, StoreError)
    assert "somebody else" in ended.error.message


@pytest.mark.skipif(sys.platform == "win32", reason="open files cannot be removed there")
def test_failures_that_are_no_longer_there_stop_it_too(tmp_path: Path) -> None:
    ended = disturbed(lambda path: path.with_name("x.failures.jsonl").unlink(), tmp_path / "x.jsonl")
    assert isinstance(ended.error, StoreError)
    assert "x.failures.jsonl" in ended.error.message


def test_an_environment_may_change_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    ended = disturbed(lambda path: os.chdir(tmp_path / "there"), Path("x.jsonl"))
    assert ended.error is None
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == [
        *("x.jsonl", "x.run.json", "x.summary.json", "x.tools.jsonl")
    ]
    assert list((tmp_path / "there").iterdir()) == []
