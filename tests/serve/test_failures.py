"""Whatever fails, and wherever: a documented status, one shape of errors, and no word too many."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from gym_core import Agent, Episode, Stop
from gym_http.serve.opening import Wanted
from gym_testing import FakeOpenAI, ScriptedModel, Served
from tests.serve.environments import CounterSession, counter, serving
from tests.served.applications import serving as served
from tests.served.wire import Wire
from tests.support.envs import env, row
from tests.support.loop import asynchronous

FIELDS = {"class", "message", "code", "retryable"}


class Panic(BaseException):
    """Is no Exception."""


class Panicking(CounterSession):
    def reply(self, response: Any) -> Any:
        raise Panic("no word of mine")


@asynchronous
async def test_what_is_no_exception_is_told_like_one() -> None:
    async with Served(env(Panicking)) as there, aiohttp.ClientSession(there.url) as http:
        async with http.post("/v1/sessions", json={"task": {"row": row()}}) as reply:
            opened = await reply.json()
        headers = {"Authorization": f"Bearer {opened['token']}"}
        path = f"/v1/sessions/{opened['id']}/reply"
        async with http.post(path, json={"response": {"output": []}}, headers=headers) as reply:
            error = (await reply.json())["error"]
            assert (reply.status, error["code"], error["phase"]) == (500, "env_error", "reply")
            assert "Traceback" not in str(error)


class Cancelling(Agent):
    async def run(self, episode: Episode) -> Stop:
        raise asyncio.CancelledError


@asynchronous
async def test_an_agent_that_cancels_itself_is_answered_for() -> None:
    body = {
        "request": {"input": "x"},
        "model": {"base_url": "http://127.0.0.1:1/v1", "token": "x"},
        "session": {"url": "http://127.0.0.1:1", "token": "x"},
    }
    async with (
        Served(Cancelling) as there,
        aiohttp.ClientSession(there.url) as http,
        http.post("/v1/episodes", json=body) as reply,
    ):
        error = (await reply.json())["error"]
        assert (reply.status, error["code"], error["retryable"]) == (500, "env_error", False)


@asynchronous
async def test_a_call_that_the_end_of_the_server_cuts_off_is_answered_503() -> None:
    CounterSession.waiting.clear()
    CounterSession.entered.clear()
    async with aiohttp.ClientSession() as http:
        async with Served(counter()) as there:
            async with http.post(f"{there.url}/v1/sessions", json={"task": {"row": row()}}) as reply:
                opened = await reply.json()
            headers = {"Authorization": f"Bearer {opened['tool_token']}"}
            url = f"{there.url}/v1/sessions/{opened['id']}/tools/wait"
            calling = asyncio.create_task(http.post(url, json={"arguments": {}}, headers=headers))
            entered = CounterSession.entered.setdefault("t0", asyncio.Event())
            await entered.wait()
        async with await calling as reply:
            error = (await reply.json())["error"]
            assert (reply.status, error["code"], error["retryable"]) == (503, "draining", True)
            assert reply.headers["retry-after"]


@asynchronous
async def test_so_is_a_call_of_a_model_as_its_clients_read_it() -> None:
    begun = asyncio.Event()

    class Endless(ScriptedModel):
        async def respond(self, request: Any, context: Any) -> Any:
            begun.set()
            await asyncio.Event().wait()

    async with aiohttp.ClientSession() as http:
        async with Served(Endless("x")) as there:
            calling = asyncio.create_task(http.post(f"{there.url}/v1/responses", json={"input": "x"}))
            await begun.wait()
        async with await calling as reply:
            error = (await reply.json())["error"]
            assert (reply.status, error["code"], error["retryable"]) == (503, "draining", True)
            assert (error["type"], error["param"]) == ("server_error", None)
            assert (reply.headers["x-should-retry"], reply.headers["retry-after"]) == ("true", "5")


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/v1/no/such/route", [], 404),
        ("GET", "/v1/responses", [], 405),
        ("POST", "/v1/responses", ["Content-Type: text/plain"], 415),
        ("POST", "/v1/responses", ["Content-Encoding: gzip"], 415),
        ("POST", "/v1/chat/completions", ["Origin: http://127.0.0.1:1"], 403),
        ("POST", "/v1/chat/completions", ["Via: 1.1 proxy"], 401),
    ],
)
def test_the_routes_of_a_model_refuse_as_clients_of_openai_read_it(
    method: str, path: str, headers: list[str], status: int
) -> None:
    with FakeOpenAI("Hello.") as fake:
        options = {"policy": {"base_url": fake.base_url}}
        with served(Wanted(models={"policy": "openai:m"}, model_options=options)) as (url, _):
            answer = Wire(url).ask(method, path, b'{"input": "x"}', *headers)
        assert answer.status == status
        assert answer.error.keys() >= FIELDS | {"type", "param"}
        assert answer.headers["x-should-retry"] == "false"
        assert not fake.received


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ({"type": "function_call_output", "call_id": [], "output": "x"}, "call_id"),
        ({"type": []}, "type"),
        ({"type": "message", "role": {}, "content": "x"}, "role"),
        ({"type": "function_call", "name": ["f"], "call_id": "c"}, "name"),
        ({"type": "function_call", "name": "f", "id": {"a": 1}}, "id"),
        ({"type": "message", "status": []}, "status"),
    ],
)
@asynchronous
async def test_an_item_that_is_none_is_the_callers_fault(item: dict[str, Any], field: str) -> None:
    async with serving(counter()) as there:
        session = await there.open()
        asked = {"reply": {"response": {"output": [item]}}, "verify": {"trajectory": {"input": [], "items": [item]}}}
        for part, body in asked.items():
            answer = await there.ask("POST", f"{session.path}/{part}", body, session.token)
            assert (answer.status, answer.error["code"]) == (422, "invalid")
            assert answer.error["field"].endswith(f".0.{field}")
        judged = {**row(), "response": {"output": [item]}}
        assert (await there.ask("POST", "/seed_session", row())).status == 200
        answer = await there.ask("POST", "/verify", judged)
        assert (answer.status, answer.error["field"]) == (422, f"response.output.0.{field}")


@pytest.mark.parametrize("levels", [600, 1_000, 2_000])
@asynchronous
async def test_what_nests_too_deeply_to_be_sent_back_is_refused(levels: int) -> None:
    async with serving(counter()) as there:
        content = b'{"responses_create_params": {"input": "x"}, "deep": ' + b"[" * levels + b"]" * levels + b"}"
        for path in ("/seed_session", "/verify", "/aggregate_metrics"):
            answer = await there.ask("POST", path, content=content)
            assert (answer.status, answer.error.get("field")) in ((422, "body"), (401, None))


@asynchronous
async def test_a_compressed_body_is_refused_before_it_is_read() -> None:
    async with serving(counter()) as there:
        answer = await there.ask("POST", "/v1/sessions", {}, headers={"Content-Encoding": "gzip"})
        assert (answer.status, answer.error["code"]) == (415, "unsupported_media_type")
        assert answer.headers["accept-encoding"] == "identity"
