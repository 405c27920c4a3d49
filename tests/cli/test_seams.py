"""What every command that looks at a component must do alike: the same options, and the same blame for what breaks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Gym, Result, Site

MODEL = """
import gym_core
from gym_core import ModelBackend, Options, Response, hookimpl


class TalkerOptions(Options):
    words: str = "nothing"


class Talker(ModelBackend[TalkerOptions]):
    \"\"\"Says what it was told to say.\"\"\"

    def __init__(self, options=None, context=None):
        super().__init__(options, context)
        {fault}

    @property
    def model_id(self):
        return "talker"

    async def list_models(self):
        return [self.options.words]

    async def respond(self, request, context):
        content = [{{"type": "output_text", "text": self.options.words, "annotations": []}}]
        item = {{"type": "message", "role": "assistant", "content": content}}
        return Response({{"object": "response", "status": "completed", "output": [item]}})


@hookimpl(contract=1)
def gym_model_backends():
    return {{"talker": Talker}}
"""
ENV = """
from gym_core import Options, ResourceServer, Session, Task, hookimpl, tool


class Listening(Session):
    def verify(self, trajectory):
        return 1.0


class RoomOptions(Options):
    tasks: int = 1


class Room(ResourceServer[RoomOptions]):
    \"\"\"A room with as many tasks as it is told.\"\"\"

    session_type = Listening

    def __init__(self, options=None, context=None):
        super().__init__(options, context)
        {fault}

    def tasks(self):
        for number in range(self.options.tasks):
            yield Task.ask(f"number {{number}}")


@hookimpl(contract=1)
def gym_resource_servers():
    return {{"room": Room}}
"""
LOOK_AT_MODEL = (
    ("run", "--model", "talker", "--env", "simple_weather", "--output", "x.jsonl"),
    ("config", "--model", "talker", "--env", "simple_weather"),
    ("doctor", "--model", "talker", "--no-call"),
    ("models", "--model", "talker"),
    ("check", "simple_weather", "--limit", "1", "--model", "talker"),
    ("serve", "--model", "talker", "--port", "0"),
)
LOOK_AT_ENV = (
    ("run", "--model", "talker", "--env", "room", "--output", "x.jsonl"),
    ("config", "--model", "talker", "--env", "room"),
    ("doctor", "--env", "room"),
    ("tasks", "--env", "room"),
    ("check", "room"),
    ("serve", "--env", "room", "--port", "0"),
)
FAULTS = ("raise ValueError('out of order')", "import sys; sys.exit('out of order')")


def _id(arguments: tuple[str, ...]) -> str:
    return arguments[0]


def add(site: Site, *, model: str = "pass", env: str = "pass") -> None:
    site.add("talker-model", MODEL.format(fault=model), group="gym.models", name="talker")
    site.add("room-env", ENV.format(fault=env), group="gym.resource_servers", name="room")
    site.add("quiet-agent", AGENT, group="gym.agents", name="simple_agent")
    site.add("weather-env", WEATHER, group="gym.resource_servers", name="simple_weather")


AGENT = """
from gym_core import Agent, Stop, StopReason, hookimpl


class Quiet(Agent):
    \"\"\"Asks once.\"\"\"

    async def run(self, episode):
        await episode.respond(episode.request.input)
        return Stop(StopReason.COMPLETED)


@hookimpl(contract=1)
def gym_agents():
    return {"simple_agent": Quiet}
"""
WEATHER = """
from gym_core import ResourceServer, Session, Task, hookimpl


class Asking(Session):
    def verify(self, trajectory):
        return float(trajectory.output_text == "sunny")


class Weather(ResourceServer):
    \"\"\"One question.\"\"\"

    session_type = Asking

    def tasks(self):
        yield Task.ask("how is the weather?")


@hookimpl(contract=1)
def gym_resource_servers():
    return {"simple_weather": Weather}
