from __future__ import annotations

import json
import os
import re
import sys
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

from gym_core.engine.storage.files import write_json
from gym_core.engine.storage.manifest import Manifest
from gym_core.spi import run_command
from gym_results.rollout_diff import render_pair
from gym_results.rollout_view import render

if TYPE_CHECKING:
    from tests.support.exports import Gym


def row(task_id: str = "capital", repeat: int = 0, **changes: Any) -> dict[str, Any]:
    about = {
        "run_id": "r1",
        "repeat": repeat,
        "status": "completed",
        "stop_reason": "completed",
        "usage": {"input_tokens": 120, "output_tokens": 30, "input_tokens_details": {"cached_tokens": 100}},
        "timing": {"finished_at": 1.0, "seconds": 2.5, "model_seconds": 2.0},
        "model": "openai:small",
        "env": "weather",
        "info": {"note": "kept"},
        "error": None,
        **changes.pop("rollout", {}),
    }
    return {
        "task_id": task_id,
        "responses_create_params": {"instructions": "Be brief.", "input": "What is the weather in Paris?"},
        "response": {
            "output": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "I should look."}]},
                {"type": "function_call", "name": "get_weather", "call_id": "c1", "arguments": '{"city": "Paris"}'},
                {"type": "function_call", "name": "get_weather", "call_id": "c2", "arguments": "{broken"},
                {"type": "function_call_output", "call_id": "c1", "output": "rain \x1b[31m"},
                {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "what?"}]},
                {"type": "web_search_call", "id": "ws", "status": "done"},
                {
                    "type": "message",
                    "role": "assistant",
                    "content": [
                        {"type": "output_text", "text": "It rains."},
                        {"type": "refusal", "refusal": "No more."},
                        {"type": "input_image", "image_url": "data:" + "x" * 5000},
                    ],
                },
            ]
        },
        "reward": 0.5,
        "reward_components": {"call": 1.0, "answer": 0.0},
        "rollout": about,
        **changes,
    }


def failure(**changes: Any) -> dict[str, Any]:
    error = {"class": "ServerError", "message": "500 from it", "phase": "model", "causes": ["OSError: reset"]}
    about = {"status": "model_error", "stop_reason": None, "error": error, **changes.pop("rollout", {})}
    return row(reward=None, rollout=about, **changes)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "x.jsonl"
    rows = [row("a"), row("7"), row("7", 1, reward=0.25), row("ü#1")]
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows), encoding="utf-8")
    return path


def test_all_of_a_rollout_is_shown_in_order(gym: Gym, file: Path) -> None:
    result = gym("show", str(file))
    assert result.status == 0
    expected = [
        "task        a  (repeat 0)",
        "status      completed  (stop reason completed)",
        "reward      0.5  (call 1  answer 0)",
        "model       openai:small",
        "env         weather",
        "tokens      120 in (100 cached), 30 out",
        "time        2.50 s, 2.00 s model",
        'info        {"note": "kept"}',
        "── instructions ─",
        "Be brief.",
        "── user ─",
        "What is the weather in Paris?",
        "── reasoning ─",
        "I should look.",
        "── call of get_weather ─",
        '{"city": "Paris"}',
        "── output of get_weather ─",
        "rain \\u001b[31m",
        "── call of get_weather ─",
        "{broken",
        "── output of get_weather ─",
        "what?",
        "── web_search_call ─",
        '"status": "done"',
        "── assistant ─",
        "It rains.",
        "(refusal) No more.",
        "(image, 3.8 kB)",
    ]
    at = 0
    for text in expected:
        at = result.out.index(text, at)
    assert "\x1b" not in result.out


def test_outputs_are_named_by_the_order_of_their_calls(gym: Gym, tmp_path: Path) -> None:
    items: list[dict[str, Any]] = [
        {"type": "function_call", "name": "first", "call_id": "same", "arguments": ""},
        {"type": "function_call", "name": "second", "call_id": "same", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "same", "output": "1"},
        {"type": "function_call_output", "call_id": "same", "output": "2"},
        {"type": "function_call", "name": "third", "call_id": None, "arguments": "[" * 100_000},
        {"type": "function_call_output", "call_id": "", "output": "3"},
    ]
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(row(response={"output": items})) + "\n")
    shown = gym("show", str(path)).out
    titles = [line.strip("─ ") for line in shown.splitlines() if line.startswith("── output of")]
    assert titles == ["output of first", "output of second", "output of third"]


