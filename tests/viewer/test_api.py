"""What the page is answered about runs and rollouts."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NotRequired, get_origin, get_type_hints

import httpx
import pytest

from gym_results.comparison import Statistics, difference
from gym_viewer.api import shapes
from gym_viewer.index.store import _ORDERS_KEPT
from tests.viewer.conftest import Opening, Viewer
from tests.viewer.stored import line, message, model_call, row, sibling, tool_call, tool_output, write_run


@contextmanager
def locked(rows: Path) -> Iterator[None]:
    """As the results of a run are while it goes on."""
    import fcntl

    with rows.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    write_run(
        folder / "first.jsonl",
        [
            row("a", 0, 1.0, components={"right": 1.0, "short": 0.5}, fields={"level": 1}),
            row("a", 1, 0.0, components={"right": 0.0, "short": 1.0}, fields={"level": 1}),
            row(
                "b", 0, 0.5, fields={"level": 2, "meta": {"kind": "hard"}}, stop_reason="max_turns", status="truncated"
            ),
        ],
        [row("b", 1, None), row("b", 1, None, attempt=2)],
    )
    write_run(folder / "deep" / "second.jsonl", [row("a", 0, 1.0), row("b", 0, 1.0), row("c", 0, 0.25)])
    return folder


@pytest.fixture
def viewer(viewing: Opening, runs: Path) -> Viewer:
    return viewing(runs)


def names(answer: Any) -> list[str]:
    return [entry["n"] for entry in answer["rollouts"]]


def fits(value: Any, shape: Any) -> None:
    """Whether an answer has the fields of its type, all of them and no others."""
    hints = get_type_hints(shape)
    marked = get_type_hints(shape, include_extras=True)
    optional = {name for name, hint in marked.items() if get_origin(hint) is NotRequired}
    assert hints.keys() - optional <= value.keys() <= hints.keys()
    for name, hint in hints.items():
        for inner, kind in inner_shapes(value.get(name), hint):
            fits(inner, kind)


def inner_shapes(value: Any, hint: Any) -> Iterator[tuple[Any, Any]]:
    for kind in (hint, *getattr(hint, "__args__", ())):
        if isinstance(kind, type) and hasattr(kind, "__optional_keys__"):
            if isinstance(value, list):
                yield from ((one, kind) for one in value)
            elif value is not None:
                yield value, kind
        elif kind is not hint:
            yield from inner_shapes(value, kind)


def test_the_runs_of_a_folder_are_listed(viewer: Viewer, runs: Path) -> None:
    answer = viewer.get("/api/runs")
    fits(answer, shapes.Runs)
    assert (answer["folder"], answer["selected"]) == (str(runs), None)
    assert {run["name"] for run in answer["runs"]} == {"first", "deep/second"}
    assert {run["state"] for run in answer["runs"]} == {"cut"}
    assert {(run["model"], run["env"], run["agent"]) for run in answer["runs"]} == {("openai:m", "e", "a")}


def test_a_run_that_was_asked_for_is_the_only_one(viewing: Opening, runs: Path) -> None:
    answer = viewing(runs / "first.jsonl").get("/api/runs")
    assert [run["id"] for run in answer["runs"]] == [answer["selected"]]


def test_a_run_is_what_the_core_says_it_comes_to(viewer: Viewer, runs: Path) -> None:
    view = viewer.get(viewer.run("first"))
    fits(view, shapes.RunView)
    said = Statistics(runs / "first.jsonl").result
    assert view["account"]["reward"] == json.loads(json.dumps(said["reward"]))
    assert view["account"]["usage"] == said["usage"]
    assert view["entry"]["reward"]["mean"] == said["reward"]["mean"] == view["progress"]["reward"]
    assert view["entry"]["reward"]["interval_95"] == said["reward"]["interval_95"]
    assert (view["entry"]["rollouts"], view["entry"]["failed"], view["entry"]["planned"]) == (3, 1, 4)
    assert view["statuses"] == {"completed": 2, "truncated": 1, "model_error": 1}
    assert view["stop_reasons"] == {"completed": 2, "max_turns": 1}
    assert (view["tasks"], view["repeats"], view["actors"]) == (2, 2, {"policy": 4})
    assert view["components"] == ["right", "short"]
    reward, right, short = view["histograms"]
    assert (reward["name"], reward["values"]) == ("reward", [[0.0, 1], [0.5, 1], [1.0, 1]])
    assert (right["count"], right["mean"]) == (3, said["reward"]["components"]["right"]["mean"])
    assert short["values"] == [[0.5, 1], [1.0, 1]]
    (cause,) = view["causes"]
    assert (cause["error_class"], cause["phase"], cause["count"]) == ("ServerError", "model", 1)
    assert cause["remedy"]
    assert {field["name"]: field["values"] for field in view["fields"]} == {"level": 2, "meta.kind": 1, "kind": 1}
    assert sum(moment["rollouts"] for moment in view["time"]["moments"]) == 3
    assert {file["name"] for file in view["files"]} == {"first.jsonl", "first.failures.jsonl", "first.run.json"}


def test_many_values_become_bins(viewing: Opening, tmp_path: Path) -> None:
    write_run(tmp_path / "r" / "x.jsonl", [row(str(n), reward=n / 100) for n in range(101)])
    viewer = viewing(tmp_path / "r")
    reward = viewer.get(viewer.run("x"))["histograms"][0]
    assert (reward["low"], reward["high"], sum(reward["bins"]), reward["values"]) == (0.0, 1.0, 101, [])


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["1", "2", "3", "f2"]),
        ({"sort": "-reward"}, ["1", "3", "2", "f2"]),
        ({"sort": "reward"}, ["2", "3", "1", "f2"]),
        ({"sort": "-component:short"}, ["2", "1", "3", "f2"]),
        ({"sort": "field:level"}, ["1", "2", "f2", "3"]),
        ({"sort": "-field:level"}, ["3", "1", "2", "f2"]),
        ({"sort": "field:it's not there"}, ["1", "2", "3", "f2"]),
        ({"status": "failed"}, ["f2"]),
        ({"status": ["truncated", "failed"]}, ["3", "f2"]),
        ({"min_reward": "0.5"}, ["1", "3"]),
        ({"min_reward": "0.1", "max_reward": "0.9"}, ["3"]),
        ({"task": "A"}, ["1", "2"]),
        ({"repeat": "1"}, ["2", "f2"]),
        ({"stop_reason": "max_turns"}, ["3"]),
        ({"cause": '["model_error","ServerError","model"]'}, ["f2"]),
        ({"actor": "policy", "status": "completed"}, ["1", "2"]),
        ({"actor": "judge"}, []),
        ({"text": "IT IS B"}, ["3", "f2"]),
        ({"text": "it is b", "status": "failed"}, ["f2"]),
        ({"where": "level=2"}, ["3"]),
        ({"where": ["rollout.repeat>=1", "reward=null"]}, ["f2"]),
        ({"where": "meta.kind~HAR"}, ["3"]),
        ({"limit": "1", "offset": "2"}, ["3"]),
    ],
)
def test_rollouts_are_selected_and_sorted(viewer: Viewer, query: dict[str, Any], found: list[str]) -> None:
    answer = viewer.get(f"{viewer.run('first')}/rollouts", **query)
    fits(answer, shapes.Rollouts)
    assert names(answer) == found
    assert answer["total"] == 4
    if "limit" not in query:
        assert answer["matched"] == len(found)


@pytest.mark.parametrize(
    "query",
    [{"sort": "what"}, {"min_reward": "nan"}, {"min_reward": "x"}, {"limit": "-1"}, {"offset": "9" * 30},
     {"where": "x"}, {"where": "x~("}, {"cause": "x"}, {"sort": 'component:a"b'}, {"sort": 'field:a"b'}],
)  # fmt: skip
def test_a_query_that_means_nothing_is_refused(viewer: Viewer, query: dict[str, Any]) -> None:
    status, error = viewer.refused(f"{viewer.run('first')}/rollouts", **query)
    assert status == 422
    assert error


def test_any_field_is_a_column(viewing: Opening, tmp_path: Path) -> None:
    info = {"read": "12", "checks": {"unit": True}, "long": "x" * 300, "list": [1, {"a": 2}]}
    first = row("a", fields={"meta": {"kind": "hard"}, "a.b": 7}, components={"right": 0.5}, info=info, seed=3)
    rows = write_run(tmp_path / "x.jsonl", [first, row("b", info=None)], [row("c", reward=None)])
    viewer = viewing(rows)
    columns = ["meta.kind", "a.b", "rollout.info.read", "rollout.info.checks.unit", "rollout.info.long", "not.there",
               "rollout.info.list", "rollout.info.list.1.a", "reward_components.right", "rollout.seed"]  # fmt: skip
    answer = viewer.get(f"{viewer.run('x')}/rollouts", column=columns)
    fits(answer, shapes.Rollouts)
    shown, other, failed = (entry["values"] for entry in answer["rollouts"])
    assert [shown[name] for name in columns] == [
        "hard", 7, "12", True, "x" * 99 + "…", None, '[1,{"a":2}]', 2, 0.5, 3,
    ]  # fmt: skip
    assert (other["rollout.info.read"], other["reward_components.right"], failed["rollout.seed"]) == (None, 1.0, 1)
    assert "rollout.info.checks.unit" in {field["name"] for field in viewer.get(viewer.run("x"))["fields"]}
    status, error = viewer.refused(f"{viewer.run('x')}/rollouts", column=[f"c{number}" for number in range(30)])
    assert (status, "30 columns" in str(error)) == (422, True)


def test_an_order_is_made_once_and_kept_up_to_date(
    viewing: Opening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gym_viewer.index.store._MANY", 3)
    monkeypatch.setattr("gym_viewer.index.store._ORDERS_KEPT", 2)
    made = [row(f"t{nr}", reward=nr / 10, fields={"it's": nr}, cost=10.0 - nr) for nr in (3, 1, 2)]
    rows = write_run(tmp_path / "x.jsonl", made, [row("c", reward=None)])
    viewer = viewing(rows)
    path = f"{viewer.run('x')}/rollouts"
    for _ in range(2):
        assert names(viewer.get(path, sort="field:it's"))[:3] == ["2", "3", "1"]
        assert names(viewer.get(path, sort="-reward")) == ["1", "3", "2", "f1"]
        assert names(viewer.get(path, sort="cost")) == ["f1", "1", "3", "2"]
    index = viewer.library.run(viewer.run("x").rpartition("/")[2]).index
    plan = index.read("EXPLAIN QUERY PLAN SELECT id FROM rollout WHERE standing = 1 ORDER BY cost ASC NULLS LAST, id")
    assert "order_" in plan[0][3]
    plan = index.read("EXPLAIN QUERY PLAN SELECT cost, COUNT(*) FROM rollout WHERE standing GROUP BY cost")
    assert "order_" not in plan[0][3]
    assert len(index.read("SELECT 1 FROM sqlite_master WHERE name GLOB 'order_*'")) == 2
    with rows.open("ab") as file:
        file.write(line(row("t0", reward=0.15, fields={"it's": 0}, cost=9.5)))
    assert names(viewer.get(path, sort="field:it's"))[:4] == ["4", "2", "3", "1"]
    assert names(viewer.get(path, sort="cost")) == ["f1", "1", "3", "2", "4"]


@pytest.mark.parametrize("asked", [9, 20])
def test_only_the_orders_made_first_are_forgotten_and_only_where_there_are_too_many(
    viewing: Opening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: int
) -> None:
    monkeypatch.setattr("gym_viewer.index.store._MANY", 1)
    fields = {f"f{nr}": nr for nr in range(asked)}
    viewer = viewing(write_run(tmp_path / "x.jsonl", [row("a", fields=fields), row("b", fields=fields)]))
    path = f"{viewer.run('x')}/rollouts"
    index = viewer.library.run(viewer.run("x").rpartition("/")[2]).index

    def kept(number: int) -> bool:
        made = index.read("SELECT sql FROM sqlite_master WHERE name GLOB 'order_*'")
        return any(f'"f{number}"' in sql for (sql,) in made)

    def order(number: int) -> None:
        viewer.get(path, sort=f"field:f{number}")
        assert kept(number)

    for number in range(asked):
        order(number)
    forgotten = max(0, asked - _ORDERS_KEPT)
    assert [number for number in range(asked) if not kept(number)] == [*range(forgotten)]
    order(0)  # one that was forgotten is made again, and takes the place of the next
    assert [number for number in range(asked) if not kept(number)] == [*range(1, forgotten + 1)][:forgotten]


def test_rewards_by_task_are_made_anew_when_rows_come(viewing: Opening, tmp_path: Path) -> None:
    rows = write_run(tmp_path / "x.jsonl", [row("a", reward=0.5)])
    viewer = viewing(rows)
    path = f"{viewer.run('x')}/tasks"
    assert [task["reward"] for task in viewer.get(path)["tasks"]] == [0.5]
    with rows.open("ab") as file:
        file.write(line(row("a", 1, 1.0)))
    assert [task["reward"] for task in viewer.get(path)["tasks"]] == [0.75]


@pytest.mark.parametrize(
    "query",
    [{}, {"sort": "reward"}, {"sort": "-reward"}, {"sort": "component:short"}, {"sort": "-field:level"},
     {"task": "a"}, {"status": ["completed", "failed"], "sort": "-task"}, {"where": "level=1"},
     {"text": "what is", "sort": "-seconds"}],
)  # fmt: skip
def test_the_neighbours_of_a_rollout_are_those_in_the_list_one_came_from(viewer: Viewer, query: dict[str, Any]) -> None:
    path = f"{viewer.run('first')}/rollouts"
    listed = names(viewer.get(path, **query))
    for before, n, after in zip([None, *listed], listed, [*listed[1:], None], strict=False):
        found = viewer.get(f"{path}/{n}/neighbours", **query)
        fits(found, shapes.Neighbours)
        assert (found["previous"], found["next"]) == (before, after)


@pytest.mark.parametrize(
    ("written", "meant", "found"),
    [
        ("right<1", "reward_components.right<1", ["2", "3"]),
        ("short=1", "reward_components.short=1", ["2"]),
        ("given!=expected", "rollout.info.given!={rollout.info.expected}", ["2"]),
        ("rollout.info.given=rollout.info.expected", "rollout.info.given={rollout.info.expected}", ["1", "3"]),
        ("given==expected", "rollout.info.given==expected", []),
        ("kind=level", "kind=level", ["1"]),
        ("tool_calls>=0", "rollout.tools.calls>=0", ["1", "2", "3"]),
    ],
)
def test_a_field_may_be_called_as_the_page_calls_it(
    viewing: Opening, tmp_path: Path, written: str, meant: str, found: list[str]
) -> None:
    given = [("29", 29, "level"), ("30", 29, "x"), ("none", "none", "y")]
    rows = [
        row(f"t{n}", fields={"kind": kind, "level": n}, info={"given": one, "expected": other},
            components={"right": [1.0, 0.0, 0.5][n], "short": float(n == 1)})
        for n, (one, other, kind) in enumerate(given)
    ]  # fmt: skip
    viewer = viewing(write_run(tmp_path / "x.jsonl", rows))
    answer = viewer.get(f"{viewer.run('x')}/rollouts", where=written)
    assert answer["search"]["where"] == [meant]
    assert answer["search"]["unknown"] == []
    assert names(answer) == found


@pytest.mark.parametrize(
    ("written", "field", "like"),
    [
        ("rollout.reward=1", "rollout.reward", "reward"),
        ("rigt<1", "rigt", "reward_components.right"),
        ("leval!=1", "leval", "level"),
        ("rollout.tool.calls>4", "rollout.tool.calls", "rollout.tools.calls"),
        ("qqqqqqqq=1", "qqqqqqqq", None),
        ("level!={levle}", "levle", "level"),
    ],
)
def test_a_field_that_no_row_has_is_said(viewer: Viewer, written: str, field: str, like: str | None) -> None:
    answer = viewer.get(f"{viewer.run('first')}/rollouts", where=written)
    fits(answer, shapes.Rollouts)
    (unknown,) = answer["search"]["unknown"]
    assert unknown["field"] == field
    assert like in unknown["like"] if like else unknown["like"] == []


@pytest.mark.parametrize("others", [{"text": "nowhere"}, {"status": "truncated"}])
def test_no_field_is_said_to_be_none_where_rows_were_left_out(viewer: Viewer, others: dict[str, str]) -> None:
    answer = viewer.get(f"{viewer.run('first')}/rollouts", where="level=1", **others)
    assert (answer["matched"], answer["search"]["unknown"]) == (0, [])


def test_what_is_no_condition_is_said_in_the_words_of_the_page(viewer: Viewer) -> None:
    _, error = viewer.refused(f"{viewer.run('first')}/rollouts", where="foo")
    assert error == "foo: this is no condition"


def test_sql_in_a_query_is_text(viewer: Viewer) -> None:
    path = f"{viewer.run('first')}/rollouts"
    for query in ({"task": "' OR 1=1 --"}, {"status": "x') OR ('1'='1"}, {"stop_reason": "'; DROP TABLE rollout; --"}):
        assert names(viewer.get(path, **query)) == []
    assert viewer.get(path)["total"] == 4


def test_a_search_goes_on_where_it_stopped(viewing: Opening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gym_viewer.index.search._AT_ONCE", 3)
    monkeypatch.setattr("gym_viewer.index.search._SECONDS", 0.0)
    write_run(tmp_path / "r" / "x.jsonl", [row(str(n)) for n in range(10)])
    viewer = viewing(tmp_path / "r")
    path, searched = f"{viewer.run('x')}/rollouts", [-1]
    # not a moment is left for it, so each request looks at nothing or at one lot
    monkeypatch.setattr("gym_viewer.index.search._SECONDS", 0.001)
    for _ in range(100):
        answer = viewer.get(path, text="it is 9")
        searched.append(answer["search"]["searched"])
        if searched[-1] == answer["search"]["of"]:
            break
    assert searched == sorted(searched)
    assert searched[-1] == 10
    assert names(answer) == ["10"]


def test_rewards_by_task(viewer: Viewer) -> None:
    answer = viewer.get(f"{viewer.run('first')}/tasks", sort="-reward")
    fits(answer, shapes.Tasks)
    assert [(task["task_id"], task["reward"], task["failed"]) for task in answer["tasks"]] == [
        ("a", 0.5, 0), ("b", 0.5, 1),
    ]  # fmt: skip
    assert [one["n"] for one in answer["tasks"][1]["repeats"]] == ["3", "f2"]
    assert viewer.get(f"{viewer.run('first')}/tasks", text="B")["total"] == 1


def test_rewards_by_field_are_those_of_the_core(viewer: Viewer, runs: Path) -> None:
    answer = viewer.get(f"{viewer.run('first')}/by", field="level")
    fits(answer, shapes.ByField)
    said = Statistics(runs / "first.jsonl", by=["level"]).result["reward"]["by"]["level"]["values"]
    assert {one["value"]: one["mean"] for one in answer["values"]} == {name: one["mean"] for name, one in said.items()}
    assert {one["value"]: one["left_out"] for one in answer["values"]} == {"1": 1, "2": 0}


def test_components_are_grouped_by_and_averaged(viewer: Viewer) -> None:
    path = f"{viewer.run('first')}/by"
    found = viewer.get(path, field="reward_components.short")["values"]
    assert {one["value"]: one["mean"] for one in found} == {"0.5": 1.0, "1.0": 0.0, "(none)": 0.5}
    by_level = viewer.get(path, field="level", of="short")["values"]
    assert {one["value"]: one["mean"] for one in by_level} == {"1": 0.75, "2": None}


def test_two_runs_are_compared_as_the_core_compares_them(viewer: Viewer, runs: Path) -> None:
    first, second = (viewer.run(name).rpartition("/")[2] for name in ("first", "deep/second"))
    answer = viewer.get("/api/compare", a=first, b=second)
    fits(answer, shapes.Comparison)
    one, other = (Statistics(runs / name, for_comparison=True) for name in ("first.jsonl", "deep/second.jsonl"))
    said = difference(one, other)
    assert said is not None
    assert answer["difference"] == {name: json.loads(json.dumps(said[name])) for name in answer["difference"]}
    assert answer["total"] == 3
    assert [(task["task_id"], task["difference"]) for task in answer["tasks"]] == [("a", 0.5), ("b", 0.5), ("c", None)]
    assert [one["reward"] for one in answer["tasks"][0]["first_rollouts"]] == [1.0, 0.0]
    assert viewer.refused("/api/compare", a=first, b="x")[0] == 404


def test_two_rollouts_stand_beside_one_another(viewer: Viewer) -> None:
    first, second = (viewer.run(name).rpartition("/")[2] for name in ("first", "deep/second"))
    answer = viewer.get("/api/compare/rollouts", a=first, n="1", b=second, m="1")
    fits(answer, shapes.RolloutPair)
    assert answer["common"] == 2
    assert viewer.get("/api/compare/rollouts", a=first, n="1", b=second, m="2")["common"] == 0


def test_what_groups_came_to_stands_beside_the_rewards(viewing: Opening, tmp_path: Path) -> None:
    rows = write_run(tmp_path / "x.jsonl", [row("a", 0), row("a", 1), row("b", 0), row("c", 0)], [row("a", 2, None)])
    verdict = {"repeat": 1, "reward": 0.25, "components": {"best": 1.0}, "info": {"rank": 2}, "rewards": {}}
    error = {"class": "PluginError", "message": "no judge"}
    groups = sibling(rows, ".groups.jsonl")
    groups.write_bytes(
        line({"task_id": "a", "verdicts": [], "error": error})
        + line({"task_id": "a", "verdicts": [verdict], "error": None})
        + line({"task_id": "b", "verdicts": [], "error": error})
    )
    viewer = viewing(rows)
    path = viewer.run("x")
    listed = viewer.get(f"{path}/rollouts")["rollouts"]
    assert [entry["group_reward"] for entry in listed] == [None, 0.25, None, None, None]
    said = [viewer.get(f"{path}/rollouts/{n}")["verdict"]["group"] for n in ("1", "2", "3", "4", "f1")]
    assert said == [
        None,
        {"reward": 0.25, "components": {"best": 1.0}, "info": '{\n  "rank": 2\n}', "error": ""},
        {"reward": None, "components": {}, "info": "", "error": "PluginError: no judge"},
        None,
        None,
    ]
    account = viewer.get(path)["account"]["groups"]
    assert (account["scored"], account["failed"]) == (1, 1)

    groups.write_bytes(groups.read_bytes() + b'{"task_id":1}\n')
    shown = viewer.get(path)
    assert any("x.groups.jsonl:4" in note for note in shown["notes"])
    assert viewer.get(f"{path}/rollouts/2")["verdict"]["reward"] == 1.0


def test_a_failure_says_why(viewer: Viewer) -> None:
    view = viewer.get(f"{viewer.run('first')}/rollouts/f2")
    fits(view, shapes.RolloutView)
    assert view["entry"]["reward"] is None
    assert (view["error"]["error_class"], view["error"]["causes"]) == ("ServerError", ["a broken pipe"])
    assert view["place"] == "first.failures.jsonl:2"
    assert [one["n"] for one in view["others"]] == ["3"]


def test_what_there_is_not_is_a_404(viewer: Viewer) -> None:
    path = viewer.run("first")
    for missing in ("4", "0", "f9", "x", "1.0", "-1", "%31%30%30", "9" * 40, "1/items/99", "1/nothing"):
        assert viewer.refused(f"{path}/rollouts/{missing}")[0] == 404, missing
    assert viewer.refused(f"{path}/rollouts/1/items", branch="7")[0] == 404
    assert viewer.refused(f"{path}/rollouts/1/tokens", sequence="7")[0] == 404


def test_the_raw_row_is_the_line_of_the_file(viewer: Viewer, runs: Path) -> None:
    answer = viewer.http.get(f"{viewer.run('first')}/rollouts/2/raw")
    assert answer.content == (runs / "first.jsonl").read_bytes().splitlines(keepends=True)[1]
    assert answer.headers["content-type"] == "application/json"


@pytest.fixture
def conversations(viewing: Opening, tmp_path: Path) -> Any:
    """An agent that uses a tool, compacts its context, and tries twice; a helper; tokens, with a break."""
    asked = [message("user", "q")]
    output = [
        tool_call("look", '{"at": "x"}'), tool_output('{"seen": [1, 2]}'), message("assistant", "A"),
        message("assistant", "end"),
    ]  # fmt: skip
    others = [
        message("user", "sum up"),
        message("assistant", "lost"),
        message("user", "help"),
        message("assistant", "h"),
    ]
    tokens = [
        {"continues": None, "kept": 0, "prompt": [1, 2], "sampled": [3], "logprobs": [-0.5], "version": "7"},
        {"continues": None, "kept": 0, "prompt": [1, 2, 9], "sampled": [4, 5], "logprobs": [-0.1, -0.2], "version": "8",
         "break": True},
    ]  # fmt: skip
    calls = [
        model_call([[0, 1]], [[1, 2]], tokens=tokens[0]),
        model_call([[2, 3]], [[3, 4]], continues=0, kept=2, at=1.0),
        model_call([[5, 6]], [[6, 7]], continues=1, kept=1, at=2.0),
        model_call([], [[4, 5]], continues=2, kept=2, at=3.0, tokens=tokens[1]),
        model_call([[7, 8]], [[8, 9]], actor="helper", role="helper", at=4.0),
    ]
    made = row(
        "t",
        input=asked,
        output=output,
        items=others,
        model_calls=calls,
        tool_calls=[{"actor": "policy", "call": 1, "output": 2, "at": 0.7, "seconds": 0.2}],
    )
    write_run(tmp_path / "r" / "x.jsonl", [made])
    viewer = viewing(tmp_path / "r")
    path = f"{viewer.run('x')}/rollouts/1"
    return viewer, path, viewer.get(path)


def test_conversations_are_a_tree_by_actor(conversations: Any) -> None:
    viewer, path, view = conversations
    fits(view, shapes.RolloutView)
    policy, helper = view["actors"]
    assert [(one["kind"], one["parent"], one["after"], one["kept"], one["had"]) for one in policy["branches"]] == [
        ("start", None, None, 0, 0),
        ("rewritten", 0, 2, 1, 4),
        ("retry", 1, 3, 2, 3),
    ]
    assert [one["turns"] for one in policy["branches"]] == [[1, 2], [3, 3], [4, 4]]
    assert [one["given_up"] for one in policy["branches"]] == [False, True, False]
    assert (helper["name"], helper["model_calls"], len(helper["branches"])) == ("helper", 1, 1)
    places = {
        branch: [item["place"] for item in viewer.get(f"{path}/items", branch=branch)["items"]] for branch in range(4)
    }
    assert places == {0: [0, 1, 3], 1: [5, 6], 2: [4], 3: [7, 8]}


def test_a_tool_call_stands_beside_its_output(conversations: Any) -> None:
    _, _, view = conversations
    call = view["items"]["items"][1]
    assert (call["kind"], call["name"], call["turn"], call["seconds"]) == ("function_call", "look", 1, 0.2)
    assert (call["arguments"], call["json"]) == ('{\n  "at": "x"\n}', True)
    assert call["output"]["parts"] == [{"kind": "json", "text": '{\n  "seen": [\n    1,\n    2\n  ]\n}'}]


def test_what_took_time_is_in_order(conversations: Any) -> None:
    _, _, view = conversations
    spans = view["spans"]["spans"]
    assert [span["kind"] for span in spans] == ["model", "tool", "model", "verify", "model", "model", "model"]
    assert spans[1]["label"] == "look"
    assert [span["broken"] for span in spans] == [*[False] * 5, True, False]


def test_exact_tokens_are_shown_as_they_are_trained(conversations: Any) -> None:
    viewer, path, view = conversations
    assert view["tokens"] == {"calls": 2, "breaks": 1, "problems": 0, "versions": ["7", "8"]}
    answer = viewer.get(f"{path}/tokens", sequence=1)
    fits(answer, shapes.TokensView)
    assert [one["length"] for one in answer["sequences"]] == [3, 5]
    assert (answer["ids"], answer["mask"]) == ([1, 2, 9, 4, 5], [0, 0, 0, 1, 1])
    assert answer["logprobs"] == [0.0, 0.0, 0.0, -0.1, -0.2]
    assert answer["starts"] == [[3, 4]]
    assert viewer.get(f"{path}/tokens", offset=1, limit=1)["ids"] == [2]


def test_the_pace_of_a_run_is_that_of_what_ended_last(viewing: Opening, tmp_path: Path) -> None:
    def ended(at: float, task_id: str, reward: float | None) -> dict[str, Any]:
        made = row(task_id, 0, reward)
        made["rollout"]["timing"]["finished_at"] = at
        return made

    rows = [ended(2_000_000.0 + n, f"t{n}", 1.0) for n in range(201)]
    failures = [ended(1_000_000.0 + n, f"f{n}", None) for n in range(300)]  # of long ago
    write_run(tmp_path / "r" / "x.jsonl", rows, failures)
    viewer = viewing(tmp_path / "r")
    with locked(tmp_path / "r" / "x.jsonl"):
        assert viewer.get(viewer.run("x"))["progress"]["per_second"] == 1.0


def test_a_long_text_is_cut_in_a_list_and_whole_alone(viewing: Opening, tmp_path: Path) -> None:
    text = "é" * 50_000
    write_run(tmp_path / "r" / "x.jsonl", [row("a", output=[message("assistant", text)])])
    viewer = viewing(tmp_path / "r")
    path = f"{viewer.run('x')}/rollouts/1"
    (_, cut) = viewer.get(path)["items"]["items"]
    assert (cut["parts"][0]["cut"], len(cut["parts"][0]["text"])) == (50_000, 20_000)
    assert viewer.get(f"{path}/items/{cut['place']}")["parts"] == [{"kind": "text", "text": text}]


def test_long_arguments_of_a_call_are_cut_and_to_be_had_whole(viewing: Opening, tmp_path: Path) -> None:
    arguments = json.dumps({"text": "x" * 50_000})
    output = [tool_call("write", arguments), tool_output("done")]
    rows = write_run(tmp_path / "x.jsonl", [row("a", output=output)])
    viewer = viewing(rows)
    path = f"{viewer.run('x')}/rollouts/1"
    (call,) = [item for item in viewer.get(path)["items"]["items"] if item["kind"] == "function_call"]
    assert (call["json"], call["cut"], len(call["arguments"])) == (True, len(arguments) + 4, 20_000)
    whole = viewer.get(f"{path}/items/{call['place']}")
    assert json.loads(whole["arguments"]) == json.loads(arguments)
    assert "cut" not in whole


def test_images_are_shown_where_they_are_data_and_images(viewing: Opening, tmp_path: Path) -> None:
    urls = ["data:image/png;base64,AAAA", "https://elsewhere.example/x.png", "data:image/svg+xml;base64,AAAA",
            "data:text/html,<script>", "javascript:alert(1)"]  # fmt: skip
    parts = [{"type": "input_image", "image_url": url} for url in urls]
    write_run(tmp_path / "r" / "x.jsonl", [row("a", input=[{"role": "user", "content": parts}])])
    viewer = viewing(tmp_path / "r")
    shown = viewer.get(f"{viewer.run('x')}/rollouts/1")["items"]["items"][0]["parts"]
    assert [part.get("url") for part in shown] == [urls[0], None, None, None, None]
    assert {part["kind"] for part in shown} == {"image"}


def test_a_long_rollout_is_paged(viewing: Opening, tmp_path: Path) -> None:
    count = 20_000
    output = [message("assistant", f"m{n}") for n in range(count)]
    write_run(tmp_path / "r" / "x.jsonl", [row("a", output=output)])
    viewer = viewing(tmp_path / "r")
    path = f"{viewer.run('x')}/rollouts/1"
    view = viewer.get(path)
    assert (view["items"]["total"], len(view["items"]["items"])) == (count + 1, 100)
    page = viewer.get(f"{path}/items", branch=0, offset=count - 4, limit=50)
    assert [item["parts"][0]["text"] for item in page["items"]] == [f"m{n}" for n in range(count - 5, count)]


def test_tools_and_sampling_are_those_that_the_row_cites(viewing: Opening, tmp_path: Path) -> None:
    rows = write_run(tmp_path / "r" / "x.jsonl", [row("a", request="ab" * 12)])
    tool = {"type": "function", "name": "look", "description": "Looks.", "parameters": {"type": "object"}}
    sibling(rows, ".tools.jsonl").write_bytes(
        line({"hash": "cd" * 12, "tools": []}) + line({"hash": "ab" * 12, "tools": [tool], "sampling": {"top_p": 0.5}})
    )
    viewer = viewing(tmp_path / "r")
    task = viewer.get(f"{viewer.run('x')}/rollouts/1")["task"]
    assert task["tools"] == [{"name": "look", "description": "Looks.", "schema": '{\n  "type": "object"\n}'}]
    assert {"name": "top_p", "text": "0.5", "json": True} in task["request"]
    assert task["instructions"] == "Be brief."
    assert [field["name"] for field in task["fields"]] == ["level", "kind"]


def events_of(viewer: Viewer, path: str) -> Iterator[tuple[str, Any]]:
    with httpx.Client(trust_env=False, timeout=30) as http:
        headers = dict(viewer.http.headers)
        with http.stream("GET", viewer.url + path, headers=headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            name = ""
            for text in answer.iter_lines():
                if text.startswith("event: "):
                    name = text[7:]
                elif text.startswith("data: "):
                    yield name, json.loads(text[6:])


def test_rows_are_told_while_they_come(viewer: Viewer, runs: Path) -> None:
    path = viewer.run("first")
    heard = events_of(viewer, f"{path}/events")
    name, progress = next(heard)
    fits(progress, shapes.Progress)
    assert (name, progress["rollouts"], progress["failed"]) == ("progress", 3, 1)
    with (runs / "first.jsonl").open("ab") as file:
        file.write(line(row("c", 0, 0.75)) + line(row("b", 1, 0.5)))
    name, added = next(heard)
    fits(added, shapes.Added)
    assert (name, added["added"], {one["n"] for one in added["rollouts"]}) == ("added", 2, {"4", "5"})
    name, progress = next(heard)
    assert (name, progress["rollouts"], progress["failed"]) == ("progress", 5, 0)
    write_run(runs / "new.jsonl", [row("z")])
    (runs / "new.jsonl").replace(runs / "first.jsonl")
    assert next(heard)[0] == "replaced"


def test_many_may_ask_at_once(viewer: Viewer) -> None:
    path, problems = viewer.run("first"), list[Any]()

    def ask(what: str) -> None:
        try:
            for _ in range(5):
                answer = viewer.http.get(path + what)
                if answer.status_code != 200:
                    problems.append(f"{what}: {answer.status_code} {answer.text}")
        except Exception as error:
            problems.append(error)

    threads = [
        threading.Thread(target=ask, args=(what,))
        for what in (
            "",
            "/rollouts",
            "/rollouts?text=a",
            "/rollouts?where=level=1",
            "/tasks",
            "/rollouts/1",
            "/by?field=level",
        )
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems


class Waiting:
    """What a run says of itself while model calls of it wait."""

    def __getattr__(self, name: str) -> Any:
        return lambda: {"rollouts": {"in_flight": 64}, "waiting": {"endpoint": 3, "budget": 1}}


def test_a_run_that_goes_on_is_said_to(viewing: Opening, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gym_ctl.server import Server

    with tempfile.TemporaryDirectory(prefix="gym", dir="/tmp") as folder:  # the path of a socket is short
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        server = Server(json.loads((runs / "first.run.json").read_text())["run_id"], Waiting())
        try:
            with locked(runs / "first.jsonl"):
                viewer = viewing(runs)
                waiting = viewer.get(viewer.run("first"))["progress"]["waiting"]
        finally:
            server.close()
    assert waiting == ["64 in flight", "3 waiting for the endpoint", "1 waiting for the budget"]

    with locked(runs / "first.jsonl"):
        viewer = viewing(runs)
        progress = viewer.get(viewer.run("first"))["progress"]
        assert (progress["state"], progress["waiting"]) == ("running", [])
        assert progress["per_second"] is not None
        assert progress["seconds_left"] == 0.0