"""


def said(done: Result) -> str:
    return done.out + done.err


@pytest.mark.parametrize("fault", FAULTS, ids=["raises", "exits"])
@pytest.mark.parametrize("arguments", LOOK_AT_MODEL, ids=_id)
def test_every_command_blames_the_plugin_of_a_model(
    gym: Gym, site: Site, arguments: tuple[str, ...], fault: str
) -> None:
    add(site, model=fault)
    done = gym(*arguments)
    assert done.status in (1, 2)
    assert "talker-model: talker cannot be made: " in said(done)
    assert "out of order" in said(done)
    assert "internal error" not in said(done)


@pytest.mark.parametrize("fault", FAULTS, ids=["raises", "exits"])
@pytest.mark.parametrize("arguments", LOOK_AT_ENV, ids=_id)
def test_every_command_blames_the_plugin_of_an_environment(
    gym: Gym, site: Site, arguments: tuple[str, ...], fault: str
) -> None:
    add(site, env=fault)
    done = gym(*arguments)
    assert done.status in (1, 2)
    assert "room-env: room cannot be made: " in said(done)
    assert "internal error" not in said(done)


@pytest.mark.parametrize("arguments", [*LOOK_AT_MODEL, *LOOK_AT_ENV], ids=lambda given: f"{given[0]}-{given[-1]}")
def test_every_command_reads_the_options_of_the_file(gym: Gym, site: Site, arguments: tuple[str, ...]) -> None:
    """An option that is none shows who reads it: it is refused with the place where it stands."""
    add(site)
    kind = "model" if arguments in LOOK_AT_MODEL else "env"
    Path("pyproject.toml").write_text(f"[tool.gym.{kind}_options]\nwrods = 1\n", encoding="utf-8")
    done = gym(*arguments)
    assert done.status in (1, 2)
    assert f"pyproject.toml [tool.gym]: {kind}_options.wrods" in said(done)


def test_what_the_file_says_is_what_a_command_shows(gym: Gym, site: Site) -> None:
    add(site)
    Path("pyproject.toml").write_text(
        '[tool.gym.model_options]\nwords = "sunny"\n[tool.gym.env_options]\ntasks = 3\n', encoding="utf-8"
    )
    assert gym("models", "--model", "talker").out == "sunny\n"
    assert len(gym("tasks", "--env", "room", "--json").out.splitlines()) == 3
    report = json.loads(gym("check", "room", "--json").out)
    assert report["tasks"] == 3
    shown = {row["key"]: row["value"] for row in json.loads(gym("config", *RUN, "--json").out)}
    assert (shown["model_options.words"], shown["env_options.tasks"]) == ("sunny", 3)
    assert gym("run", *RUN, "--output", "x.jsonl", "--quiet").status == 0
    assert len(Path("x.jsonl").read_text(encoding="utf-8").splitlines()) == 3
    # and what is switched off is read by none
    assert gym("models", "--model", "talker", "--no-config").out == "nothing\n"
    assert len(gym("tasks", "--env", "room", "--json", "--no-config").out.splitlines()) == 1


RUN = ("--model", "talker", "--env", "room")


def test_a_named_file_goes_before_that_of_the_project(gym: Gym, site: Site) -> None:
    add(site)
    Path("pyproject.toml").write_text('[tool.gym.model_options]\nwords = "sunny"\n', encoding="utf-8")
    Path("run.toml").write_text('[model_options]\nwords = "windy"\n', encoding="utf-8")
    assert gym("models", "--model", "talker", "--config", "run.toml").out == "windy\n"


def test_a_file_that_is_broken_is_a_finding_of_the_doctor(gym: Gym, site: Site) -> None:
    add(site)
    Path("pyproject.toml").write_text("[tool.gym\n", encoding="utf-8")
    done = gym("doctor", "--json")
    findings = json.loads(done.out)["findings"]
    (finding,) = (found for found in findings if found["check"] == "configuration")
    assert (finding["state"], done.status) == ("problem", 1)
    assert "not TOML" in finding["message"]


def test_options_for_another_model_are_left_out_with_a_word(gym: Gym, site: Site) -> None:
    add(site)
    Path("pyproject.toml").write_text(
        '[tool.gym]\nmodel = "openai:gpt"\n[tool.gym.model_options]\nbase_url = "http://x"\n', encoding="utf-8"
    )
    done = gym("models", "--model", "talker")
    assert done.out == "nothing\n"
    assert "is for openai:gpt, not for talker: it is left out" in done.err
