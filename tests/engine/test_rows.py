"""What stands in a row, and that the task in it is untouched."""

from __future__ import annotations

import json
import uuid
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gym_core import Status, Task, encode_json
from gym_results.reading import ResultsFile
from tests.support.envs import env
from tests.support.models import ScriptedModel, say
from tests.support.running import read_jsonl, rollout, run

ODD_ROWS = [
    b'{"responses_create_params": {"input": "Hi"}, "b": 1, "a": 2}',
    b'{ "responses_create_params" : {"input":"Hi", "temperature":1.0} , "n" : 1e2 }',
    b'{"responses_create_params":{"input":"Hi"},"big":123456789012345678901234567890,"one":1.0,"exp":1E+2}',
    b'{"responses_create_params":{"input":"\\u00e9\\/"},"text":"\\u0041 \xc3\xa9"}',
    b'{"id": 7, "responses_create_params":{"input":[{"role":"user","content":"Hi"}]},"no":null,"deep":{"z":[],"a":{}}}',
    b'{"task_id":"mine","id":"not me","responses_create_params":{"input":"Hi"},"twice":1,"twice":2}   ',
]


@pytest.mark.parametrize("line", ODD_ROWS)
def test_the_bytes_of_an_input_row_stand_in_its_result(line: bytes, tmp_path: Path) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(line + b"\n")
    run(input=source, output=output)
    (written,) = output.read_bytes().splitlines()
    assert written.startswith(line.rstrip()[:-1].rstrip() + b",")
    added = orjson.loads(b"{" + written[len(line.rstrip()[:-1].rstrip()) + 1 :])
    expected = {"response", "reward", "reward_components", "rollout"}
    assert set(added) - {"task_id"} == expected


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.dictionaries(st.text("abcxyz", min_size=1, max_size=3), JSON, max_size=4), min_size=1, max_size=4))
def test_any_fields_survive_a_run(tmp_path: Path, fields: list[dict[str, Any]]) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = [{**given, "responses_create_params": {"input": "Hi"}} for given in fields]
    source.write_bytes(b"".join(orjson.dumps(row) + b"\r\n" for row in rows))
    run(input=source, output=output, mode="overwrite", concurrency=1)
    for row, written in zip(rows, read_jsonl(output), strict=True):
        assert {name: written[name] for name in row} == row


@pytest.mark.parametrize(
    ("fields", "task_id"),
    [
        ({"task_id": "a", "id": "b"}, "a"),
        ({"id": "b"}, "b"),
        ({"id": 12}, "12"),
        ({"task_id": 5}, "5"),
        ({}, "1"),
        ({"id": None}, "1"),
        ({"task_id": None}, "1"),
        ({"task_id": "", "id": "b"}, "b"),
        ({"task_id": 1.5}, "1.5"),
        ({"task_id": True}, "true"),
        ({"id": False}, "false"),
        ({"task_id": ["a", 1]}, '["a",1]'),
        ({"task_id": {"a": None}}, '{"a":null}'),
        ({"task_id": 2**80}, str(2**80)),
        ({"id": -(2**70)}, str(-(2**70))),
    ],
    ids=repr,
)
@pytest.mark.parametrize("from_file", [True, False])
def test_the_id_of_a_task(fields: dict[str, Any], task_id: str, from_file: bool, tmp_path: Path) -> None:
    row = {**fields, "responses_create_params": {"input": "Hi"}}
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(encode_json(row) + b"\n")
    given: dict[str, Any] = {"input": source} if from_file else {"tasks": [row]}
    ended = run(**given, output=output)
    assert ended.rollouts[0].task_id == task_id
    written = json.loads(output.read_bytes())
    assert {name: written[name] for name in row} == row
    assert written["rollout"].get("task_id", written["task_id"]) in (task_id, fields.get("task_id"))
    (stored,) = ResultsFile(output).rollouts()
    assert stored.task_id == task_id
    if from_file:
        assert run(**given, output=output, mode="resume").rollouts == []


class Text(str):
    """As numpy and enumerations have it."""


@pytest.mark.parametrize(
    ("value", "task_id"),
    [
        (Text("a"), "a"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (date(2026, 1, 2), "2026-01-02"),
        (Decimal("1.50"), "1.50"),
        (Path("a/b"), "a/b"),
        (Status.COMPLETED, "completed"),
        (b"a", "a"),
        (float("inf"), "1"),
        (float("nan"), "1"),
        ([float("nan")], "[null]"),
        ({2, 1}, "[1,2]"),
        ("\ud800!", "\ufffd!"),
        ("\ud83d\ude00", "\U0001f600"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("named", [True, False])
def test_an_id_from_python_is_the_one_that_is_read_again(value: Any, task_id: str, named: bool, tmp_path: Path) -> None:
    row = {"responses_create_params": {"input": "Hi"}}
    output = tmp_path / "out.jsonl"

    def tasks() -> list[Any]:
        return [Task(row, task_id=value) if named else {"task_id": value, **row}]

    (ran,) = run(tasks=tasks(), output=output).rollouts
    assert ran.task_id == task_id
    (stored,) = ResultsFile(output).rollouts()
    assert stored.task_id == task_id
    assert run(tasks=tasks(), output=output, mode="resume").rollouts == []
    assert run(input=output).rollouts[0].task_id == task_id


def test_resuming_finds_a_row_whose_task_id_is_null(tmp_path: Path) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(b'{"task_id": null, "responses_create_params": {"input": "Hi"}}\n')
    run(input=source, output=output)
    again = run(input=source, output=output, mode="resume")
    assert again.rollouts == []
    assert len(read_jsonl(output)) == 1


def test_what_a_row_says_of_its_rollout() -> None:
    ended = run(ScriptedModel("hi", name="m"), env(tasks=1, name="e"), seed=3)
    row = ended.rollouts[0].row
    assert list(row)[-4:] == ["response", "reward", "reward_components", "rollout"]
    about = row["rollout"]
    assert {
        "run_id", "task_index", "repeat", "attempt", "status", "stop_reason", "info", "error", "usage", "cost",
        "timing", "model_calls", "tool_calls", "model", "env", "agent", "seed",
    } <= set(about)  # fmt: skip
    assert (about["task_index"], about["repeat"], about["attempt"]) == (0, 0, 1)
    assert (about["status"], about["stop_reason"], about["error"]) == ("completed", "completed", None)
    assert (about["model"], about["env"], about["agent"]) == ("m", "e", "LoopAgent")
    assert about["run_id"] == ended.summary["run_id"]
    assert about["usage"]["total_tokens"] == 12
    assert row["response"]["output"] == [say("hi")]
    assert isinstance(about["seed"], int)
    assert about["timing"]["seconds"] >= about["timing"]["model_seconds"] >= 0


def test_a_failures_row_has_the_same_shape() -> None:
    from gym_core.errors import BadRequestError

    good, bad = rollout(), rollout(ScriptedModel(BadRequestError("no")))
    assert list(good.row) == list(bad.row)
    assert list(good.row["rollout"]) == list(bad.row["rollout"])
    assert bad.row["reward"] is None


def test_a_row_is_json_that_reads_back_as_it_was(tmp_path: Path) -> None:
    output = tmp_path / "x.jsonl"
    ended = run(ScriptedModel("hi"), output=output)
    assert read_jsonl(output) == [orjson.loads(orjson.dumps(ended.rollouts[0].row))]
    assert Task(read_jsonl(output)[0]).task_id == "t0"
