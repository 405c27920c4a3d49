"""NeMo Gym's configuration of servers that run elsewhere as a run of gym."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from gym_core import UsageError
from gym_nemo.config_import import RunFile, import_configuration
from gym_nemo.inheritance import inherited
from gym_nemo.yaml_files import head_server, read_configuration, search_folders

ENVIRONMENT = """
workplace_assistant:
  resources_servers:
    workplace_assistant:
      entrypoint: app.py
      domain: agent
      verified: false
      description: Office work
      host: 10.0.0.7
      port: 11001
workplace_assistant_simple_agent:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      max_steps: 6
      resources_server:
        type: resources_servers
        name: workplace_assistant
      model_server:
        type: responses_api_models
        name: policy_model
      datasets:
      - name: train
        type: train
        jsonl_fpath: data/train.jsonl
        license: Apache 2.0
        gitlab_identifier: {dataset_name: workplace, version: 0.0.1, artifact_fpath: train.jsonl}
      - name: validation
        type: validation
        jsonl_fpath: data/validation.jsonl
        num_repeats: 4
"""
MODEL = """
policy_model:
  responses_api_models:
    vllm_model:
      entrypoint: app.py
      base_url: ${policy_base_url}
      api_key: ${policy_api_key}
      model: ${policy_model_name}
      return_token_id_information: false
      uses_reasoning_parser: true
"""
VALUES = """
policy_base_url: http://localhost:9000/v1
policy_api_key: sk-top-secret
policy_model_name: Qwen/Qwen3-4B
"""


def imported(folder: Path, *texts: str, environ: dict[str, str] | None = None, **more: Any) -> RunFile:
    paths = []
    for number, text in enumerate(texts):
        paths.append(folder / f"{number}.yaml")
        paths[-1].write_text(text)
    return import_configuration(read_configuration(paths, environ or {}), **more)


def test_a_whole_configuration(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "validation.jsonl").touch()
    run = imported(tmp_path, VALUES, MODEL, ENVIRONMENT, folders=[tmp_path])
    assert run.options == {
        "env": "http://10.0.0.7:11001",
        "agent": "simple_agent",
        "model": "openai:Qwen/Qwen3-4B",
        "input": str(tmp_path / "data" / "validation.jsonl"),
        "repeats": 4,
    }
    assert run.model_options == {"base_url": "http://localhost:9000/v1", "api": "chat"}
    assert run.agent_options == {"max_turns": 6}
    assert run.notices == [
        "policy_model: its key is not copied: set OPENAI_API_KEY, in the environment or in .env",
        "policy_model: `uses_reasoning_parser` is left out",
        "the dataset is validation; --dataset chooses train",
    ]


def test_no_secret_is_in_what_comes_out(tmp_path: Path) -> None:
    run = imported(tmp_path, VALUES, MODEL.replace("http://", "http://u:sk-top-secret@"), ENVIRONMENT)
    assert "sk-top-secret" not in repr(run)


def test_an_endpoint_with_a_password_is_not_copied(tmp_path: Path) -> None:
    values = VALUES.replace("http://", "http://user:hidden@")
    run = imported(tmp_path, values, MODEL, ENVIRONMENT)
    assert "base_url" not in run.model_options
    assert "hidden" not in repr(run)
    assert any("OPENAI_BASE_URL" in notice for notice in run.notices)


def test_a_model_server_that_runs_is_asked_itself(tmp_path: Path) -> None:
    run = imported(tmp_path, VALUES, MODEL, ENVIRONMENT, urls={"policy_model": "http://gpu:8001/"})
    assert run.model_options == {"base_url": "http://gpu:8001/v1", "api": "responses"}
    assert run.options["model"] == "openai:Qwen/Qwen3-4B"


@pytest.mark.parametrize(("name", "implementation", "api"), [("openai_model", "openai_model", "responses")])
def test_openais_own_names(tmp_path: Path, name: str, implementation: str, api: str) -> None:
    model = f"""
policy_model:
  responses_api_models:
    {implementation}:
      openai_base_url: https://api.openai.com/v1
      openai_api_key: ${{policy_api_key}}
      openai_model: gpt-4.1
