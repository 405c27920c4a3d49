"""Prompt templates of NeMo Gym, which make the `input` of a dataset's rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gym_core import UsageError
from gym_nemo.config_import import import_configuration
from gym_nemo.prompts import prompted
from gym_nemo.yaml_files import read_configuration

QUESTION = {"question": "What is 1 {+} 1?", "choices": ["1", "2"], "responses_create_params": {"temperature": 0.5}}
TEMPLATE = """
system: 'Say {{your answer}} in one word.'
user: "{question} {choices[1]} or {choices[0]}?"
"""
AGENT = """
sums:
  resources_servers:
    sums: {host: 127.0.0.1, port: 7001}
sums_agent:
  responses_api_agents:
    simple_agent:
      resources_server: {name: sums}
      datasets:
      - {name: bench, type: benchmark, jsonl_fpath: rows.jsonl, prompt_config: "${prompts}/sums.yaml"}
prompts: prompts
"""


def written(folder: Path, template: str, *rows: Any) -> tuple[Path, Path]:
    dataset, file = folder / "rows.jsonl", folder / "prompts" / "sums.yaml"
    dataset.write_text("".join(row if isinstance(row, str) else f"{json.dumps(row)}\n" for row in rows))
    file.parent.mkdir(exist_ok=True)
    file.write_text(template)
    return dataset, file


def test_rows_get_their_input_and_keep_all_else(tmp_path: Path) -> None:
    bare = {"question": "\ud800 \u2028", "choices": "ab"}
    lines = prompted(*written(tmp_path, TEMPLATE, QUESTION, "\n", bare)).splitlines()
    first, second = map(json.loads, lines)
    assert first == {
        **QUESTION,
        "responses_create_params": {
            "temperature": 0.5,
            "input": [
                {"role": "system", "content": "Say {your answer} in one word."},
                {"role": "user", "content": "What is 1 {+} 1? 2 or 1?"},
            ],
        },
    }
    assert second["responses_create_params"]["input"][1]["content"] == "\ud800 \u2028 b or a?"


def test_without_a_system_there_is_one_message(tmp_path: Path) -> None:
    row = {"question": "Why?", "responses_create_params": {"input": []}}
    made = json.loads(prompted(*written(tmp_path, "user: '{question}'\nsystem: null", row)))
    assert made["responses_create_params"] == {"input": [{"role": "user", "content": "Why?"}]}


def test_what_has_an_input_gets_no_other(tmp_path: Path) -> None:
    taken = {"question": "Why?", "responses_create_params": {"input": "Why?"}}
    with pytest.raises(UsageError, match=r"rows have an `input` of their own, .*: lines 1, 3 \("):
        prompted(*written(tmp_path, "user: '{question}'", taken, {"question": "Why?"}, taken))
    with pytest.raises(UsageError, match=r"lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more \("):
        prompted(*written(tmp_path, "user: '{question}'", *[taken] * 12))


@pytest.mark.parametrize(
    ("template", "row", "problem"),
    [
        (
            "user: '{problem}'",
            {"a": 1, "b": 2},
            r"rows.jsonl:2: .*sums.yaml wants the field 'problem', and .* has a, b$",
        ),
        ("user: '{a[0]}'", {"a": []}, r"rows.jsonl:2: .*sums.yaml cannot be filled in: list index"),
        ("user: '{a[x]}'", {"a": {}}, r"rows.jsonl:2: .* wants the field 'x'"),
        ("user: '{}'", {"a": 1}, r"rows.jsonl:2: .* cannot be filled in: Format string"),
        ("user: '{a:d}'", {"a": "x"}, r"rows.jsonl:2: .* cannot be filled in: Unknown format code"),
        ("user: '{a.b}'", {"a": "x"}, r"rows.jsonl:2: .* cannot be filled in: 'str' object has no"),
        ("user: '{a:99999999999999999999}'", {"a": "x"}, r"rows.jsonl:2: .* cannot be filled in: Too many"),
        ("user: 'a'", "[1]\n", "rows.jsonl:2: a row and its `responses_create_params` must be JSON objects"),
        ("user: 'a'", {"responses_create_params": "x"}, "rows.jsonl:2: a row and its"),
        ("user: 'a'", "{\n", "rows.jsonl:2: not JSON"),
        ("user: 'a {b'", {}, "sums.yaml: `user`: expected '}'"),
        ("user: 'a'\nsystem: 'b }'", {}, "sums.yaml: `system`: Single '}'"),
        ("system: 'a'", {}, "sums.yaml: `user` is missing"),
        ("user: 1", {}, "sums.yaml: `user` must be a text"),
        ("- a", {}, "sums.yaml: it must be a mapping of the texts `user`"),
        ("user: [", {}, r"sums.yaml:\d+:\d+: not YAML"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_place(tmp_path: Path, template: str, row: Any, problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as caught:
        prompted(
            *written(
                tmp_path, template, {"a": {"x": 1, 0: 1}, "problem": 1} if "'{problem}'" in template else "\n", row
            )
        )
    assert "\n" not in str(caught.value.message)


def test_the_template_is_found_as_the_dataset_is(tmp_path: Path) -> None:
    def imported(text: str = AGENT) -> Any:
        (tmp_path / "a.yaml").write_text(text)
        return import_configuration(read_configuration([tmp_path / "a.yaml"], {}), folders=[tmp_path])

    _, template = written(tmp_path, TEMPLATE, QUESTION)
    assert imported().template == template
    assert not any("template" in notice for notice in imported().notices)
    away = imported(AGENT.replace("prompts: prompts", "prompts: nowhere"))
    assert away.template is None
    assert (
        "the dataset bench has a prompt template, nowhere/sums.yaml, which is not here: its rows have no `input` yet"
        in away.notices
    )
    without = imported(AGENT.replace("rows.jsonl", "none.jsonl"))
    assert without.template is None
    assert any("import this again once the dataset is here" in notice for notice in without.notices)