def test_a_failure_is_shown_with_its_causes(gym: Gym, tmp_path: Path) -> None:
    path = tmp_path / "x.failures.jsonl"
    path.write_text(json.dumps(failure()) + "\n")
    shown = gym("show", str(path)).out
    assert "none: a failure has no reward" in shown
    assert "ServerError: 500 from it  (while: model)" in shown
    assert "caused by OSError: reset" in shown


@pytest.mark.parametrize(
    ("which", "task"),
    [
        ("1", "a  (repeat 0)"),
        ("3", "7  (repeat 1)"),
        ("7#0", "7  (repeat 0)"),
        ("7#1", "7  (repeat 1)"),
        ("a", "a  (repeat 0)"),
        ("ü#1", "ü#1  (repeat 0)"),
        ("ü#1#0", "ü#1  (repeat 0)"),
    ],
)
def test_a_rollout_is_found_by_place_or_key(gym: Gym, file: Path, which: str, task: str) -> None:
    assert f"task        {task}\n" in gym("show", str(file), which).out


def test_rows_under_another_name_are_shown_alone(gym: Gym) -> None:
    stored("x.jsonl", RUN)
    Path("x.jsonl").rename("rows.json")
    assert gym("show", "rows.json", "2", "--json").status == 0


def test_of_several_attempts_the_last_is_shown(gym: Gym, tmp_path: Path) -> None:
    path = tmp_path / "x.failures.jsonl"
    attempts = [row("a", rollout={"attempt": number}) for number in (1, 2)]
    path.write_text("".join(json.dumps(one) + "\n" for one in [*attempts, row("b")]))
    assert "(repeat 0, attempt 2)" in gym("show", str(path), "a").out


def test_json_prints_the_row_itself(gym: Gym, file: Path) -> None:
    assert json.loads(gym("show", str(file), "2", "--json").out) == row("7")


def test_on_a_terminal_it_is_coloured_and_wrapped() -> None:
    shown = render(row("a", responses_create_params={"input": "word " * 60}), width=60, redact=str)
    assert "\x1b[" in shown
    assert all(line.count("word") <= 12 for line in shown.splitlines())


def test_secrets_are_hidden() -> None:
    assert "Paris" not in render(row("a"), width=60, redact=lambda text: text.replace("Paris", "***"))


