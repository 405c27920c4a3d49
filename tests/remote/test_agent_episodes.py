"""`POST /v1/episodes`, as anybody may call it: what it takes, whom it calls, and what ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import aiohttp
import pytest

from gym_core import Episode, Item
from gym_http.serve.agent.callbacks import Callbacks
from gym_testing import FakeOpenAI
from tests.support.agents import FunctionAgent, LoopAgent
from tests.support.models import call
from tests.support.served_agents import AgentServer, served_agent

Result = TypeVar("Result")


def go(main: Coroutine[Any, Any, Result]) -> Result:
    return asyncio.run(asyncio.wait_for(main, 60))


PLACE = {"base_url": "http://127.0.0.1:9/v1", "url": "http://127.0.0.1:9", "token": "t"}


def episode(**fields: Any) -> dict[str, Any]:
    return {"request": {"input": "hello"}, "model": PLACE, "session": PLACE, **fields}


async def post(server: AgentServer, body: Any) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as http, http.post(f"{server.url}/v1/episodes", json=body) as reply:
        return reply.status, await reply.json()


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ([], 422, "body"),
        ({}, 422, "request"),
        (episode(request={"input": 1}), 422, "request.input"),
        (episode(request={"input": "x", "tools": [1]}), 422, "request.tools.0"),
        (episode(model=None), 422, "model"),
        (episode(model={"token": "t"}), 422, "model.base_url"),
        (episode(model={"base_url": "http://127.0.0.1:9"}), 422, "model.token"),
        (episode(model={"base_url": "http://127.0.0.1:9", "token": "a\nb"}), 422, "model.token"),
        (episode(session={"url": "ftp://127.0.0.1", "token": "t"}), 422, "session.url"),
        (episode(session={"url": "http://u:p@127.0.0.1", "token": "t"}), 422, "session.url"),
        (episode(session={"url": "http://[::1", "token": "t"}), 422, "session.url"),
        (episode(session={"url": "http://169.254.169.254/latest", "token": "t"}), 403, "session.url"),
        (episode(session={"url": "http://localhost.example.com/", "token": "t"}), 403, "session.url"),
        (episode(another=1), 422, "another"),
    ],
)
def test_what_is_wrong_with_a_body_is_named(body: Any, status: int, field: str) -> None:
    async def main() -> None:
        async with served_agent(LoopAgent()) as server:
            got, answer = await post(server, body)
        assert (got, answer["error"].get("field")) == (status, field)

    go(main())


@pytest.mark.parametrize(
    ("host", "caller", "allowed"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("localhost", "::1", True),
        ("::1", "127.0.0.1", True),
        ("127.0.0.1", None, True),  # over a socket file: on this machine
        ("127.0.0.1", "10.0.0.5", False),  # somebody else's loopback is ours
        ("::ffff:127.0.0.1", "10.0.0.5", False),
        ("10.0.0.5", "10.0.0.5", True),
        ("10.0.0.5", "::ffff:10.0.0.5", True),
        ("10.0.0.6", "10.0.0.5", False),
        ("10.0.0.6", "127.0.0.1", False),
        ("127.example.com", "127.0.0.1", False),
        ("trainer", "10.0.0.5", True),
        ("gateway", "10.0.0.5", False),
    ],
)
def test_it_calls_its_caller_and_whom_it_may(host: str, caller: str | None, allowed: bool) -> None:
    callbacks = Callbacks(["Trainer", "gateway:81"])
    assert callbacks.allows(host, 80, caller) is allowed
    assert callbacks.allows("gateway", 81, caller)
    assert Callbacks(["*"]).allows(host, 80, caller)


def test_model_and_session_may_be_any_server() -> None:
    """An OpenAI-compatible endpoint as the model, and a session of gym's own protocol, one call at a time."""
    asked: list[tuple[str, Any]] = []

    async def session(request: Any) -> Any:
        from starlette.responses import JSONResponse

        assert request.headers["authorization"] == "Bearer tool-token"
        asked.append((request.url.path, await request.json()))
        return JSONResponse({"output": "3", "error": None, "done": None, "items": []})

    async def main() -> None:
        from starlette.applications import Starlette
        from starlette.routing import Route

        from gym_http.serve.listener import Listener

        app = Starlette(routes=[Route("/v1/sessions/s/{rest:path}", session, methods=["POST"])])
        script: list[list[Item] | str] = [[call("add", {"a": 1}), call("odd/name", {})], "done"]
        async with (
            FakeOpenAI(*script, api_key="model-token") as endpoint,
            Listener(app) as listener,
            served_agent(LoopAgent()) as server,
        ):
            status, answer = await post(
                server,
                episode(
                    model={"base_url": endpoint.base_url, "token": "model-token"},
                    session={"url": f"{listener.url}/v1/sessions/s", "token": "tool-token"},
                ),
            )
            assert (status, answer) == (200, {"stop_reason": "completed"})
            assert len(endpoint.received) == 2
        assert [path.rpartition("/s/")[2] for path, _ in asked] == ["tools/add", "tools/odd/name", "reply"]
        assert asked[0][1]["arguments"] == '{"a": 1}'

    go(main())


def test_who_leaves_cancels_the_agent() -> None:
    async def main() -> None:
        begun, cancelled = asyncio.Event(), asyncio.Event()

        async def hang(episode: Episode) -> str:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise
            return ""

        async with served_agent(FunctionAgent(hang)) as server:
            asking = asyncio.create_task(post(server, episode()))
            await begun.wait()
            assert server.episodes.running == 1
            asking.cancel()
            await cancelled.wait()

    go(main())


def test_an_answer_of_the_agent_that_is_no_stop() -> None:
    async def main() -> None:
        async def nothing(episode: Episode) -> Any:
            return None

        async with served_agent(FunctionAgent(nothing)) as server:
            status, answer = await post(server, episode())
        assert status == 500
        assert "the agent returned None and no Stop" in answer["error"]["message"]

    go(main())


def test_a_place_that_has_nothing_there_is_named() -> None:
    async def main() -> None:
        async with served_agent(LoopAgent()) as server:
            nothing = f"{server.url}/nothing"
            status, answer = await post(server, episode(model={"base_url": nothing, "token": "x"}))
        assert status == 404
        assert "/nothing/responses" in answer["error"]["message"]

    go(main())