"""
    run = imported(tmp_path, model, ENVIRONMENT)
    assert run.options["model"] == "openai:gpt-4.1"
    assert run.model_options == {"base_url": "https://api.openai.com/v1", "api": api}


def test_what_has_no_value_is_said(tmp_path: Path) -> None:
    run = imported(tmp_path, MODEL, ENVIRONMENT)
    assert "model" not in run.options
    assert run.model_options == {}
    assert "policy_model: no value for its endpoint: give -M base_url=URL" in run.notices
    assert "policy_model: no value for its model: give it with --model openai:NAME" in run.notices
    assert "data/validation.jsonl is not here: fetch the dataset, or give --input FILE" in run.notices


def test_interpolations(tmp_path: Path) -> None:
    environment = ENVIRONMENT.replace("10.0.0.7", "${oc.env:HOST,nowhere}").replace("11001", "${ports.office}")
    extra = "ports: {office: 7}\npolicy_base_url: http://${oc.env:HOST}:9/v1\nloop: ${loop}\nodd: ???\n"
    run = imported(tmp_path, extra, MODEL, environment, environ={"HOST": "there"})
    assert run.options["env"] == "http://there:7"
    assert run.model_options["base_url"] == "http://there:9/v1"
    configuration = read_configuration([tmp_path / "0.yaml"], {})
    assert configuration.resolved("${loop}") is None
    assert configuration.resolved("${odd}") is None
    assert configuration.resolved("a ${nobody} b") is None
    assert configuration.resolved("plain") == "plain"


def test_the_dataset_can_be_chosen_by_name_or_type(tmp_path: Path) -> None:
    run = imported(tmp_path, ENVIRONMENT, MODEL, dataset="train")
    assert run.options["input"] == "data/train.jsonl"
    assert "repeats" not in run.options
    with pytest.raises(UsageError, match="no dataset 'test'") as caught:
        imported(tmp_path, ENVIRONMENT, MODEL, dataset="test")
    assert "validation (validation)" in caught.value.hint


def test_where_a_server_runs_has_to_be_known(tmp_path: Path) -> None:
    without = ENVIRONMENT.replace("      host: 10.0.0.7\n      port: 11001\n", "")
    with pytest.raises(UsageError, match="does not say where workplace_assistant runs") as caught:
        imported(tmp_path, without, MODEL)
    assert "--url workplace_assistant=http://HOST:PORT" in caught.value.hint
    run = imported(tmp_path, without, MODEL, urls={"workplace_assistant": "http://box:5"})
    assert run.options["env"] == "http://box:5"


def test_an_agent_that_runs_there_is_asked_whole(tmp_path: Path) -> None:
    without = ENVIRONMENT.replace("      host: 10.0.0.7\n      port: 11001\n", "")
    without = without.replace("  simple_agent:\n", "  swe:\n")
    run = imported(tmp_path, without, MODEL, urls={"workplace_assistant_simple_agent": "http://box:6"})
    assert run.options["agent"] == "http://box:6"
    assert "env" not in run.options
    assert "model" not in run.options


def test_one_agent_of_several_is_chosen(tmp_path: Path) -> None:
    second = """
second:
  responses_api_agents:
    other_agent:
      resources_server: {type: resources_servers, name: workplace_assistant}
      patience: 3
"""
    with pytest.raises(UsageError, match="has 2 agents") as caught:
        imported(tmp_path, ENVIRONMENT, MODEL, second)
    assert "--agent workplace_assistant_simple_agent|second" in caught.value.hint
    run = imported(tmp_path, ENVIRONMENT, MODEL, second, agent="second")
    assert run.options["agent"] == "simple_agent"
    assert "second: `simple_agent` works in place of `other_agent`; check that it fits" in run.notices
    assert "second: `patience` is left out" in run.notices
    with pytest.raises(UsageError, match="no agent named 'third'"):
        imported(tmp_path, ENVIRONMENT, second, agent="third")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a list", "must be a mapping"),
        ("a: [1", r"0\.yaml:1:\d+: not YAML"),
        ("a: !!python/object:os.system {}", "not YAML"),
        ("", "neither an agent nor a resources server"),
        ("a: 1", "neither an agent nor a resources server"),
    ],
)
def test_what_is_no_configuration(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        imported(tmp_path, text)


def test_a_name_that_leads_nowhere(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="model_server is 'policy_model', which the configuration does not have"):
        imported(tmp_path, ENVIRONMENT)
    with pytest.raises(UsageError, match="no server named 'nobody'"):
        imported(tmp_path, ENVIRONMENT, MODEL, urls={"nobody": "http://x"})


INCLUDED = """
generic:
  resources_servers:
    judge: {entrypoint: app.py, host: 127.0.0.1, port: 7001, threshold: 0.5}
