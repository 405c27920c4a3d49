"""The index says what the files say, however they came about."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gym_core import UsageError
from gym_results.conditions import Condition
from gym_viewer.index.row import COLUMNS, columns_of
from gym_viewer.index.search import Searched, Searches
from gym_viewer.index.store import FAILURES, RunIndex
from tests.viewer.stored import line, model_call, row, sibling

ALL = f"SELECT {', '.join(COLUMNS)} FROM rollout ORDER BY id"


def whole(index: RunIndex) -> list[tuple[Any, ...]]:
    while not index.advance(10).whole:
        pass
    return index.read(ALL)


def fresh(rows: Path, folder: Path) -> list[tuple[Any, ...]]:
    index = RunIndex(rows, folder / "fresh" / os.urandom(4).hex())
    try:
        return whole(index)
    finally:
        index.close()


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return tmp_path / "x.jsonl"


keys = st.tuples(st.sampled_from(["a", "b", "c", "ü", "d\u2028"]), st.integers(0, 2))


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, bytes, int]]:
    """What a run writes, in order: to which file, the line, and how much of it at first (the rest comes next)."""
    written = []
    done: set[tuple[str, int]] = set()
    for task, repeat in draw(st.lists(keys, max_size=12)):
        if (task, repeat) in done:
            continue
        failed = draw(st.booleans())
        if not failed:
            done.add((task, repeat))
        content = line(row(task, repeat, None if failed else draw(st.sampled_from([0.0, 0.5, 1.0]))))
        written.append((int(failed), content, draw(st.integers(0, len(content)))))
    return written


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories(), looks=st.integers(1, 4))
def test_an_index_that_went_on_is_the_one_that_is_made_anew(
    tmp_path: Path, history: Sequence[tuple[int, bytes, int]], looks: int
) -> None:
    folder = tmp_path / os.urandom(4).hex()
    folder.mkdir()
    rows = folder / "x.jsonl"
    rows.touch()
    index = RunIndex(rows, folder / "index")
    paths = (rows, sibling(rows, ".failures.jsonl"))
    for number, (part, content, first) in enumerate(history):
        with paths[part].open("ab") as file:
            file.write(content[:first])
            file.flush()
            if number % looks == 0:
                index.advance(10)
            file.write(content[first:])
        if number % looks == 0:
            index.advance(10)
    assert whole(index) == fresh(rows, folder)
    index.close()
    again = RunIndex(rows, folder / "index")
    assert again.read(ALL) == fresh(rows, folder)
    again.close()


@given(
    task=st.text(min_size=1),
    reward=st.floats(allow_nan=False, allow_infinity=False) | st.none(),
    calls=st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_a_row_is_read_as_the_core_reads_it(task: str, reward: float | None, calls: int) -> None:
    from gym_core import Rollout, parse_json

    made = row(task, reward=reward, model_calls=[model_call([[0, 1]], [[1, 2]]) for _ in range(calls)])
    content = line(made)
    found = dict(zip(COLUMNS, columns_of(content, 7, 11), strict=True))
    rollout = Rollout(parse_json(content))
    assert (found["id"], found["offset"], found["length"]) == (7, 11, len(content))
    assert (found["task"], found["repeat"]) == rollout.key
    assert found["reward"] == rollout.reward
    assert found["status"] == rollout.status.value
    assert found["input_tokens"] == rollout.usage.input_tokens
    assert found["model_calls"] == len(rollout.model_calls)


ABOUT = b'{"run_id":"r","repeat":0,"status":"completed"}'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"not json", "not valid JSON"),
        (b"[]", "not a row"),
        (b"{}", "not a row"),
        (b'{"task_id":"a","rollout":{"run_id":"r","repeat":0}}', "status"),
        (b'{"task_id":"a","reward":"1","rollout":{"run_id":"r","repeat":0,"status":"completed"}}', "reward"),
        (b'{"task_id":"a","rollout":{"run_id":"r","repeat":-1,"status":"completed"}}', "repeat"),
        (b'{"task_id":"a","rollout":{"run_id":"r","repeat":1e300,"status":"completed"}}', "repeat"),
        *(
            (b'{"task_id":"a","reward":1,"reward_components":%s,"rollout":%s}' % (odd, ABOUT), "reward_components")
            for odd in (b"[1]", b"null", b'{"a":"x"}')
        ),
        (b"[" * 100_000, "deep|JSON"),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "not a row|deep"),
        (b"\xff\xfe\x00", "JSON"),
    ],
)
def test_what_is_no_row_is_said_to_be_none(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        columns_of(content, 1, 0)


def test_json_as_the_world_writes_it_is_read() -> None:
    made = line(row("a")).replace(b'"level":1', b'"level":NaN,"big":' + b"9" * 40)
    found = dict(zip(COLUMNS, columns_of(made, 1, 0), strict=True))
    assert (found["task"], found["reward"]) == ("a", 1.0)


def test_nested_names_lead_nobody_astray() -> None:
    made = row("a", fields={"meta": {"x": 1, "response": 2, "deep": {"response": 3}}, "level": 4})
    found = dict(zip(COLUMNS, columns_of(line(made), 1, 0), strict=True))
    assert found["fields"] == '{"meta.x":1,"meta.response":2,"level":4}'


def test_only_what_was_appended_is_read_again(rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows.write_bytes(b"".join(line(row(str(n))) for n in range(50)))
    index = RunIndex(rows, tmp_path / "index")
    whole(index)
    read: list[int] = []

    def noted(content: bytes, number: int, offset: int) -> tuple[Any, ...]:
        read.append(number)
        return columns_of(content, number, offset)

    monkeypatch.setattr("gym_viewer.index.store.columns_of", noted)
    with rows.open("ab") as file:
        file.write(line(row("new")))
    whole(index)
    index.close()
    index = RunIndex(rows, tmp_path / "index")
    whole(index)
    assert read == [51]
    index.close()


def changed_in_place(rows: Path) -> None:
    content = rows.read_bytes().replace(b'"reward":1.0', b'"reward":0.5')
    rows.write_bytes(content)
    os.utime(rows, ns=(1, 1))


def cut(rows: Path) -> None:
    content = rows.read_bytes()
    rows.write_bytes(content[: content.index(b"\n") + 1])


def replaced(rows: Path) -> None:
    other = rows.with_name("other.jsonl")
    other.write_bytes(b"".join(line(row(f"other {n}", reward=0.25)) for n in range(9)))
    os.replace(other, rows)


def emptied(rows: Path) -> None:
    rows.write_bytes(b"")


@pytest.mark.parametrize("change", [changed_in_place, cut, replaced, emptied])
@pytest.mark.parametrize("is_open", [True, False])
def test_an_index_that_does_not_fit_its_file_is_thrown_away(
    rows: Path, tmp_path: Path, change: Any, is_open: bool
) -> None:
    rows.write_bytes(b"".join(line(row(str(n))) for n in range(5)))
    index = RunIndex(rows, tmp_path / "index")
    before = whole(index)
    if not is_open:
        index.close()
    change(rows)
    if not is_open:
        index = RunIndex(rows, tmp_path / "index")
    assert whole(index) == fresh(rows, tmp_path) != before
    assert index.replaced == 1
    index.close()


def test_failures_that_go_away_are_forgotten(rows: Path, tmp_path: Path) -> None:
    rows.write_bytes(line(row("a")))
    failures = sibling(rows, ".failures.jsonl")
    failures.write_bytes(line(row("b", reward=None)))
    index = RunIndex(rows, tmp_path / "index")
    assert len(whole(index)) == 2
    failures.unlink()
    assert whole(index) == fresh(rows, tmp_path)
    index.close()


def test_of_several_failures_the_last_stands_unless_a_row_came(rows: Path, tmp_path: Path) -> None:
    sibling(rows, ".failures.jsonl").write_bytes(
        b"".join(line(row(task, reward=None, attempt=n)) for n, task in enumerate("abab", 1))
    )
    rows.write_bytes(line(row("b")))
    index = RunIndex(rows, tmp_path / "index")
    whole(index)
    standing = index.read("SELECT id, task, attempt FROM rollout WHERE standing ORDER BY id")
    assert standing == [(1, "b", 1), (FAILURES + 3, "a", 3)]
    index.close()


def test_a_torn_line_is_left_out_until_it_is_whole(rows: Path, tmp_path: Path) -> None:
    content = line(row("b"))
    rows.write_bytes(line(row("a")) + content[:100])
    index = RunIndex(rows, tmp_path / "index")
    assert [found[3] for found in whole(index)] == ["a"]
    assert index.covered.torn
    assert not index.problems()
    with rows.open("ab") as file:
        file.write(content[100:])
    assert [found[3] for found in whole(index)] == ["a", "b"]
    assert not index.covered.torn
    index.close()


def test_two_that_index_one_run_at_once_read_each_row_once(rows: Path, tmp_path: Path) -> None:
    rows.write_bytes(b"".join(line(row(str(n))) for n in range(20)))
    one, other = (RunIndex(rows, tmp_path / "index") for _ in range(2))
    for n in range(20, 40):
        with rows.open("ab") as file:
            file.write(line(row(str(n))))
        (one, other)[n % 2].advance(10)
    assert whole(one) == whole(other) == fresh(rows, tmp_path)
    one.close()
    other.close()


@pytest.mark.parametrize("content", [b"no database" * 1000, b""])
def test_a_damaged_index_is_made_again(rows: Path, tmp_path: Path, content: bytes) -> None:
    rows.write_bytes(line(row("a")))
    index = RunIndex(rows, tmp_path / "index")
    whole(index)
    index.close()
    (path,) = (tmp_path / "index").glob("*.sqlite")
    path.write_bytes(content)
    index = RunIndex(rows, tmp_path / "index")
    assert len(whole(index)) == 1
    index.close()


def test_where_no_index_can_be_kept_it_lasts_as_long_as_the_process(rows: Path, tmp_path: Path) -> None:
    rows.write_bytes(line(row("a")))
    (tmp_path / "file").touch()
    index = RunIndex(rows, tmp_path / "file")
    assert len(whole(index)) == 1
    index.close()


def test_odd_lines_are_named_and_the_others_read(rows: Path, tmp_path: Path) -> None:
    rows.write_bytes(line(row("a")) + b"\n" + b"what is this\n" + line(row("b")))
    index = RunIndex(rows, tmp_path / "index")
    assert [(found[0], found[3]) for found in whole(index)] == [(1, "a"), (4, "b")]
    (said,) = index.problems()
    assert said.startswith("x.jsonl:3: not valid JSON")
    index.close()


def test_a_file_that_is_no_run_is_not_read_to_its_end(rows: Path, tmp_path: Path) -> None:
    rows.write_bytes(b'{"a": 1}\n' * 100_000)
    index = RunIndex(rows, tmp_path / "index")
    with pytest.raises(UsageError, match="not a row that gym wrote"):
        whole(index)
    index.close()


class Slow(Condition):
    """A condition that holds, once it may; it notes what it is asked about."""

    asked: ClassVar[list[Any]] = []
    begun, may = threading.Event(), threading.Event()

    def holds(self, row: Mapping[str, Any]) -> bool:
        self.asked.append(row["task_id"])
        self.begun.set()
        return self.may.wait(30)


def test_two_that_search_for_the_same_look_at_each_row_once(rows: Path, tmp_path: Path) -> None:
    rows.write_bytes(b"".join(line(row(name, 0)) for name in "abc"))
    index = RunIndex(rows, tmp_path / "indexes")
    whole(index)
    searches, condition = Searches(index), Slow("x", "=", "1", 1)

    def search() -> Searched:
        return searches.advance(b"key", "", [condition], "standing", [])

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(search)
        assert condition.begun.wait(30)
        second = pool.submit(search)
        condition.may.set()
        assert first.result() is second.result()
    assert first.result().searched == first.result().of == len(condition.asked)
    index.close()


class Noting(Condition):
    """A condition that holds, and notes what it is asked about."""

    asked: ClassVar[list[Any]] = []

    def holds(self, row: Mapping[str, Any]) -> bool:
        self.asked.append((row["task_id"], row["rollout"]["repeat"]))
        return True


def test_a_search_over_a_run_that_grows_looks_at_what_is_new(rows: Path, tmp_path: Path) -> None:
    failures = sibling(rows, ".failures.jsonl")
    rows.write_bytes(line(row("a", 0)))
    failures.write_bytes(line(row("b", 0, None)))
    index = RunIndex(rows, tmp_path / "indexes")
    searches, condition = Searches(index), Noting("x", "=", "1", 1)
    for number in range(1, 4):
        whole(index)
        searched = searches.advance(b"key", "", [condition], "standing", [])
        assert searched.searched == searched.of == len(condition.asked) == len(set(condition.asked)) == 2 * number
        with rows.open("ab") as results, failures.open("ab") as failed:
            results.write(line(row("a", number)))
            failed.write(line(row("b", number, None)))
    index.close()
