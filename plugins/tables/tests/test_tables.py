"""Runs as flat tables: CSV and Parquet."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from gym_core import Rollout
from gym_core.spi import FLAT_COLUMNS, Json
from gym_tables.columns import Shape
from tests.support.exports import Gym, result, stored


def test_a_table_has_documented_columns_and_those_of_the_rows(gym: Gym, tmp_path: Path) -> None:
    file = stored(
        tmp_path, result(1, answer="7", level=1), result(2, None, "model_error", level=2.5), result(3, good=True)
    )
    done = gym("export", "--format", "csv", str(file))
    assert done.status == 0, done.err
    assert done.err == "", "failures are part of the table"
    first, third, second = csv.DictReader(io.StringIO(done.out))
    named = ["component_exact", "metric_steps", "reward_helper", "field_answer", "field_level", "field_good"]
    assert [*first] == [*FLAT_COLUMNS, *named]
    known = {
        "task_id": "t1",
        "reward": "1.0",
        "status": "completed",
        "model": "m",
        "prompt": "How many?",
        "answer": "It is 1.",
        "input_tokens": "10",
        "seconds": "1.5",
        "info": '{"why":["x"]}',
        "component_exact": "1.0",
        "field_answer": "7",
        "field_level": "1",
    }
    assert {name: first[name] for name in known} == known
    assert (second["status"], second["reward"], second["error_class"]) == ("model_error", "", "RateLimitError")
    assert third["field_good"] == "true"


def test_parquet_has_types(gym: Gym, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    file = stored(
        tmp_path, result(1, level=1, mixed="a", big=1 << 70), result(2, None, "timed_out", level=2.5, mixed=3)
    )
    done = gym("export", "--format", "parquet", str(file), "--output", str(tmp_path / "y.parquet"))
    assert done.status == 0, done.err
    table = parquet.read_table(tmp_path / "y.parquet")
    types = {name: str(table.schema.field(name).type) for name in table.column_names}
    expected = {"reward": "double", "task_index": "int64", "task_id": "string", "field_level": "double"}
    assert {name: types[name] for name in expected} == expected
    assert table.column("reward").to_pylist() == [1.0, None]
    assert [json.loads(value) for value in table.column("field_mixed").to_pylist()] == ["a", 3]
    assert json.loads(table.column("field_big").to_pylist()[0]) == 1 << 70


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("csv", "--output", "y.parquet"), "csv writes files that end in .csv"),
        (("csv", "--output", "y.jsonl"), "csv writes files that end in .csv"),
        (("parquet",), "parquet goes to a file"),
        (("parquet", "--output", "y.csv"), "parquet writes files that end in .parquet"),
    ],
)
def test_a_file_of_another_kind_is_refused(
    options: tuple[str, ...], message: str, gym: Gym, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = gym("export", str(stored(tmp_path, result(1))), "--format", *options)
    assert done.status == 2
    assert message in done.err
    assert not [*tmp_path.glob("y.*")]


def test_names_that_differ_in_case_alone_are_told_apart() -> None:
    shape = Shape()
    made = shape.row(Rollout(result(1, Level=1, level="a", task_id="t")))
    assert (made["field_Level"], made["field_level_2"]) == (1, "a")
    assert {name: shape.columns()[name] for name in ("field_Level", "field_level_2")} == {
        "field_Level": int,
        "field_level_2": str,
    }


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((1, 2), int),
        ((1, 2.5), float),
        ((1, None), int),
        ((None, None), str),
        ((True, False), bool),
        ((True, 1), Json),
        (("a", 1), Json),
        (([1], None), Json),
        ((1, 1 << 63), Json),
    ],
)
def test_the_type_of_a_column_fits_all_that_it_holds(values: tuple[Any, ...], expected: Any) -> None:
    shape = Shape()
    for value in values:
        shape.row(Rollout(result(1, x=value)))
    assert shape.columns()["field_x"] is expected


def test_what_models_say_speaks_to_no_terminal_and_to_no_spreadsheet(gym: Gym, tmp_path: Path) -> None:
    file = stored(tmp_path, result(1, x="\x1b[2J", y="=1+1"))
    done = gym("export", "--format", "csv", str(file))
    assert "\x1b" not in done.out
    assert "'=1+1" in done.out