generic_agent:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      max_steps: 6
      resources_server: {type: resources_servers, name: generic}
      datasets:
      - {name: train, type: train, jsonl_fpath: train.jsonl}
"""
BENCHMARK = """
config_paths:
- resources_servers/judge/configs/judge.yaml
mine:
  _inherit_from: generic
mine_agent:
  _inherit_from: generic_agent
  responses_api_agents:
    simple_agent:
      resources_server: {name: mine}
      datasets:
      - {name: bench, type: benchmark, jsonl_fpath: bench.jsonl, num_repeats: 4}
"""


def benchmark(folder: Path, text: str = BENCHMARK) -> Path:
    """A repository with a benchmark that inherits an environment."""
    inner, outer = folder / "resources_servers/judge/configs/judge.yaml", folder / "benchmarks/b/config.yaml"
    for file, content in ((inner, INCLUDED), (outer, text)):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    (folder / "bench.jsonl").write_text("")
    return outer


def followed(*files: Path) -> Any:
    return import_configuration(read_configuration(files, {}), folders=search_folders(files))


def test_what_a_file_includes_and_inherits(tmp_path: Path) -> None:
    made = followed(benchmark(tmp_path))
    assert made.options == {
        "env": "http://127.0.0.1:7001",
        "agent": "simple_agent",
        "input": str(tmp_path / "bench.jsonl"),
        "repeats": 4,
    }
    assert made.agent_options == {"max_turns": 6}


def test_what_is_inherited_is_moved_copied_or_left_out() -> None:
    values = {
        "a": {"x": {"deep": 1}, "y": 2},
        "b": {"_inherit_from": "a", "x": {"more": 3}, "_delete_key": "y"},
        "c": {"_copy": "b", "z": "${copy:a.y}"},
        "d": {"_inherit_from": "c.z"},
    }
    assert inherited({name: values[name] for name in ("a", "b", "c")}) == {
        "b": {"x": {"deep": 1, "more": 3}},
        "c": {"x": {"deep": 1, "more": 3}, "z": 2},
    }
    assert inherited({"a": 1, "l": [{"b": "${inherit_from:a}"}]}) == {"l": [{"b": 1}]}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("config_paths: [none.yaml]", "names none.yaml, which is not here"),
        ("config_paths: none.yaml", "must be a list of paths"),
        ("mine: {_inherit_from: nobody}", "inherits from 'nobody', which the configuration does not have"),
        ("a: {_inherit_from: b}\nb: {_inherit_from: a}", "in a circle"),
    ],
)
def test_what_cannot_be_followed_is_said(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        followed(benchmark(tmp_path, text))


def test_files_that_include_each_other_are_each_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("config_paths: [b.yaml]\nx: 1")
    (tmp_path / "b.yaml").write_text("config_paths: [a.yaml]\nx: 2\ny: 3")
    assert read_configuration([tmp_path / "a.yaml"], {}).values == {"x": 1, "y": 3}


def test_a_head_server_has_the_whole_configuration() -> None:
    text = yaml.safe_dump({**yaml.safe_load(INCLUDED)})
    answers = {"/global_config_dict_yaml": json.dumps(text).encode()}

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *words: Any) -> None: ...

        def do_GET(self) -> None:
            body = answers.get(self.path)
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write(body or b"")

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        assert head_server(Path(url)) == url
        assert followed(Path(url)).options["env"] == "http://127.0.0.1:7001"
        answers.clear()
        with pytest.raises(UsageError, match=f"{url} does not answer as NeMo Gym's head server: Not Found"):
            followed(Path(url))
        server.shutdown()
