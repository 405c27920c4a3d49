"""Limits on bodies, sessions and time, bad requests, and a server that goes down: each with a clear answer."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from tests.serve.environments import CounterSession, Opened, Served, counter, serving, under_way
from tests.support.envs import row
from tests.support.loop import asynchronous, settle


@asynchronous
async def test_a_session_too_many_is_refused_until_one_is_closed() -> None:
    async with serving(counter(), max_sessions=2) as served:
        sessions = [await served.open(number) for number in range(2)]
        assert (await served.ask("GET", "/ready")).body == {"status": "unready", "reason": "full"}
        for path, body in (("/v1/sessions", {"task": {"row": row(2)}}), ("/seed_session", row(2))):
            refused = await served.ask("POST", path, body)
            assert refused.status == 429
            assert refused.headers["retry-after"] == "1"
            assert refused.error["code"] == "too_many_sessions"
            assert refused.error["retryable"] is True
        await sessions[0].close()
        assert (await served.ask("GET", "/ready")).status == 200
        await served.open(3)


@asynchronous
async def test_expired_sessions_make_room() -> None:
    async with serving(counter(), max_sessions=2, session_idle=60) as served:
        for number in range(2):
            await served.open(number)
        served.clock.now += 61
        await served.open(2)
        await settle()
        assert sorted(CounterSession.closed) == ["t0", "t1"]


@asynchronous
async def test_a_body_that_is_too_long_is_not_read() -> None:
    async with serving(counter(), max_body=2000) as served:
        session = await served.open()
        read = 0

        async def endless() -> Any:
            nonlocal read
            while True:
                read += 1000
                yield b" " * 1000

        paths = (
            "/v1/sessions",
            "/seed_session",
            "/aggregate_metrics",
            f"{session.path}/tools/add",
            f"{session.path}/verify",
        )
        for path in paths:
            read = 0
            whole = await served.ask("POST", path, content=b" " * 2001, token=session.token)
            streamed = await served.ask("POST", path, content=endless(), token=session.token)
            for answer in (whole, streamed):
                assert answer.status == 413
                assert answer.error["code"] == "too_large"
            assert read <= 3000


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "task"),
        ({"task": 1}, "task"),
        ({"task": {}}, "task.row"),
        ({"task": {"row": []}}, "task.row"),
        ({"task": {"row": {"responses_create_params": {"input": 1}}}}, "task.row"),
        ({"task": {"row": row(), "task_id": 3}}, "task.task_id"),
        ({"task": {"row": row(), "index": -1}}, "task.index"),
        ({"task": {"row": row()}, "seed": -1}, "seed"),
        ({"task": {"row": row()}, "seed": 1.5}, "seed"),
        ({"task": {"row": row()}, "repeat": True}, "repeat"),
        ({"task": {"row": row()}, "models": []}, "models"),
        ({"task": {"row": row()}, "models": {"judge": 1}}, "models.judge"),
        ({"task": {"row": row()}, "models": {"judge": {}}}, "models.judge.base_url"),
        (
            {"task": {"row": row()}, "models": {"judge": {"base_url": "http://127.0.0.1:1", "token": "é"}}},
            "models.judge.token",
        ),
        ({"task": {"row": row()}, "sead": 1}, "sead"),
    ],
)
@asynchronous
async def test_a_wrong_field_of_an_opening_is_named(body: Any, field: str) -> None:
    async with serving(counter()) as served:
        answer = await served.ask("POST", "/v1/sessions", body)
        assert (answer.status, answer.error["field"], answer.error["code"]) == (422, field, "invalid")


@pytest.mark.parametrize(
    ("part", "body", "field"),
    [
        ("tools/add", {}, "arguments"),
        ("tools/add", {"arguments": "{}", "more": 1}, "more"),
        ("reply", {}, "response"),
        ("reply", {"response": {}}, "response.output"),
        ("reply", {"response": {"output": [1]}}, "response.output.0"),
        ("verify", {}, "trajectory"),
        ("verify", {"trajectory": {"items": []}}, "trajectory.input"),
        ("verify", {"trajectory": {"input": [], "items": [[]]}}, "trajectory.items.0"),
        ("verify", {"trajectory": {"input": [], "items": [], "stop_reason": 1}}, "trajectory.stop_reason"),
        ("verify", {"trajectory": {"input": [], "items": [], "model_calls": [1]}}, "trajectory.model_calls.0"),
    ],
)
@asynchronous
async def test_a_wrong_field_of_a_session_is_named(part: str, body: Any, field: str) -> None:
    async with serving(counter()) as served:
        session = await served.open()
        answer = await served.ask("POST", f"{session.path}/{part}", body, session.token)
        assert (answer.status, answer.error["field"]) == (422, field)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"1", b"\xff", b"null", b"[" * 5000])
@asynchronous
async def test_a_body_that_is_no_object_is_refused(content: bytes) -> None:
    async with serving(counter()) as served:
        session = await served.open()
        for path in ("/v1/sessions", "/seed_session", f"{session.path}/tools/add", f"{session.path}/verify"):
            answer = await served.ask("POST", path, content=content, token=session.token)
            assert (answer.status, answer.error["field"]) == (422, "body")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/sessions", "POST"),
        ("POST", "/health", "GET, HEAD"),
        ("PUT", "/v1/sessions/x", "DELETE"),
        ("GET", "/v1/sessions/x/tools/y", "POST"),
        ("DELETE", "/anything", "POST"),
    ],
)
@asynchronous
async def test_another_method_is_told_which_there_are(method: str, path: str, allowed: str) -> None:
    async with serving(counter()) as served:
        answer = await served.ask(method, path)
        assert (answer.status, answer.headers["allow"]) == (405, allowed)


@asynchronous
async def test_a_server_that_drains_finishes_what_is_under_way_and_takes_nothing_new() -> None:
    async with serving(counter()) as served:
        session = await served.open()
        waiting = await under_way(session.tool("wait"))
        draining = asyncio.create_task(served.app.drain())
        await settle()
        for path, body in (("/v1/sessions", {"task": {"row": row(1)}}), ("/seed_session", row(1))):
            refused = await served.ask("POST", path, body)
            assert (refused.status, refused.error["code"], refused.error["retryable"]) == (503, "draining", True)
            assert "retry-after" in refused.headers
        assert (await served.ask("GET", "/ready")).body == {"status": "unready", "reason": "draining"}
        assert (await served.ask("GET", "/health")).status == 200
        assert not draining.done()
        CounterSession.waiting["t0"].set()
        assert (await waiting).body["output"] == "over"
        assert await draining is True


@asynchronous
async def test_a_drain_is_bounded() -> None:
    async with serving(counter(), drain=0.05) as served:
        session = await served.open()
        waiting = await under_way(session.tool("wait"))
        assert await served.app.drain() is False
        CounterSession.waiting["t0"].set()
        await waiting


@asynchronous
async def test_of_many_sessions_none_is_lost() -> None:
    async with serving(counter(), max_sessions=400) as served:
        sessions: list[Opened] = await asyncio.gather(*(served.open(number) for number in range(400)))
        assert (await served.ask("GET", "/ready")).status == 503
        outputs = await asyncio.gather(
            *(session.tool("add", {"by": number}) for number, session in enumerate(sessions))
        )
        assert [answer.body["output"] for answer in outputs] == [str(number) for number in range(400)]
        closed = await asyncio.gather(*(session.close() for session in sessions))
        assert {answer.status for answer in closed} == {204}
        assert len(CounterSession.closed) == 400


@asynchronous
async def test_the_document_describes_every_route() -> None:
    async with serving(counter(), token="a-token-of-the-server") as served:
        document = (await ask_with(served, "/openapi.json")).body
        assert document["openapi"].startswith("3.1")
        paths = set(document["paths"])
        assert paths == {
            "/",
            "/health",
            "/ready",
            "/openapi.json",
            "/v1/component",
            "/v1/sessions",
            "/v1/sessions/{id}",
            "/v1/sessions/{id}/tools/{name}",
            "/v1/sessions/{id}/answer_calls",
            "/v1/sessions/{id}/reply",
            "/v1/sessions/{id}/verify",
            "/v1/score_group",
            "/v1/tasks",
            "/v1/tools",
            "/seed_session",
            "/verify",
            "/close_session",
            "/reset",
            "/step",
            "/close",
            "/aggregate_metrics",
            "/{tool}",
        }
        assert document["security"] == [{"server": []}]
        named = set(document["components"]["schemas"])
        for part in orjson.dumps(document).decode().split('"#/components/schemas/')[1:]:
            assert part.partition('"')[0] in named


async def ask_with(served: Served, path: str) -> Any:
    return await served.ask("GET", path, token="a-token-of-the-server")
