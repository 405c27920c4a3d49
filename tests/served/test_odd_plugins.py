"""Environments that answer what cannot be sent: they fail in a clear way, and nothing stays behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic import Field, SecretStr

import gym_core
from gym_core import ResourceServer, Session, Trajectory, Verdict, tool
from gym_testing import ScriptedModel, Served, call, rehearse
from tests.support.envs import ask
from tests.support.loop import asynchronous

KEY = "a-key-of-the-environment"
NO_UNICODE = "file \udc80"


class Speechless(Exception):
    """An error that cannot say what happened."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


UNSAYABLE: dict[str, Any] = {"object": object(), "bytes": b"\xff", "key": {object(): 1}}
WORDS: dict[str, Any] = {
    "no unicode": NO_UNICODE,
    "huge": 2**70,
    "set": {1},
    "path": Path("/tmp"),
    "nan": float("nan"),
    **UNSAYABLE,
}
ERRORS: dict[str, Exception] = {
    "no unicode": ValueError(NO_UNICODE),
    "speechless": Speechless(),
    "group": ExceptionGroup("several", [ValueError("one")]),
    "secret": ValueError(f"the key is {KEY}"),
}


class OddSession(Session["Odd"]):
    """Answers what it is told to."""

    def setup(self) -> Any:
        if self.task.get("raises"):
            raise ERRORS[self.task["raises"]]
        opening = self.task.get("opening")
        return [{"role": "user", "content": WORDS[opening]}] if opening else None

    @tool
    def give(self, what: str) -> Any:
        """Give something."""
        return self.server.options.key.get_secret_value() if what == "secret" else WORDS[what]

    @tool
    def fail(self, how: str) -> str:
        """Fail."""
        raise ERRORS[how]

    def reply(self, response: Any) -> Any:
        return [{"role": "user", "content": WORDS[response.output_text]}]

    def verify(self, trajectory: Trajectory) -> Verdict:
        if trajectory.stop_reason == "secret":
            return Verdict(1.0, {}, {"key": self.server.options.key.get_secret_value()})
        return Verdict(1.0, {}, {"what": WORDS[trajectory.stop_reason]})

    def close(self) -> None:
        self.server.closed += 1


class OddOptions(gym_core.Options):
    """The options."""

    key: SecretStr = Field(default=SecretStr(KEY), description="a key")


class Odd(ResourceServer[OddOptions]):
    """Answers what it is told to."""

    session_type = OddSession

    def __init__(self, options: Any = None, context: Any = None) -> None:
        super().__init__(options, context)
        self.closed = 0


class Client:
    """Asks a served environment."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    async def ask(self, path: str, body: Any, token: str = "") -> tuple[int, Any]:
        """Status and JSON of an answer to a POST."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self._http.post(path, json=body, headers=headers) as reply:
            assert reply.content_type == "application/json", await reply.text()
            return reply.status, await reply.json()

    async def open(self, **fields: Any) -> tuple[int, Any]:
        """Open a session of a row with these fields."""
        return await self.ask("/v1/sessions", {"task": {"row": ask(**fields).row}})


@asynccontextmanager
async def odd(**settings: Any) -> AsyncIterator[tuple[Client, Odd]]:
    """The environment, served."""
    server = Odd()
    async with Served(server, **settings) as there, aiohttp.ClientSession(there.url) as http:
        yield Client(http), server


@pytest.mark.parametrize(
    ("what", "told"), [("no unicode", "file \ufffd"), ("huge", 2**70), ("set", [1]), ("path", "/tmp"), ("nan", None)]
)
@asynchronous
async def test_an_opening_is_told_as_json_has_it(what: str, told: Any) -> None:
    async with odd() as (client, _):
        status, body = await client.open(opening=what)
        assert (status, body["opening"][0]["content"]) == (201, told)


@pytest.mark.parametrize("what", UNSAYABLE)
@asynchronous
async def test_a_session_whose_opening_cannot_be_told_is_closed_again(what: str) -> None:
    async with odd(max_sessions=1) as (client, server):
        for _ in range(2):
            status, body = await client.open(opening=what)
            assert (status, body["error"]["class"], body["error"]["phase"]) == (500, "SessionError", "setup")
        assert server.closed == 2
        assert (await client.open())[0] == 201


@pytest.mark.parametrize("how", ERRORS)
@asynchronous
async def test_every_error_is_told(how: str) -> None:
    async with odd() as (client, _):
        status, body = await client.open(raises=how)
        error = body["error"]
        assert (status, error["class"], error["code"]) == (500, type(ERRORS[how]).__name__, "env_error")
        assert error["message"]
        _, session = await client.open()
        path = f"/v1/sessions/{session['id']}/tools/fail"
        status, body = await client.ask(path, {"arguments": {"how": how}}, session["tool_token"])
        assert (status, body["error"]) == (200, "raised")
        assert KEY not in str(body) + str(error)


@pytest.mark.parametrize("what", UNSAYABLE)
@asynchronous
async def test_what_cannot_be_sent_is_an_error_and_the_session_goes_on(what: str) -> None:
    async with odd() as (client, _):
        _, session = await client.open()
        path, tools, owner = f"/v1/sessions/{session['id']}", session["tool_token"], session["token"]
        said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": what}]}
        answers = [
            await client.ask(f"{path}/tools/give", {"arguments": {"what": what}}, tools),
            await client.ask(f"{path}/reply", {"response": {"output": [said]}}, tools),
            await client.ask(f"{path}/verify", {"trajectory": {"input": [], "items": [], "stop_reason": what}}, owner),
        ]
        for status, body in answers:
            assert (status == 500 and body["error"]["code"] == "env_error") or body["error"] == "raised"
        status, body = await client.ask(f"{path}/tools/fail", {"arguments": {"how": "group"}}, tools)
        assert (status, body["error"]) == (200, "raised")


@asynchronous
async def test_a_secret_of_the_environment_does_not_leave_the_server() -> None:
    async with odd() as (client, _):
        _, session = await client.open()
        path = f"/v1/sessions/{session['id']}"
        given = await client.ask(f"{path}/tools/give", {"arguments": {"what": "secret"}}, session["tool_token"])
        assert given == (200, {"output": "***", "error": None, "done": None})
        trajectory = {"input": [], "items": [], "stop_reason": "secret"}
        _, verdict = await client.ask(f"{path}/verify", {"trajectory": trajectory}, session["token"])
        assert verdict["info"] == {"key": "***"}


@pytest.mark.parametrize("how", ["no unicode", "speechless"])
def test_in_process_an_error_without_words_is_the_same(how: str) -> None:
    async def main() -> None:
        failed = await rehearse(Odd, "done", task=ask(raises=how))
        assert failed.status.value == "env_error"
        assert (failed.error or {})["class"] == type(ERRORS[how]).__name__
        told = await rehearse(Odd, ScriptedModel(call("fail", how=how), "done"), task=ask())
        (output,) = (item for item in told.response.output if item["type"] == "function_call_output")
        assert type(ERRORS[how]).__name__ in output["output"]

    asyncio.run(asyncio.wait_for(main(), 60))
