"""A plugin that raises what is no `Exception` where it is made, opened or listed: its error, in every command."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.running import read_jsonl

if TYPE_CHECKING:
    from tests.cli.conftest import Gym, Site

CODE = """
import asyncio
import os

from pydantic import Field, model_validator

import gym_core
from gym_core import Agent, ModelBackend, ResourceServer, Response, Session, Stop, Task, hookimpl

WHERE, RAISE = {where!r}, lambda: {error}


class Panic(BaseException):
    pass


def at(place):
    if place == WHERE:
        error = RAISE()
        raise error


at("import")


class Options(gym_core.Options):
    size: int = Field(1, description="A size.")

    @model_validator(mode="after")
    def checked(self):
        at("options")
        return self


class Parts:
    def __init__(self, *arguments):
        super().__init__(*arguments)
        at("making")

    async def __aenter__(self):
        at("opening")
        return self

    async def __aexit__(self, *error):
        if os.getpid() != {process}:
            at("closing")

    @property
    def secrets(self):
        at("secrets")
        return ()


class Plain(Session):
    def verify(self, trajectory):
        return 1.0


class Env(Parts, ResourceServer):
    Options = Options
    session_type = Plain

    @property
    def required_roles(self):
        at("roles")
        return ()

    def tasks(self):
        at("tasks")
        yield Task.ask("Hello.")
        at("later tasks")


class Model(Parts, ModelBackend):
    Options = Options

    @property
    def model_id(self):
        at("model_id")
        return "odd"

    @property
    def endpoint(self):
        at("endpoint")
        return "odd"

    async def respond(self, request, context):
        message = {{"type": "message", "role": "assistant", "content": [{{"type": "output_text", "text": "hi"}}]}}
        return Response({{"id": "r", "output": [message]}})

    async def check(self):
        at("check")
        return ()

    async def list_models(self):
        at("listing")
        return ["one"]


class Once(Parts, Agent):
    async def run(self, episode):
        return Stop((await episode.respond(episode.request.input)).stop_reason)


@hookimpl(contract=1)
def gym_resource_servers():
    return {{"odd": Env}}


@hookimpl(contract=1)
def gym_model_backends():
    return {{"odd": Model}}


@hookimpl(contract=1)
def gym_agents():
    return {{"simple_agent": Once}}
"""
ERRORS = ["SystemExit(0)", "SystemExit('over')", "KeyboardInterrupt()", "Panic('oh')", "asyncio.CancelledError()"]
RUN = ("run", "--model", "odd", "--env", "odd", "--quiet", "--output", "x.jsonl")
SERVE = ("serve", "--env", "odd", "--port", "0")
CHECK = ("check", "odd")
CASES = [
    *((command, where) for where in ("import", "options", "making", "opening") for command in (RUN, SERVE, CHECK)),
    *((("models", "--model", "odd"), where) for where in ("import", "options", "making", "listing")),
    *((("tasks", "--env", "odd"), where) for where in ("import", "options", "making", "opening", "tasks")),
    (RUN, "tasks"),
    (RUN, "check"),
    *((RUN, where) for where in ("secrets", "roles", "model_id", "endpoint")),
    (("config", "--model", "odd"), "making"),
]


def install(site: Site, where: str, error: str) -> None:
    code = CODE.format(where=where, error=error, process=os.getpid())
    for group in ("gym.resource_servers", "gym.models"):
        site.add(f"odd-{group[4:9]}", code, group=group, name="odd")
    site.add("odd-agent", code, group="gym.agents", name="simple_agent")


@pytest.mark.parametrize("error", ERRORS)
def test_whatever_a_plugin_raises_is_its_own_error(error: str, site: Site, gym: Gym) -> None:
    for command, where in CASES:
        install(site, where, error)
        ended = gym(*command)
        assert ended.status == 2, (command, where, ended)
        assert "odd" in ended.err, (command, where, ended)
        assert "internal error" not in ended.err
        assert error.partition("(")[0].rpartition(".")[2] in ended.err, (command, where, ended.err)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="workers need Unix sockets")
@pytest.mark.parametrize("error", [ERRORS[0], ERRORS[2]])
def test_workers_whose_components_cannot_be_closed_end(error: str, site: Site, gym: Gym) -> None:
    install(site, "closing", error)
    ended = gym(*RUN, "--workers", "2")
    assert ended.status == 3, ended
    assert "could not stop" in ended.err
    assert len(read_jsonl(Path("x.jsonl"))) == 1


@pytest.mark.parametrize("error", ERRORS)
def test_doctor_and_plugins_check_go_on_with_the_others(error: str, site: Site, gym: Gym) -> None:
    install(site, "opening", error)
    ended = gym("doctor", "--model", "odd")
    assert ended.status == 1
    assert "it cannot be opened" in ended.out
    install(site, "import", error)
    ended = gym("plugins", "check")
    assert ended.status == 1
    assert "cannot be imported" in ended.out + ended.err


@pytest.mark.parametrize("error", ERRORS)
def test_tasks_that_end_a_run_later_stop_it_with_the_name_of_their_owner(error: str, site: Site, gym: Gym) -> None:
    install(site, "later tasks", error)
    ended = gym(*RUN)
    assert ended.status in (2, 3), ended
    assert "its tasks cannot be listed" in ended.err
