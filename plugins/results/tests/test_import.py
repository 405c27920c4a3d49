"""`gym import --format nemo`."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.exports import Gym

CONFIGURATION = """
office:
  resources_servers:
    office: {entrypoint: app.py, host: 0.0.0.0, port: 11001}
office_simple_agent:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      resources_server: {type: resources_servers, name: office}
      model_server: {type: responses_api_models, name: policy_model}
      datasets:
      - {name: example, type: example, jsonl_fpath: data/example.jsonl}
policy_model:
  responses_api_models:
    openai_model: {openai_base_url: "${policy_base_url}", openai_api_key: "${key}", openai_model: 'a "model"'}
"""
VALUES = "policy_base_url: http://localhost:9000/v1\nkey: sk-very-secret\n"


def write(folder: Path) -> list[str]:
    (folder / "configs").mkdir()
    (folder / "data").mkdir()
    (folder / "data" / "example.jsonl").write_text('{"responses_create_params": {"input": "Hi."}}\n')
    (folder / "configs" / "office.yaml").write_text(CONFIGURATION)
    (folder / "env.yaml").write_text(VALUES)
    return [str(folder / "env.yaml"), str(folder / "configs" / "office.yaml")]


def test_the_run_file_is_one_that_gym_run_reads(gym: Gym, tmp_path: Path) -> None:
    done = gym("import", "--format", "nemo", *write(tmp_path), "--output", "run.toml")
    assert (done.status, done.out) == (0, "")
    assert "gym run --config run.toml" in done.err
    text = Path("run.toml").read_text()
    run = tomllib.loads(text)
    assert run == {
        "env": "http://127.0.0.1:11001",
        "agent": "simple_agent",
        "model": 'openai:a "model"',
        "input": os.path.join("..", "data", "example.jsonl"),
        "model_options": {"base_url": "http://localhost:9000/v1", "api": "responses"},
    }
    assert "# - policy_model: its key is not copied" in text
    assert "policy_model: its key is not copied" in done.err
    shown = gym("config", "--config", "run.toml")
    assert shown.status == 0, shown.err
    assert "http://127.0.0.1:11001" in shown.out
    assert os.path.join("..", "data", "example.jsonl") in shown.out
    assert "secret" not in text + done.err + shown.out


def test_without_an_output_it_is_printed(gym: Gym, tmp_path: Path) -> None:
    done = gym("import", "--format", "nemo", *write(tmp_path), "--url", "office=http://box:5/", "--dataset", "example")
    assert done.status == 0
    assert tomllib.loads(done.out)["env"] == "http://box:5"


def test_what_exists_is_not_overwritten(gym: Gym, tmp_path: Path) -> None:
    Path("run.toml").write_text("mine")
    done = gym("import", "--format", "nemo", *write(tmp_path), "--output", "run.toml")
    assert done.status == 2
    assert "exists already" in done.err
    assert Path("run.toml").read_text() == "mine"


def test_what_is_wrong_is_one_line(gym: Gym, tmp_path: Path) -> None:
    files = write(tmp_path)
    for arguments, message in (
        ([str(tmp_path / "none.yaml")], "No such file"),
        ([*files, "--agent", "other"], "no agent named 'other'"),
        ([*files, "--url", "office"], "this is no setting"),
        ([*files, "--url", "other=http://x"], "no server named 'other'"),
    ):
        done = gym("import", "--format", "nemo", *arguments)
        assert done.status == 2
        assert message in done.err
        assert "Traceback" not in done.err


def with_a_template(folder: Path) -> list[str]:
    """The same with a dataset whose rows have no `input`."""
    files = write(folder)
    office = folder / "configs" / "office.yaml"
    office.write_text(CONFIGURATION.replace("example.jsonl}", "example.jsonl, prompt_config: configs/prompt.yaml}"))
    (folder / "configs" / "prompt.yaml").write_text('user: "Where is {what}?"')
    (folder / "data" / "example.jsonl").write_text('{"what": "the stapler"}\n')
    return files


def test_rows_of_a_dataset_with_a_template_are_written_beside_the_run_file(gym: Gym, tmp_path: Path) -> None:
    files = with_a_template(tmp_path)
    for name in ("run.toml", "again.toml"):
        done = gym("import", "--format", "nemo", *files, "--output", name)
        assert done.status == 0, done.err
        assert tomllib.loads(Path(name).read_text())["input"] == "example.prompted.jsonl"
    (line,) = Path("example.prompted.jsonl").read_text().splitlines()
    asked = [{"role": "user", "content": "Where is the stapler?"}]
    assert json.loads(line) == {"what": "the stapler", "responses_create_params": {"input": asked}}
    shown = gym("import", "--format", "nemo", *files)
    assert "with --output, its rows are written with the prompt of" in shown.err
    assert tomllib.loads(shown.out)["input"].endswith("example.jsonl")


def test_rows_that_do_not_fit_a_template_leave_nothing_behind(gym: Gym, tmp_path: Path) -> None:
    files = with_a_template(tmp_path)
    (tmp_path / "data" / "example.jsonl").write_text('{"what": "a"}\n{"whom": "b"}\n')
    done = gym("import", "--format", "nemo", *files, "--output", "run.toml")
    assert done.status == 2
    assert "example.jsonl:2: " in done.err
    assert "wants the field 'what', and the row has whom" in done.err
    assert not list(Path().glob("*.toml"))
    assert not list(Path().glob("*.jsonl"))
    Path("example.prompted.jsonl").write_text("mine")
    (tmp_path / "data" / "example.jsonl").write_text('{"what": "a"}\n')
    done = gym("import", "--format", "nemo", *files, "--output", "run.toml")
    assert done.status == 2
    assert "example.prompted.jsonl exists already" in done.err
    assert not Path("run.toml").exists()
