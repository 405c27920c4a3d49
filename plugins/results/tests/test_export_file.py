"""Exports as tables: Parquet and CSV, whole or not at all."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gym_core.errors import UsageError
from gym_core.spi import Json
from gym_results.export_file import write_export

COLUMNS: dict[str, Any] = {
    "text": str,
    "count": int,
    "reward": float,
    "good": bool,
    "ids": [int],
    "any": Json,
    "messages": [{"role": str, "calls": [{"name": str, "arguments": Json}]}],
}
ROWS: list[dict[str, Any]] = [
    {
        "text": "a",
        "count": 1,
        "reward": 0.5,
        "good": True,
        "ids": [1, 2],
        "any": {"x": [1, "a", None]},
        "messages": [{"role": "assistant", "calls": [{"name": "f", "arguments": {"city": "Oslo"}}]}, {"role": "user"}],
    },
    {"messages": [{"role": "assistant", "calls": [{"name": "g", "arguments": {"id": 4}}]}], "any": "text"},
    {},
]


def written(path: Path, rows: Any = ROWS, columns: Any = COLUMNS) -> Path:
    write_export(path, rows, columns)
    return path


def parquet(path: Path) -> list[dict[str, Any]]:
    table = pytest.importorskip("pyarrow.parquet").read_table(path)
    found: list[dict[str, Any]] = table.to_pylist()
    return found


def test_parquet_has_the_columns_that_were_said_whatever_the_rows_hold(empty_directory: Path) -> None:
    first, second, third = parquet(written(empty_directory / "x.parquet"))
    assert {name: first[name] for name in ("text", "count", "reward", "good", "ids")} == {
        "text": "a", "count": 1, "reward": 0.5, "good": True, "ids": [1, 2]
    }  # fmt: skip
    assert json.loads(first["any"]) == {"x": [1, "a", None]}
    assert json.loads(first["messages"][0]["calls"][0]["arguments"]) == {"city": "Oslo"}
    assert json.loads(second["messages"][0]["calls"][0]["arguments"]) == {"id": 4}
    assert json.loads(second["any"]) == "text"
    assert third == dict.fromkeys(COLUMNS)
    assert parquet(written(empty_directory / "none.parquet", [])) == []


@pytest.mark.filterwarnings("ignore")
def test_objects_are_objects_again_to_hugging_face(empty_directory: Path) -> None:
    datasets = pytest.importorskip("datasets")
    path = written(empty_directory / "x.parquet")
    read = datasets.Dataset.from_parquet(str(path), cache_dir=str(empty_directory / "cache"))
    assert read[0]["messages"][0]["calls"][0]["arguments"] == {"city": "Oslo"}
    assert read[1]["messages"][0]["calls"][0]["arguments"] == {"id": 4}, "no key of the other call, not even as null"
    assert read[0]["any"] == {"x": [1, "a", None]}


def test_parquet_in_parts(empty_directory: Path) -> None:
    rows = [{"count": number, "ids": [number] * 3} for number in range(2_500)]
    columns = {"count": int, "ids": [int]}
    path = written(empty_directory / "x.parquet", iter(rows), columns)
    assert parquet(path) == rows
    assert pytest.importorskip("pyarrow.parquet").ParquetFile(path).num_row_groups == 3


@given(st.lists(st.lists(st.floats(allow_nan=False, allow_infinity=False)), max_size=5))
def test_numbers_stay_what_they_are(tmp_path_factory: pytest.TempPathFactory, lists: list[list[float]]) -> None:
    folder = tmp_path_factory.mktemp("x")
    rows = [{"logprobs": values} for values in lists]
    assert parquet(written(folder / "x.parquet", rows, {"logprobs": [float]})) == rows
    assert [json.loads(line) for line in written(folder / "x.jsonl", rows, None).read_text().splitlines()] == rows


def test_csv_has_json_in_its_cells_and_no_formulas(empty_directory: Path) -> None:
    rows = [*ROWS[:1], {"text": "=HYPERLINK(1)"}, {"text": "-5"}, {"text": "-a"}, {"text": 'a,"b"\nc'}]
    path = written(empty_directory / "x.csv", rows)
    with path.open(encoding="utf-8", newline="") as file:
        read = [*csv.DictReader(file)]
    assert read[0]["good"] == "true"
    assert json.loads(read[0]["messages"]) == ROWS[0]["messages"]
    assert [row["text"] for row in read[1:]] == ["'=HYPERLINK(1)", "-5", "'-a", 'a,"b"\nc']
    assert read[1]["reward"] == ""


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv", "x.parquet"])
def test_what_fails_on_the_way_leaves_nothing_behind(name: str, empty_directory: Path) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield from ROWS * 2_000
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        written(empty_directory / name, rows())
    assert [*empty_directory.iterdir()] == []


def test_a_value_of_another_type_is_said_with_its_column(empty_directory: Path) -> None:
    with pytest.raises(UsageError, match=r"rows 1 to 2: the column `count` cannot be written"):
        written(empty_directory / "x.parquet", [{"count": 1}, {"count": "many"}])
    assert [*empty_directory.iterdir()] == []


def test_a_file_that_came_meanwhile_is_not_replaced(empty_directory: Path) -> None:
    path = empty_directory / "x.jsonl"

    def rows() -> Iterator[dict[str, Any]]:
        path.write_text("mine")
        yield {}

    with pytest.raises(UsageError, match="exists already"):
        written(path, rows())
    assert path.read_text() == "mine"
    assert [*empty_directory.iterdir()] == [path]


def test_what_is_missing_for_parquet_is_said_in_a_line(empty_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match="needs pyarrow") as error:
        written(empty_directory / "x.parquet")
    assert error.value.hint == "pip install pyarrow"
    assert [*empty_directory.iterdir()] == []


def test_a_folder_that_cannot_be_written_to(empty_directory: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        written(empty_directory / "none" / "x.jsonl")
