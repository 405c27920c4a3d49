from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gym_core.cli.rollout_view import render

if TYPE_CHECKING:
    from tests.cli.conftest import Gym


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
    return row(reward=None, rollout={"status": "model_error", "stop_reason": None, "error": error}, **changes)


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
        "{broken",
        "── output of get_weather ─",
        "rain \\u001b[31m",
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
        ("9", "has no row 9", "its rows are 1 to 4"),
        ("0", "has no row 0", "its rows are 1 to 4"),
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
        ('\n{"task_id": "a", "responses_create_params": {"input": "x"}}\n', "x.jsonl:2: this is no rollout"),
        ("[]\n", "x.jsonl:1: this is no rollout"),
        ("", "holds no rollout"),
    ],
)
def test_a_file_of_something_else_is_refused(gym: Gym, tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(content)
    (tmp_path / "x.failures.jsonl").write_text(json.dumps(failure()) + "\n")
    result = gym("show", str(path))
    assert result.status == 2
    assert problem in result.err
    if not content:
        assert "x.failures.jsonl" in result.err


def test_a_missing_file_is_said(gym: Gym, tmp_path: Path) -> None:
    result = gym("show", str(tmp_path / "none.jsonl"))
    assert result.status == 2
    assert "none.jsonl cannot be read: No such file" in result.err


@pytest.mark.parametrize("folder", [".", "/"])
def test_a_folder_is_no_file(gym: Gym, folder: str) -> None:
    result = gym("show", folder)
    assert (result.status, result.err) == (2, f"error: {folder} cannot be read: Is a directory\n")


@pytest.mark.parametrize("digits", ["9" * 19, "9" * 5000])
def test_an_id_of_many_digits_is_no_place(digits: str, gym: Gym) -> None:
    Path("x.jsonl").write_text(json.dumps(row(task_id=digits[:19])) + "\n")
    result = gym("show", "x.jsonl", digits)
    assert (result.status, "internal" in result.err) == (0 if len(digits) == 19 else 2, False)
    assert gym("show", "x.jsonl", f"{digits[:19]}#{digits}").status == 2
