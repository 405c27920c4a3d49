"""`gym query`."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import duckdb
import pytest

from tests.support.exports import Gym, result, stored


@pytest.fixture
def run(tmp_path: Path) -> str:
    call = {"type": "function_call", "call_id": "c", "name": "add", "arguments": '{"by": 2}'}
    answered = {"type": "function_call_output", "call_id": "c", "output": "2"}
    one = result(1, level=1)
    one["response"]["output"] = [call, answered, *one["response"]["output"]]
    one["rollout"]["model_calls"] = [
        {"actor": "policy", "role": "policy", "continues": None, "kept": 0, "shown": [[0, 1]], "gave": [[1, 2]]},
        {"actor": "policy", "role": "policy", "continues": 0, "kept": 2, "shown": [[2, 3]], "gave": [[3, 4]]},
    ]
    one["rollout"]["tool_calls"] = [{"actor": "policy", "call": 1, "output": 2}]
    return str(stored(tmp_path, one, result(2, 0.0, level=2), result(3, None, "timed_out", level=3)))


def test_rows_are_a_table(gym: Gym, run: str) -> None:
    sql = "select task_id, reward, status, field_level + 1 as more from rollouts order by task_id"
    done = gym("query", run, sql, "--json")
    assert done.status == 0, done.err
    assert [json.loads(line) for line in done.out.splitlines()] == [
        {"task_id": "t1", "reward": 1.0, "status": "completed", "more": 2},
        {"task_id": "t2", "reward": 0.0, "status": "completed", "more": 3},
        {"task_id": "t3", "reward": None, "status": "timed_out", "more": 4},
    ]
    drawn = gym("query", run, sql)
    assert "task_id" in drawn.out
    assert "timed_out" in drawn.out
    table = gym("query", run, sql, "--csv")
    assert [*csv.DictReader(io.StringIO(table.out))][2] == {
        "task_id": "t3", "reward": "", "status": "timed_out", "more": "4"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select count(*) as n, avg(reward) as mean from rollouts", {"n": 3, "mean": 0.5}),
        ("select task_id, error_class as error from failures", {"task_id": "t3", "error": "RateLimitError"}),
        ("select count(*) as n, max(number) as last from MODEL_CALLS", {"n": 2, "last": 1}),
        (
            "select name, arguments, output, arguments->>'by' as by from tool_calls",
            {"name": "add", "arguments": {"by": 2}, "output": "2", "by": "2"},
        ),
        ("create table x as select 1 as a; select a from x", {"a": 1}),
        (
            "select sum(reward)::decimal(4,1) as d, date '2026-01-02' as day from rollouts",
            {"d": "1.0", "day": "2026-01-02"},
        ),
        ("select info, '=1' as t from rollouts where task_id = 't1'", {"info": {"why": ["x"]}, "t": "=1"}),
    ],
)
def test_what_can_be_asked(sql: str, expected: dict[str, object], gym: Gym, run: str) -> None:
    done = gym("query", run, sql, "--json")
    assert done.status == 0, done.err
    assert json.loads(done.out) == expected


def test_csv_has_no_formulas_and_every_column(gym: Gym, run: str) -> None:
    sql = "select '=1+1' as \"=a\", '-2' as n, 1 as x, 2 as x, [date '2026-01-02'] as days, true as yes, null as no"
    done = gym("query", run, sql, "--csv")
    assert done.status == 0, done.err
    head, row = csv.reader(io.StringIO(done.out))
    assert head == ["'=a", "n", "x", "x", "days", "yes", "no"]
    assert row == ["'=1+1", "-2", "1", "2", '["2026-01-02"]', "true", ""]


def test_calls_are_called_so_in_every_table(gym: Gym, run: str) -> None:
    done = gym("query", run, "select model_calls, tool_calls from rollouts where task_id = 't1'", "--json")
    assert json.loads(done.out) == {"model_calls": 2, "tool_calls": 1}


def test_rows_of_any_length_are_read(gym: Gym, tmp_path: Path) -> None:
    run = str(stored(tmp_path, result(1, text="x" * 20_000_000), result(2)))
    done = gym("query", run, "select sum(length(field_text)) as n from rollouts", "--json")
    assert json.loads(done.out) == {"n": 20_000_000}, done.err


def test_short_rows_need_little_memory(gym: Gym, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room is made for the rows that there are, whatever is ever touched of it."""
    connect = duckdb.connect
    monkeypatch.setattr(duckdb, "connect", lambda: connect(config={"memory_limit": "100MB", "threads": 1}))
    done = gym("query", run, "select count(*) as n from rollouts", "--json")
    assert json.loads(done.out) == {"n": 3}, done.err