@pytest.mark.parametrize(
    ("which", "problem", "hint"),
    [
        ("9", "has no rollout 9", "they are 1 to 4"),
        ("0", "has no rollout 0", "they are 1 to 4"),
        ("nothing", "has no rollout of the task 'nothing'", "place"),
        ("7#5", "has no rollout of the task '7#5'", "place"),
    ],
)
def test_a_rollout_that_is_not_there_is_said(gym: Gym, file: Path, which: str, problem: str, hint: str) -> None:
    result = gym("show", str(file), which)
    assert result.status == 2
    assert problem in result.err
    assert hint in result.err


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{broken\n", "x.jsonl:1: not valid JSON"),
        ('\n{"task_id": "a", "responses_create_params": {"input": "x"}}\n', "x.jsonl:2: not a row that gym wrote"),
        ("[]\n", "x.jsonl:1: not a row that gym wrote"),
        ("", "holds no rollout"),
    ],
)
def test_a_file_of_something_else_is_refused(gym: Gym, tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(content)
    result = gym("show", str(path))
    assert result.status == 2
    assert problem in result.err


def test_a_missing_file_is_said(gym: Gym, tmp_path: Path) -> None:
    result = gym("show", str(tmp_path / "none.jsonl"))
    assert result.status == 2
    assert "none.jsonl cannot be read: No such file" in result.err


def test_a_folder_without_runs_is_said(gym: Gym) -> None:
    result = gym("show", ".")
    assert (result.status, result.err.splitlines()[0]) == (2, "error: there is no run in .")
    assert "results cannot be read: No such file" in gym("show").err


@pytest.mark.parametrize("digits", ["9" * 19, "9" * 5000])
def test_an_id_of_many_digits_is_no_place(digits: str, gym: Gym) -> None:
    Path("x.jsonl").write_text(json.dumps(row(task_id=digits[:19])) + "\n")
    result = gym("show", "x.jsonl", digits)
    assert (result.status, "internal" in result.err) == (0 if len(digits) == 19 else 2, False)
    assert gym("show", "x.jsonl", f"{digits[:19]}#{digits}").status == 2


def stored(name: str, rows: list[dict[str, Any]], *, created: str = "2026-01-01T00:00:00+00:00") -> Path:
    """A run on disk: rows and failures by their rewards, and a manifest."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    for suffix, failed in ((".jsonl", False), (".failures.jsonl", True)):
        lines = [json.dumps(one) + "\n" for one in rows if (one["reward"] is None) == failed]
        path.with_name(path.stem + suffix).write_text("".join(lines))
    manifest = Manifest("r1", {"models": {}}, {"repeats": 1}, created_at=created)
    write_json(path.with_name(path.stem + ".run.json"), manifest.to_wire())
    return path


def tasks_of(out: str) -> list[str]:
    return re.findall(r"^task        (\S+)", out, re.MULTILINE)


RUN = [
    row("a", reward=0.5, level=1, text="one"),
    row("b", reward=0.0, level=2, text="Two"),
    row("c", reward=1.0, level=10, text="x=y", flag=True),
    row("c", 1, reward=0.25, level=10),
    failure(task_id="d"),
    failure(task_id="a"),
    failure(task_id="e", rollout={"status": "timed_out", "attempt": 1}),
    failure(task_id="e", rollout={"status": "timed_out", "attempt": 2}),
]


@pytest.mark.parametrize(
    ("options", "tasks"),
    [
        (["--failed"], ["d", "e"]),
        (["--failed", "2"], ["e"]),
        (["--lowest", "2"], ["b", "c"]),
        (["--highest", "3"], ["c", "a", "c"]),
        (["--highest", "99"], ["c", "a", "c", "b"]),
        (["--highest", "2", "2"], ["a"]),
        (["--lowest", "3", "c"], ["c"]),
        (["--where", "level=10"], ["c", "c"]),
        (["--where", "level==10"], ["c", "c"]),
        (["--where", "level>1", "--where", "level<10"], ["b"]),
        (["--where", "level>=2", "--lowest", "1"], ["b"]),
        (["--where", "reward<=0.25"], ["b", "c"]),
        (["--where", "reward=null"], ["d", "e"]),
        (["--where", "text=x=y"], ["c"]),
        (["--where", "text~^t"], ["b"]),
        (["--where", "text!=null"], ["a", "b", "c"]),
        (["--where", "flag=true"], ["c"]),
        (["--where", "level={level}", "--where", "rollout.repeat=1"], ["c"]),
        (["--where", "rollout.repeat<{level}", "--where", "text!={task_id}"], ["a", "b", "c", "c"]),
        (["--where", "rollout.repeat=1"], ["c"]),
        (["--where", "rollout.error.class=ServerError", "--where", "rollout.attempt=2"], ["e"]),
        (["--where", "response~It rains", "--lowest", "1"], ["b"]),
        (["5"], ["d"]),
        (["d"], ["d"]),
    ],
    ids=" ".join,
)
def test_rollouts_are_selected(gym: Gym, options: list[str], tasks: list[str]) -> None:
    stored("x.jsonl", RUN)
    result = gym("show", "x.jsonl", *options)
    assert (result.status, result.err) == (0, "")
    assert tasks_of(result.out) == tasks


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--where", "sied=1"], "no rollout of x.jsonl has a value for the field `sied`"),
        (["--where", "levle=3"], "did you mean `level`?"),
        (["--where", "stop_reson=x"], "did you mean `rollout.stop_reason`?"),
        (["--where", "level=3"], "x.jsonl has no rollout for --where level=3"),
        (["--where", "level"], "--where level: this is no condition"),
        (["--where", "level<"], "there is nothing to compare with"),
        (["--where", "text~("], "no regular expression"),
        (["--lowest", "2", "3"], "x.jsonl has 2 rollouts for --lowest 2, and no number 3"),
        (["--lowest", "2", "a"], "no rollout of the task 'a' for --lowest 2"),
        (["--lowest", "0"], "0 is not in the range"),
        (["--lowest", "1", "--highest", "1"], "exclude one another"),
        (["--failed", "--highest", "1"], "a failure has no reward"),
        (["--diff", "x.jsonl", "--json"], "--json prints rows"),
        (["--diff", "none.jsonl"], "none.jsonl cannot be read"),
        (["9"], "they are 1 to 6"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_selects_nothing_is_said(gym: Gym, options: list[str], problem: str) -> None:
    stored("x.jsonl", RUN)
    result = gym("show", "x.jsonl", *options)
    assert (result.status, result.out) == (2, "")
    assert problem in result.err
    assert "internal" not in result.err


def test_the_latest_run_is_shown_without_one(gym: Gym) -> None:
    stored("results/new.jsonl", [row("new"), row("paris")], created="2026-02-02T00:00:00+00:00")
    stored("results/deeper/old.jsonl", [row("old")])
    Path("results/broken.run.json").write_text("{")
    assert tasks_of(gym("show").out) == ["new"]
    assert tasks_of(gym("show", "paris").out) == ["paris"]
    assert tasks_of(gym("show", "results/deeper").out) == ["old"]


def test_several_rows_as_json_are_a_line_each(gym: Gym) -> None:
    stored("x.jsonl", RUN)
    rows = [json.loads(line) for line in gym("show", "x.jsonl", "--failed", "--json").out.splitlines()]
    assert [one["task_id"] for one in rows] == ["d", "e"]


def test_an_unfinished_line_is_left_out_and_said(gym: Gym) -> None:
    path = stored("x.jsonl", RUN)
    with path.open("a") as file:
        file.write('{"task_id": "half')
    result = gym("show", "x.jsonl", "--lowest", "1")
    assert tasks_of(result.out) == ["b"]
    assert "x.jsonl: the unfinished last line was left out" in result.err


def test_turns_are_numbered_calls_paired_and_actors_told_apart() -> None:
    output = [
        {"type": "function_call", "name": "one", "call_id": "c", "arguments": "{}"},
        {"type": "function_call", "name": "two", "call_id": "c", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "of two"},
        {"type": "function_call_output", "call_id": "c", "output": "of one"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "the end"}]},
    ]
    others = [{"type": "message", "role": "user", "content": text} for text in ("given up", "to the judge", "verdict")]
    calls = [
        {"actor": "policy", "shown": [[0, 1]], "gave": [[1, 3]]},
        {"actor": "policy", "continues": 0, "kept": 3, "shown": [[3, 5]], "gave": [[6, 7]]},
        {"actor": "judge", "shown": [[7, 8]], "gave": [[8, 9]]},
        {"actor": "policy", "continues": 0, "kept": 3, "shown": [[3, 5]], "gave": [[5, 6]]},
    ]
    runs = [{"actor": "policy", "call": 2, "output": 3}, {"actor": "policy", "call": 1, "output": 4, "error": "raised"}]
    about = {"items": others, "model_calls": calls, "tool_calls": runs}
    shown = render(row(response={"output": output}, rollout=about, answer=42), width=None, redact=str)
    titles = [line.strip("─═ ") for line in shown.splitlines() if line.startswith(("──", "══"))]
    assert titles == [
        "task fields",
        "instructions",
        "user",
        "turn 1 · call of one",
        "turn 1 · output of one (raised)",
        "turn 1 · call of two",
        "turn 1 · output of two",
        "turn 2 · user (given up)",
        "turn 3 · assistant",
        "judge: 1 model call",
        "user",
        "turn 1 · user",
    ]
    assert "answer: 42" in shown
    assert shown.index("of one\n") < shown.index("of two\n")


@pytest.mark.parametrize("width", [None, 80, 120])
def test_two_rollouts_of_a_task_are_shown_together(width: int | None) -> None:
    one, other = row(reward=1.0), row(reward=0.0)
    other["response"] = {
        "output": [*one["response"]["output"][:3], {"type": "message", "role": "user", "content": "!"}]
    }
    shown = click.unstyle(render_pair((one, other), ("a", "b"), width=width, redact=str))
    assert shown.count("What is the weather in Paris?") == 1
    assert "reward      a: 1  (call 1  answer 0)\n            b: 0  (call 1  answer 0)" in shown
    lines = shown.splitlines()
    heads = [line for line in lines if line.startswith("══ a ")]
    assert len(heads) == 1
    assert ("══ b " in heads[0]) == (width == 120)
    assert all(len(line) <= (width or 200) for line in lines)
    assert "(no difference)" in render_pair((one, one), ("a", "b"), width=width, redact=str)


def test_the_same_task_of_another_run_is_found(gym: Gym) -> None:
    stored("x.jsonl", RUN)
    stored("y.jsonl", [row("c", 1, reward=0.75), row("a", 3, reward=0.125)])
    result = gym("show", "x.jsonl", "--where", "level=10", "--diff", "y.jsonl")
    assert result.out.count("y: 0.75") == 2
    assert "(repeat 3)" in gym("show", "x.jsonl", "a", "--diff", "y.jsonl").out
    assert "y.jsonl has no rollout of the task 'b'" in gym("show", "x.jsonl", "b", "--diff", "y.jsonl").err


def test_nothing_in_a_row_acts_on_the_terminal(gym: Gym) -> None:
    acts = "\x1b]0;owned\x07\x1b[2J\x9b8m\u202e\r\x7f"

    def hostile(value: Any) -> Any:
        if isinstance(value, str):
            return value + acts
        if isinstance(value, dict):
            known = {"type", "role", "output", "response", "reward", "rollout", "repeat", "run_id", "task_id", "status"}
            return {
                key if key in known else key + (acts if key == "own" else ""): value[key]
                if key == "type"
                else hostile(value[key])
                for key in value
            }
        return [hostile(inner) for inner in value] if isinstance(value, list) else value

    one = hostile({**row("a"), "own": "value"})
    one["rollout"]["status"] = "completed"
    stored("x.jsonl", [one])
    stored("y.jsonl", [{**one, "reward": 0.25, "response": {"output": []}}])
    for arguments in (
        (),
        ("--diff", "y.jsonl"),
        ("--where", "own" + acts + "~value"),
        ("--json",),
        ("--where", acts + "=1"),
    ):
        result = gym("show", "x.jsonl", *arguments)
        assert not {character for character in acts if not character.isprintable()} & {*(result.out + result.err)}


def test_a_million_rows_are_not_held(gym: Gym) -> None:
    big = {"padding": "x" * 50_000}
    with Path("x.jsonl").open("w") as file:
        for number in range(400):
            file.write(json.dumps({**row(f"t{number}", reward=number / 1000), **big}) + "\n")
    tracemalloc.start()
    assert gym("show", "x.jsonl", "--highest", "100", "100").status == 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000  # the file has 20 MB


@pytest.mark.skipif(sys.platform == "win32", reason="terminals are POSIX")
def test_on_a_terminal_a_pager_shows_it(gym: Gym, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored("x.jsonl", RUN)
    pager = tmp_path / "pager"
    pager.write_text(f"#!/bin/sh\nhead -c 300 > {tmp_path}/seen\n")
    pager.chmod(0o755)
    monkeypatch.setenv("PAGER", str(pager))
    monkeypatch.setenv("TERM", "xterm")
    controller, other = os.openpty()
    with os.fdopen(other, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert run_command(("show", "x.jsonl", "--where", "task_id!=x")) == 0
        monkeypatch.undo()
    os.close(controller)
    assert (tmp_path / "seen").read_text().startswith("\x1b[1mrow ")
