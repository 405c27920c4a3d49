"""Every format that is read, and every way in which a file can be broken."""

from __future__ import annotations

import gzip
import json
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gym_core import UsageError
from gym_core.errors import InputError
from gym_qa.reading.hub import HubData
from gym_qa.reading.row import Row
from gym_qa.reading.table import open_table

ROWS = [{"question": "What is 1 + 1?", "answer": "2"}, {"question": "And, so to say,\n2 + 2?", "answer": "4"}]


def values(path: Path) -> list[dict[str, Any]]:
    found = list(open_table(str(path)).rows)
    assert all(isinstance(row, Row) for row in found)
    return [row.values for row in found if isinstance(row, Row)]


SEPARATED = 'question{0}answer\nWhat is 1 + 1?{0}2\n"And, so to say,\n2 + 2?"{0}4\n'
CSV = 'question,answer\nWhat is 1 + 1?,2\n"And, so to say,\n2 + 2?",4\n'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.csv", CSV.encode()),
        ("bom.csv", b"\xef\xbb\xbf" + CSV.encode()),
        ("windows.csv", CSV.replace("4\n", "4\r\n").replace("2\n", "2\r\n").encode()),
        ("spreadsheet.csv", SEPARATED.format(";").encode()),
        ("x.tsv", SEPARATED.format("\t").encode()),
        ("UPPER.CSV", CSV.encode()),
        ("x.csv.gz", gzip.compress(CSV.encode(), mtime=0)),
        ("x.json", json.dumps(ROWS).encode()),
        ("inside.json", json.dumps({"version": 1, "data": ROWS}).encode()),
        ("several.json", json.dumps({"authors": [{"name": "a"}], "examples": ROWS}).encode()),
        ("columns.json", json.dumps({name: [row[name] for row in ROWS] for name in ROWS[0]}).encode()),
        ("lines.json", b"\n".join(json.dumps(row).encode() for row in ROWS)),
        ("x.jsonl", b"\n\n".join(json.dumps(row).encode() for row in ROWS)),
        ("x.ndjson", b"\xef\xbb\xbf" + b"\n".join(json.dumps(row).encode() for row in ROWS)),
        ("without_a_name", json.dumps(ROWS).encode()),
    ],
)  # fmt: skip
def test_the_same_rows_come_out_of_every_format(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert values(path) == ROWS


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.Table.from_pylist(ROWS * 400), tmp_path / "x.parquet")
    assert values(tmp_path / "x.parquet") == ROWS * 400


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.csv", b'question,answer\na,1\n"b,2\nc,3\n', "x.csv:3: a quote is opened in this row and never closed"),
        ("x.csv", b'question,answer\n"a" b,1\n', "x.csv:2: after a closing quote there is more"),
        ("x.csv", b"question,answer\na,1\nb,2,3\n", "x.csv:3: it has 3 fields, the header has 2"),
        ("x.csv", b"question,answer,answer\na,1,2\n", "x.csv:1: two columns are called `answer`"),
        ("x.csv", "question,answer\na,1\nwie gro\u00df,2\n".encode("latin-1"), "not UTF-8 text"),
        ("x.csv", "question,answer\na,1\n".encode("utf-16"), "it is UTF-16"),
        ("x.csv", b"", "x.csv: it is empty"),
        ("x.csv", b"\xef\xbb\xbf \n", "x.csv: it is empty"),
        ("x.csv", b"question,answer\n", "there is no row in it"),
        ("x.csv", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "`git lfs pull` brings the data"),
        ("x.xlsx", b"PK\x03\x04....", "a spreadsheet? export it as CSV"),
        ("x.txt", b"hello", "its name does not say what it is"),
        ("x.parquet", b"question,answer\na,1\n", "it is no Parquet file"),
        ("x.parquet", b"version https://git-lfs.github.com/spec/v1\n", "`git lfs pull` brings the data"),
        ("x.json", b'[{"question": "a", "answer": 1}', "x.json: not valid JSON"),
        ("x.json", b'{"a": 1}', "it holds no list of questions"),
        ("x.json", b'{"a": [{}], "b": [{}]}', "it holds several lists: `a`, `b`"),
        ("x.json", b"[1, 2]", "x.json, item 1: a row must be an object"),
        ("x.jsonl", b'{"question": "a", "answer": 1}\n{"question": \n', "x.jsonl:2: not valid JSON"),
        ("x.csv.gz", gzip.compress(CSV.encode() * 100, mtime=0)[:-30], "x.csv.gz"),
    ],
)
def test_what_is_broken_is_named_with_its_place(
    name: str, content: bytes, said: str, refused: Callable[..., str]
) -> None:
    assert said in refused(content, name, match="exact")


def test_a_broken_parquet_file(refused: Callable[..., str]) -> None:
    pytest.importorskip("pyarrow")
    assert "it is no Parquet file that can be read" in refused(b"PAR1 and then nothing", "x.parquet")


def test_pyarrow_that_is_missing_is_said_with_what_to_install(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'gym-qa[parquet]'" in refused(b"PAR1 ...", "x.parquet")


@pytest.mark.parametrize("name", ["missing.csv", "."])
def test_a_file_that_is_not_there(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no such file|it is a folder"):
        open_table(str(tmp_path / name))


def test_what_names_a_data_set_of_the_hub() -> None:
    assert HubData.parse("hf://openai/gsm8k/main?split=test") == HubData("openai/gsm8k", "main", "test")
    assert HubData.parse("hf://datasets/a/b") == HubData("a/b")
    with pytest.raises(UsageError, match="its form is hf://OWNER/NAME"):
        HubData.parse("hf://gsm8k")


def test_a_data_set_of_the_hub_is_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    class Library:
        @staticmethod
        def load_dataset(*arguments: Any, **settings: Any) -> list[dict[str, Any]]:
            asked.append((arguments, settings))
            return ROWS

    monkeypatch.setitem(sys.modules, "datasets", Library())
    found = list(open_table("hf://openai/gsm8k/main?split=train").rows)
    assert [row.values for row in found if isinstance(row, Row)] == ROWS
    assert asked == [(("openai/gsm8k", "main"), {"split": "train", "revision": None, "streaming": True})]


def test_what_the_hub_refuses_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        @staticmethod
        def load_dataset(*arguments: Any, **settings: Any) -> list[dict[str, Any]]:
            raise ConnectionError("nobody\nanswers")

    monkeypatch.setitem(sys.modules, "datasets", Library())
    with pytest.raises(InputError, match=r"^hf://a/b: it cannot be read: ConnectionError: nobody answers \("):
        list(open_table("hf://a/b").rows)


def test_datasets_that_is_missing_is_said_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UsageError, match=r"gym-qa\[hf\]"):
        list(open_table("hf://a/b").rows)


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl"])
def test_a_file_of_any_size_is_read_row_by_row(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    line = "What?,yes\n" if name == "x.csv" else '{"question": "What?", "answer": "yes"}\n'
    path.write_text("question,answer\n" * (name == "x.csv") + line * 40_000)
    rows = open_table(str(path)).rows
    tracemalloc.start()
    count = sum(1 for _ in rows)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 40_000
    assert most < 2 * 2**20
