"""Other people's words in what a command shows: text, whoever said them and wherever they appear."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Gym, Result, Site

ACTS = "\x1b]0;owned\x07\x1b[2J\x9b8m\u202e\u2066\u2028\r\x7f"
FORBIDDEN = {character for character in ACTS if not character.isprintable()}
CODE = f"""
import logging
import sys

from gym_core import Agent, ModelBackend, ResourceServer, Response, Session, Stop, Task, Verdict, hookimpl

ACTS = {ACTS!r}


class Says(ModelBackend):
    \"\"\"A model. {ACTS.encode("unicode_escape").decode()}\"\"\"

    async def respond(self, request, context):
        content = [{{"type": "output_text", "text": "hi" + ACTS}}]
        message = {{"type": "message", "role": "assistant", "content": content}}
        return Response({{"id": "r", "output": [message]}})

    async def list_models(self):
        return ["m" + ACTS, "n"]


class Judged(Session):
    def verify(self, trajectory):
        print("printed", trajectory.output_text)
        print("printed", trajectory.output_text, file=sys.stderr)
        sys.stderr.buffer.write(("bytes" + ACTS).encode("utf-8", "replace") + b"\\xff\\n")
        logging.getLogger("gym").warning("logged %s", trajectory.output_text)
        logging.getLogger("elsewhere").warning("logged %s", trajectory.output_text)
        if self.task.task_id.startswith("bad"):
            raise ValueError("failed " + ACTS + "[/red]")
        return Verdict(1.0, {{"acc[math]" + ACTS: 1.0}}, {{"said": ACTS}})


class Judges(ResourceServer):
    session_type = Judged

    def tasks(self):
        yield Task.ask("Say it." + ACTS, task_id="t[/b]" + ACTS)
        yield Task.ask("Say it.", task_id="bad" + ACTS)


class Once(Agent):
    async def run(self, episode):
        return Stop((await episode.respond(episode.request.input)).stop_reason)


@hookimpl(contract=1)
def gym_model_backends():
    return {{"says": Says}}


@hookimpl(contract=1)
def gym_resource_servers():
    return {{"judges": Judges}}


@hookimpl(contract=1)
def gym_agents():
    return {{"simple_agent": Once}}
"""


@pytest.fixture(autouse=True)
def plugins(site: Site) -> None:
    groups = {"gym.models": "says", "gym.resource_servers": "judges", "gym.agents": "simple_agent"}
    module = site.add("talkative", CODE)
    site.record("talkative", {group: {name: module} for group, name in groups.items()}, "1.0" + ACTS[:4], "Sum" + ACTS)


def clean(result: Result) -> Result:
    """The result, once nothing in it acts on a terminal."""
    for text in (result.out, result.err):
        assert not FORBIDDEN.intersection(text), ascii(text)
    return result


RUN = ("run", "--model", "says", "--env", "judges", "--output", "x.jsonl")


def test_a_run_shows_text(gym: Gym) -> None:
    result = clean(gym(*RUN, "-v", "--by", "task_id"))
    assert result.status == 1
    assert result.out == ""
    for word in ("printed hi\\u001b]0;owned", "logged hi", "bytes\\u001b", "\\xff", "t[/b]", "acc[math]", "[/red]"):
        assert word in result.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "x.jsonl"),
        ("show", "x.failures.jsonl"),
        ("show", "x.jsonl", "no" + ACTS),
        ("stats", "x.jsonl", "--by", "task_id"),
        ("tasks", "--env", "judges"),
        ("models", "--model", "says"),
        ("plugins", "list"),
        ("plugins", "show", "says"),
        ("plugins", "show", "other" + ACTS),
        ("doctor", "--env", "no" + ACTS),
        ("check", "judges"),
        ("config", "--env", "judges", "--model", "says", "--by", ACTS),
        ("run", "--env", ACTS),
        ("stats", ACTS),
        ("run", "--" + ACTS),
        (ACTS,),
        ("stats", "\udcff" + ACTS, "--debug"),
    ],
    ids=lambda arguments: ascii(" ".join(arguments))[:40],
)
def test_every_command_shows_text(gym: Gym, arguments: tuple[str, ...]) -> None:
    gym(*RUN)
    clean(gym(*arguments))


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "x.jsonl", "--json"),
        ("stats", "x.jsonl", "--by", "task_id", "--json"),
        ("tasks", "--env", "judges", "--json", "--limit", "1"),
        ("models", "--model", "says", "--json"),
        ("plugins", "list", "--json"),
        ("plugins", "show", "says", "--json"),
        ("check", "judges", "--json"),
        ("doctor", "--json"),
        ("config", "--env", "judges", "--model", "says", "--json"),
        ("run", "--model", "says", "--env", "judges", "--json", "--by", "task_id", "--quiet"),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_json_is_all_there_is_and_escapes_what_acts(gym: Gym, arguments: tuple[str, ...]) -> None:
    gym(*RUN)
    shown: Any = json.loads(clean(gym(*arguments)).out)
    assert shown


def test_the_log_holds_text(gym: Gym) -> None:
    gym(*RUN, "--log-file", "log.jsonl")
    logged = Path("log.jsonl").read_text()
    assert not FORBIDDEN.intersection(logged)
    assert any("hi" + ACTS in json.loads(line)["message"] for line in logged.splitlines())


def test_names_of_files_that_are_no_text_are_shown(gym: Gym) -> None:
    name = "odd\udcff\x1b[2J.jsonl"
    assert clean(gym(*RUN[:-1], name)).status == 1
    assert "odd\\udcff\\u001b[2J" in clean(gym(*RUN[:-1], name)).err
    assert clean(gym("show", name)).status == 0
    assert clean(gym("stats", name, "--json")).status == 0