def test_tables_for_which_there_is_no_room_are_one_error(gym: Gym, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gym_tables.database.encode_json", lambda *_, **__: b"{broken")
    done = gym("query", run, "select 1")
    assert done.status == 2
    assert "the runs cannot be made tables of: " in done.err
    assert "TMPDIR" in done.err
    assert len(done.err.splitlines()) == 2


def test_several_runs_are_told_apart(gym: Gym, run: str, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    other = str(stored(tmp_path / "b", result(1, 0.25)))
    done = gym("query", run, other, "select run, reward from rollouts where task_id = 't1' order by reward", "--json")
    assert [json.loads(line) for line in done.out.splitlines()] == [
        {"run": other, "reward": 0.25},
        {"run": run, "reward": 1.0},
    ]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("selct", 'Parser Error: syntax error at or near "selct"'),
        ("select nope from rollouts", 'Referenced column "nope" not found'),
        ("select * from nope", "Table with name nope does not exist"),
        ("select error('a' || chr(10) || 'b')", "a"),
        ("", "there is no SQL"),
    ],
)
def test_bad_sql_is_one_line(sql: str, message: str, gym: Gym, run: str) -> None:
    done = gym("query", run, sql)
    assert done.status == 2
    assert message in done.err
    assert len(done.err.splitlines()) == 2, "the error and the hint"
    assert done.out == ""


@pytest.mark.parametrize(
    "sql",
    [
        "copy rollouts to '{}/out.csv'",
        "export database '{}/out'",
        "attach '{}/out.db' as d",
        "select * from read_text('{}/x.jsonl')",
        "select * from '{}/x.jsonl'",
        "set enable_external_access = true",
        "install httpfs",
        "select * from run",
        "pragma database_list; copy (select 1) to '{}/out.json'",
    ],
)
def test_sql_reaches_no_file(sql: str, gym: Gym, run: str, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    done = gym("query", run, sql.format(tmp_path))
    assert done.status == 2, done.out
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["select 1"], "the runs or the SQL are missing"),
        (["{run}", "{run}"], "the last argument is a run"),
        (["{run}", "{run}", "select 1"], "a run is given twice"),
        (["none.jsonl", "select 1"], "none.jsonl cannot be read"),
        (["{run}", "select 1", "--json", "--csv"], "--json and --csv exclude one another"),
    ],
)
def test_arguments_that_are_wrong(arguments: list[str], message: str, gym: Gym, run: str) -> None:
    done = gym("query", *(argument.format(run=run) for argument in arguments))
    assert done.status == 2
    assert message in done.err


def test_of_many_rows_the_first_are_drawn(gym: Gym, run: str) -> None:
    done = gym("query", run, "select range as n from range(1200)")
    assert len(done.out.splitlines()) < 520
    assert done.err == "700 more rows; --json and --csv print all of them\n"
    assert len(gym("query", run, "select range as n from range(1200)", "--json").out.splitlines()) == 1200


def test_what_is_said_speaks_to_no_terminal(gym: Gym, run: str) -> None:
    sql = "select chr(27) || '[2J[red]x' as evil"
    for options in ((), ("--json",), ("--csv",)):
        done = gym("query", run, sql, *options)
        assert "\x1b[2J" not in done.out
        assert "[red]x" in done.out
