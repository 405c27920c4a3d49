"""gym as a server that NeMo Gym starts."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from gym_core import UsageError
from gym_nemo.start import arguments

PLACE = {"entrypoint": "app.py", "host": "127.0.0.1", "port": 12345}


def started(name: str, **servers: Any) -> dict[str, str]:
    """The variables that NeMo Gym sets."""
    return {"NEMO_GYM_CONFIG_DICT": json.dumps(servers), "NEMO_GYM_CONFIG_PATH": name}


def weather(**settings: Any) -> dict[str, Any]:
    return {"resources_servers": {"gym_weather": {**PLACE, "env": "simple_weather", **settings}}}


def test_an_environment_is_served_where_the_configuration_says() -> None:
    found = arguments(started("weather", weather=weather(env_options={"seed": 3, "x": "${y}"}), y="z"))
    assert found[:5] == ["serve", "--env", "simple_weather", "--host", "127.0.0.1"]
    assert found[5:] == ["--port", "12345", "-E", "seed=3", "-E", "x=z"]
    found = arguments(started("weather", weather=weather(arguments=["--failures", "masked"])))
    assert found[-2:] == ["--failures", "masked"]


def test_an_agent_is_served_with_a_model_server_of_theirs() -> None:
    agent = {**PLACE, "env": "simple_weather", "agent": "simple_agent", "agent_options": {"max_turns": 4}}
    reference = {"type": "responses_api_models", "name": "policy_model"}
    model = {"responses_api_models": {"openai_model": {**PLACE, "port": 9}}}
    mine = {"responses_api_agents": {"gym_agent": {**agent, "model_server": reference}}}
    found = arguments(started("mine", mine=mine, policy_model=model))
    place = "-M base_url=http://127.0.0.1:9/v1 -M api=responses -M api_key=none -A max_turns=4"
    assert found[7:] == ["--agent", "simple_agent", "--model", "openai:policy_model", *place.split()]


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({}, "is started by NeMo Gym"),
        (started("weather"), "has no resources_servers or responses_api_agents named 'weather'"),
        (started("weather", weather=weather(env=None)), "names no environment"),
        (started("weather", weather=weather(port=None)), "has no port"),
        (started("weather", weather=weather(agent="simple_agent")), "names no model"),
        ({**started("weather"), "NEMO_GYM_CONFIG_DICT": "a: [b"}, "not YAML"),
    ],
)
def test_what_is_missing_is_said(environ: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        arguments(environ)


def test_it_serves_in_place_of_the_process_that_is_started(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("from gym_nemo.start import start\n\nstart()\n", encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = {**os.environ, **started("weather", weather=weather(port=port)), "GYM_NO_DOTENV": "1"}
    process = subprocess.Popen([sys.executable, "app.py"], cwd=tmp_path, env=environ, stdout=subprocess.DEVNULL)
    try:
        row = {"responses_create_params": {"input": "How is the weather in Oslo?"}, "cities": ["Oslo"]}
        assert post(f"http://127.0.0.1:{port}/seed_session", row) == 200
    finally:
        process.terminate()
        process.wait(30)


def post(url: str, body: Any) -> int:
    """The status of a request, once somebody listens."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    until = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return int(reply.status)
        except urllib.error.URLError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
