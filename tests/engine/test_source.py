"""Tasks from files: what is read, what is refused, and when."""

from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from gym_core import UsageError
from gym_core.engine.tasks.source import FileSource
from gym_core.errors import InputError
from gym_results.comparison import Statistics
from gym_results.reading import ResultsFile
from tests.support.envs import row
from tests.support.models import ScriptedModel
from tests.support.running import Ended, read_jsonl, run

GOOD = b'{"id": "%d", "responses_create_params": {"input": "Hi"}}\n'


def lines(*numbers: int) -> bytes:
    return b"".join(GOOD % number for number in numbers)


def fed(monkeypatch: pytest.MonkeyPatch, content: bytes, **settings: Any) -> Ended:
    """A run of what comes through standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    return run(input="-", concurrency=1, **settings)


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_tasks_keep_their_order_and_their_place(tmp_path: Path) -> None:
    source = FileSource(write(tmp_path / "in.jsonl", lines(7, 5, 6)))
    assert source.check()
    assert [(task.task_id, task.index) for task in source] == [("7", 0), ("5", 1), ("6", 2)]
    assert source.info.tasks == 3


def test_an_input_that_becomes_shorter_is_noticed(tmp_path: Path) -> None:
    source = FileSource(write(tmp_path / "in.jsonl", lines(1, 2, 3)))
    source.check()
    write(source.path, lines(1, 2))  # type: ignore[arg-type]  # a path, as it was given
    with pytest.raises(InputError, match="shorter"):
        list(source)


def test_the_manifest_knows_size_and_hash(tmp_path: Path) -> None:
    import hashlib

    content = lines(1, 2)
    source = FileSource(write(tmp_path / "in.jsonl", content))
    source.check()
    assert source.info.to_wire()["bytes"] == len(content)
    assert source.info.to_wire()["sha256"] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("ending", [b"", b"\n", b"\n\n  \n", b"\r\n"])
def test_blank_lines_and_a_missing_last_newline_are_fine(ending: bytes, tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", lines(1) + b"\n" + lines(2).rstrip() + ending)
    assert [rollout.task_id for rollout in run(input=path, concurrency=1).rollouts] == ["1", "2"]


def test_gzip(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl.gz", gzip.compress(lines(1, 2)))
    assert len(run(input=path).rollouts) == 2


def test_a_cut_gzip_is_refused_before_any_call(tmp_path: Path) -> None:
    content = gzip.compress(b"".join(GOOD % number for number in range(2000)))
    model = ScriptedModel()
    with pytest.raises(UsageError, match=r"in\.jsonl\.gz"):
        run(model, input=write(tmp_path / "in.jsonl.gz", content[: len(content) // 2]))
    assert model.requests == []


def test_a_file_that_is_no_gzip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"in\.jsonl\.gz"):
        run(input=write(tmp_path / "in.jsonl.gz", lines(1)))


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines(1, 2, 3))))
    ended = run(input="-", concurrency=1)
    assert [rollout.task_id for rollout in ended.rollouts] == ["1", "2", "3"]


def test_a_broken_row_on_standard_input_stops_the_run_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines(1) + b"nonsense\n" + lines(2))))
    ended = run(input="-", concurrency=1)
    assert isinstance(ended.error, InputError)
    assert "-:2: " in str(ended.error)
    assert ended.statuses() == ["completed"]


BROKEN = [
    (b"{", "not valid JSON"),
    (b"\xff\xfe", "not valid JSON"),
    (b"[]", "JSON object"),
    (b"3", "JSON object"),
    (b"null", "JSON object"),
    (b"{}", "`responses_create_params` is missing"),
    (b'{"responses_create_params": 3}', "must be an object"),
    (b'{"responses_create_params": {}}', "input` is missing"),
    (b'{"responses_create_params": {"input": 3}}', "string or a list"),
    (b'{"responses_create_params": {"input": [3]}}', "string or a list"),
    (b'{"responses_create_params": {"input": "a", "tools": {}}}', "tools"),
    (b'{"responses_create_params": {"input": "a"}, "reward": 1}', "`reward`"),
    (b'{"responses_create_params": {"input": "a"}, "reward_components": 1}', "`reward_components`"),
    (b'{"responses_create_params": {"input": "a"}, "response": {}}', "`response`"),
    (b'{"responses_create_params": {"input": "a"}, "rollout": {}}', "`rollout`"),
]


@pytest.mark.parametrize(("line", "words"), BROKEN)
def test_a_broken_row_is_reported_by_file_and_line_before_any_call(line: bytes, words: str, tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", lines(1) + line + b"\n" + lines(2))
    model = ScriptedModel()
    with pytest.raises(UsageError) as caught:
        run(model, input=path, output=tmp_path / "x.jsonl")
    assert str(caught.value).startswith(f"{path}:2: ")
    assert words in str(caught.value)
    assert "--skip-invalid" in caught.value.hint
    assert model.requests == []
    assert not (tmp_path / "x.jsonl").exists()


def test_the_first_broken_rows_are_listed_and_the_rest_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", b"nonsense\n" * 12)
    with pytest.raises(UsageError) as caught:
        run(input=path)
    assert caught.value.message.count("not valid JSON") == 5
    assert f"{path}:5: " in caught.value.message
    assert "7 more" in caught.value.message


def test_broken_rows_can_be_skipped_and_are_counted(tmp_path: Path) -> None:
    content = lines(1) + b"\n".join(line for line, _ in BROKEN) + b"\n" + lines(2)
    ended = run(input=write(tmp_path / "in.jsonl", content), skip_invalid=True, concurrency=1)
    assert [rollout.task_id for rollout in ended.rollouts] == ["1", "2"]
    assert ended.summary["rollouts"]["skipped_rows"] == len(BROKEN)


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_a_file_without_tasks_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no task"):
        run(input=write(tmp_path / "in.jsonl", content))


@pytest.mark.parametrize("skip", [False, True])
def test_where_an_id_stands_twice_lines_name_the_tasks(skip: bool, tmp_path: Path) -> None:
    path, output = write(tmp_path / "in.jsonl", lines(7, 8, 7)), tmp_path / "x.jsonl"
    ended = run(input=path, output=output, skip_invalid=skip, concurrency=1)
    assert [rollout.task_id for rollout in ended.rollouts] == ["1", "2", "3"]
    (notice,) = ended.notices
    assert "in.jsonl:3: the task_id '7' stands on an earlier line already" in notice
    assert "--task-id FIELD" in notice
    rows = read_jsonl(output)
    assert [row["id"] for row in rows] == ["7", "8", "7"]
    assert run(input=path, output=output, mode="resume").rollouts == []
    assert run(input=path, output=output, mode="resume", task_id="line").rollouts == []
    again = run(input=output, output=tmp_path / "y.jsonl")
    assert [rollout.task_id for rollout in again.rollouts] == ["1", "2", "3"]


def test_repeated_task_ids_stay_in_their_rows(tmp_path: Path) -> None:
    """The rows are results again: what names them is not their own field."""
    path, output = tmp_path / "in.jsonl", tmp_path / "x.jsonl"
    task = {"task_id": "problem", "responses_create_params": {"input": "x"}}
    write(path, b"".join(orjson.dumps({**task, "part": part}) + b"\n" for part in range(3)))
    run(input=path, output=output, repeats=2)
    rows = read_jsonl(output)
    assert {row["task_id"] for row in rows} == {"problem"}
    keys = {(row["rollout"]["task_id"], row["rollout"]["repeat"]) for row in rows}
    assert keys == {(str(line), repeat) for line in (1, 2, 3) for repeat in (0, 1)}
    assert run(input=path, output=output, mode="resume", repeats=2).rollouts == []
    assert len(list(ResultsFile(output).rollouts())) == 6
    assert Statistics(output).result["reward"]["rollouts"] == 6
    again = run(input=output)
    found = sorted((rollout.task_id, rollout.row["part"]) for rollout in again.rollouts)
    assert found == [("1", 0), ("2", 1), ("3", 2)]


@pytest.mark.parametrize(
    ("by", "ids"),
    [("uuid", ["a", "b"]), ("meta.n", ["1.5", "true"]), ("line", ["1", "2"]), (None, ["p", "q"])],
)
@pytest.mark.parametrize("from_file", [True, False])
def test_what_names_a_task_can_be_chosen(by: str | None, ids: list[str], from_file: bool, tmp_path: Path) -> None:
    request = {"responses_create_params": {"input": "x"}}
    rows = [
        {"task_id": "p", "uuid": "a", "meta": {"n": 1.5}, **request},
        {"task_id": "q", "uuid": "b", "meta": {"n": True}, **request},
    ]
    path = write(tmp_path / "in.jsonl", b"".join(orjson.dumps(row) + b"\n" for row in rows))
    given: dict[str, Any] = {"input": path} if from_file else {"tasks": rows}
    ended = run(**given, task_id=by, output=tmp_path / "x.jsonl", concurrency=1)
    assert [rollout.task_id for rollout in ended.rollouts] == ids
    assert ended.notices == []
    assert [row["task_id"] for row in read_jsonl(tmp_path / "x.jsonl")] == ["p", "q"]
    if from_file:
        with pytest.raises(UsageError, match="task_id"):
            run(**given, task_id="meta" if by != "meta" else None, output=tmp_path / "x.jsonl", mode="resume")


def test_a_field_that_is_to_name_tasks_must_be_there_and_be_unique(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", lines(1, 2))
    with pytest.raises(UsageError, match=r"in\.jsonl:1: the field `uuid` is missing"):
        run(input=path, task_id="uuid")
    with pytest.raises(UsageError, match=r"in\.jsonl:2: the task_id 'Hi' stands on an earlier line"):
        run(input=path, task_id="responses_create_params.input")


def test_repeated_ids_on_standard_input_are_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = fed(monkeypatch, lines(1, 1))
    assert ended.error is not None
    assert "--task-id line" in str(ended.error)
    assert fed(monkeypatch, lines(1, 1), task_id="line").statuses() == ["completed"] * 2


@pytest.mark.parametrize(
    "rows",
    [
        [{"id": "2"}, {}],
        [{"task_id": 2}, {"id": None}],
        [{}, {"id": "1"}],
        [{"task_id": "a"}, {"id": "a"}],
    ],
)
def test_two_rows_never_share_an_id(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    content = b"".join(orjson.dumps({**fields, "responses_create_params": {"input": "x"}}) + b"\n" for fields in rows)
    ended = run(input=write(tmp_path / "in.jsonl", content), concurrency=1)
    assert [rollout.task_id for rollout in ended.rollouts] == ["1", "2"]
    assert "in.jsonl:2: " in ended.notices[0]


def test_results_are_read_as_the_tasks_they_came_from(tmp_path: Path) -> None:
    first = tmp_path / "first.jsonl"
    run(tasks=[row(1, answer=4), row(2)], repeats=3, output=first)
    again = tmp_path / "again.jsonl"
    ended = run(input=first, output=again)
    assert sorted(rollout.task_id for rollout in ended.rollouts) == ["t1", "t2"]
    fields = {rollout.task_id: set(rollout.row) for rollout in ended.rollouts}
    assert "answer" in fields["t1"]
    assert {written["rollout"]["run_id"] for written in read_jsonl(again)} == {ended.summary["run_id"]}


def test_failures_are_read_as_tasks_too(tmp_path: Path) -> None:
    from gym_core.errors import BadRequestError

    run(ScriptedModel(BadRequestError("no")), tasks=[row(1)], output=tmp_path / "first.jsonl")
    ended = run(input=tmp_path / "first.failures.jsonl")
    assert [(rollout.task_id, rollout.reward) for rollout in ended.rollouts] == [("t1", 1.0)]


def test_numbers_of_a_result_that_is_read_again_stay_as_they_are(tmp_path: Path) -> None:
    line = b'{"id":"a","responses_create_params":{"input":"Hi"},"big":123456789012345678901234567890}\n'
    first, again = tmp_path / "first.jsonl", tmp_path / "again.jsonl"
    run(input=write(tmp_path / "in.jsonl", line), output=first)
    run(input=first, output=again)
    assert b'"big":123456789012345678901234567890' in again.read_bytes()


@pytest.mark.parametrize("name", ["missing.jsonl", "missing.jsonl.gz", "missing.jsonl.zst", "."])
def test_a_file_that_cannot_be_opened_is_a_usage_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        run(input=tmp_path / name)


def test_a_rows_model_is_ignored(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", b'{"responses_create_params": {"input": "Hi", "model": "gpt-x"}}\n')
    model = ScriptedModel()
    run(model, input=path)
    assert "model" not in model.requests[0].body


def test_a_table_that_the_environment_does_not_read_is_called_one(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("question,answer\nWhat?,yes\n")
    with pytest.raises(UsageError, match=r"it is a table, not a line of JSON .*`--env qa`"):
        FileSource(path).check()
