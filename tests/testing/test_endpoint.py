"""The scripted endpoint, looked at with clients that know nothing of it."""

from __future__ import annotations

import asyncio
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from gym_testing import FakeOpenAI, Received, Reply, answer, call, faults, refuse, say, think
from tests.support.loop import asynchronous

RESPONSES, CHAT = "/responses", "/chat/completions"


def client(server: FakeOpenAI, **options: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.base_url, trust_env=False, timeout=30.0, **options)


async def ask(server: FakeOpenAI, path: str = RESPONSES, **body: Any) -> httpx.Response:
    async with client(server) as http:
        return await http.post(path, json={"model": "m", **body})


@asynchronous
async def test_turns_come_in_order_and_the_last_one_again() -> None:
    async with FakeOpenAI("one", answer("two", "three"), [say("four")]) as server:
        texts = []
        for _ in range(4):
            output = (await ask(server)).json()["output"]
            texts.append([part["text"] for item in output for part in item["content"]])
    assert texts == [["one"], ["two", "three"], ["four"], ["four"]]


@asynchronous
async def test_a_script_may_be_a_function_of_the_request() -> None:
    async def turn(request: Received) -> str:
        await asyncio.sleep(0)
        return str(request.body["input"]) + " " + request.headers["x-own"]

    async with FakeOpenAI(turn) as server, client(server, headers={"X-Own": "here"}) as http:
        reply = await http.post(RESPONSES, json={"input": "Hi"})
    assert reply.json()["output"][0]["content"][0]["text"] == "Hi here"


@asynchronous
async def test_a_request_tells_its_conversation_in_both_dialects() -> None:
    async with FakeOpenAI() as server:
        await ask(server, RESPONSES, input=[{"type": "function_call_output", "call_id": "c", "output": "rain"}])
        await ask(server, CHAT, messages=[{"role": "tool", "tool_call_id": "c", "content": "rain"}])
        await ask(server, RESPONSES, input="Hi")
    assert [request.tool_outputs for request in server.received] == [["rain"], ["rain"], []]
    assert server.received[2].items == [{"role": "user", "content": "Hi"}]
    assert [request.number for request in server.received] == [0, 1, 2]


@asynchronous
async def test_an_answer_in_the_chat_dialect() -> None:
    items = [think("Hm."), say("I look."), call("look", city="Oslo"), call("look", "{oops", call_id="c2")]
    async with FakeOpenAI(
        answer(*items), answer(refuse("No.")), answer("Ha", incomplete="max_output_tokens")
    ) as server:
        first, second, third = [(await ask(server, CHAT)).json() for _ in range(3)]
    message = first["choices"][0]["message"]
    assert message["reasoning_content"] == "Hm."
    assert message["content"] == "I look."
    assert [made["function"] for made in message["tool_calls"]] == [
        {"name": "look", "arguments": '{"city":"Oslo"}'},
        {"name": "look", "arguments": "{oops"},
    ]
    assert first["choices"][0]["finish_reason"] == "tool_calls"
    assert first["usage"]["prompt_tokens"] == 10
    assert first["usage"]["completion_tokens_details"] == {"reasoning_tokens": 0}
    assert second["choices"][0]["message"]["refusal"] == "No."
    assert third["choices"][0]["finish_reason"] == "length"


@asynchronous
async def test_an_answer_in_the_responses_dialect() -> None:
    unknown = {"type": "telepathy", "waves": [1, 2]}
    async with FakeOpenAI(answer(unknown, incomplete="content_filter", usage=None, fields={"mood": "good"})) as server:
        body = (await ask(server)).json()
    assert body["output"] == [unknown]
    assert body["status"] == "incomplete"
    assert body["incomplete_details"] == {"reason": "content_filter"}
    assert body["usage"] is None
    assert body["mood"] == "good"
    assert body["model"] == "m"


@asynchronous
async def test_models_keys_and_paths() -> None:
    async with FakeOpenAI(models=["a", "b"], api_key="right") as server:
        async with client(server, headers={"Authorization": "Bearer right"}) as http:
            assert [model["id"] for model in (await http.get("/models")).json()["data"]] == ["a", "b"]
            assert (await http.post("/nothing", json={})).status_code == 404
            server.models_reply = faults.error(404)
            assert (await http.get("/models")).status_code == 404
        refused = await ask(server)
    assert refused.status_code == 401
    assert refused.json()["error"]["code"] == "invalid_api_key"
    assert server.listed == 2
    assert not server.received


@pytest.mark.parametrize(
    ("reply", "status", "code"),
    [
        (faults.wrong_key(), 401, "invalid_api_key"),
        (faults.wrong_key(403), 403, "invalid_api_key"),
        (faults.model_not_found(), 404, "model_not_found"),
        (faults.rate_limited(), 429, "rate_limit_exceeded"),
        (faults.no_quota(), 429, "insufficient_quota"),
        (faults.server_error(529), 529, None),
        (faults.bad_request(), 400, None),
        (faults.context_length(), 400, "context_length_exceeded"),
        (faults.content_filter(), 400, "content_filter"),
    ],
    ids=str,
)
def test_errors_have_their_status_and_code(reply: Reply, status: int, code: str | None) -> None:
    with FakeOpenAI(reply) as server:
        received = httpx.post(f"{server.base_url}/responses", json={}, trust_env=False)
    assert (received.status_code, received.json()["error"]["code"]) == (status, code)


@asynchronous
async def test_rate_limits_say_when_to_come_back() -> None:
    asked = [
        faults.rate_limited(retry_after=1.5),
        faults.rate_limited(in_seconds=20),
        faults.rate_limited(retry_after_ms=250),
    ]
    async with FakeOpenAI(*asked) as server:
        seconds, date, milliseconds = [(await ask(server)).headers for _ in range(3)]
    assert seconds["retry-after"] == "1.5"
    assert (parsedate_to_datetime(date["retry-after"]) - parsedate_to_datetime(date["date"])).total_seconds() == 20
    assert milliseconds["retry-after-ms"] == "250"


@asynchronous
async def test_bodies_that_are_no_answer() -> None:
    async with FakeOpenAI(
        faults.html(404), faults.broken_json(), faults.wrong_shape(), faults.huge(3_000_000), faults.failed()
    ) as server:
        page, broken, shape, huge, failed = [await ask(server) for _ in range(5)]
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert page.text.startswith("<!DOCTYPE html>")
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        broken.json()
    assert "output" not in shape.json()
    assert len(huge.json()["output"][0]["content"][0]["text"]) == 3_000_000
    assert failed.json()["status"] == "failed"


@pytest.mark.parametrize("fault", [faults.drop_before(), faults.drop_inside(), faults.wrong_length(10)], ids=repr)
@asynchronous
async def test_a_connection_that_is_closed_too_soon(fault: Reply) -> None:
    async with FakeOpenAI(fault, "done") as server:
        with pytest.raises(httpx.TransportError):
            await ask(server)
        assert (await ask(server)).status_code == 200
    assert server.cancelled == 0  # it was not the client who left


@asynchronous
async def test_a_connection_that_is_closed_after_a_whole_reply() -> None:
    async with FakeOpenAI(faults.drop_after(), "done") as server, client(server) as http:
        assert (await http.post(RESPONSES, json={})).status_code == 200
        await server.until(lambda: server.in_flight == 0)
        assert (await http.post(RESPONSES, json={})).status_code == 200
    assert server.connections == 2
    assert server.cancelled == 0


@asynchronous
async def test_bytes_that_are_left_over() -> None:
    async with FakeOpenAI(faults.wrong_length(-5)) as server:
        with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
            (await ask(server)).json()


@pytest.mark.parametrize("fault", [faults.hang(), faults.slow(seconds=60)], ids=repr)
@asynchronous
async def test_a_client_that_leaves_is_noticed(fault: Reply) -> None:
    async with FakeOpenAI(fault) as server:
        asking = asyncio.create_task(ask(server))
        await server.wait_received(1)
        assert server.in_flight == 1
        asking.cancel()
        await server.wait_cancelled(1)
        await server.until(lambda: server.in_flight == 0)
    assert server.received[0].cancelled


@asynchronous
async def test_a_slow_body_comes_whole() -> None:
    async with FakeOpenAI(faults.slow(answer("take your time"))) as server:
        assert "take your time" in (await ask(server)).text


@asynchronous
async def test_waiting_for_what_does_not_come_tells_what_was_seen() -> None:
    async with FakeOpenAI() as server:
        await ask(server)
        with pytest.raises(TimeoutError, match=r"2 closed calls; seen: 1 calls, 0 in flight, 0 closed"):
            await server.wait_cancelled(2, timeout=0.01)


@asynchronous
async def test_open_calls_are_counted() -> None:
    release = asyncio.Event()

    async def turn(request: Received) -> str:
        await release.wait()
        return "done"

    async with FakeOpenAI(turn) as server:
        asking = [asyncio.create_task(ask(server)) for _ in range(5)]
        await server.wait_received(5)
        release.set()
        await asyncio.gather(*asking)
    assert server.peak == 5
    assert sorted(request.in_flight for request in server.received) == [1, 2, 3, 4, 5]
    assert server.in_flight == 0


@asynchronous
async def test_it_can_go_down_and_come_back() -> None:
    async with FakeOpenAI(faults.hang(), "done") as server:
        asking = asyncio.create_task(ask(server))
        await server.wait_received(1)
        await server.go_down()
        with pytest.raises(httpx.TransportError):
            await asking
        with pytest.raises(httpx.ConnectError):
            await ask(server)
        await server.come_back()
        assert (await ask(server)).status_code == 200


@asynchronous
async def test_a_script_that_raises_is_the_tests_failure() -> None:
    def turn(request: Received) -> str:
        raise AssertionError("not this")

    with pytest.raises(AssertionError, match="not this"):
        async with FakeOpenAI(turn) as server:
            assert (await ask(server)).status_code == 500


def test_in_a_thread_it_serves_clients_that_block() -> None:
    with FakeOpenAI("one", faults.hang()) as server:
        url = f"{server.base_url}/responses"
        assert httpx.post(url, json={}, trust_env=False).status_code == 200
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(url, json={}, trust_env=False, timeout=0.05)
        asyncio.run(server.wait_cancelled(1))
    assert len(server.received) == 2


@asynchronous
async def test_requests_of_one_connection_and_large_ones() -> None:
    async with FakeOpenAI() as server, client(server) as http:
        for size in (10, 3_000_000, 10):
            assert (await http.post(RESPONSES, json={"input": "x" * size})).status_code == 200
    assert [len(request.body["input"]) for request in server.received] == [10, 3_000_000, 10]
    assert server.connections == 1


@asynchronous
async def test_a_chunked_request_is_refused() -> None:
    async def pieces() -> Any:
        yield b"{}"

    async with FakeOpenAI() as server, client(server) as http:
        try:
            status = (await http.post(RESPONSES, content=pieces())).status_code
        except httpx.TransportError:
            status = 411
    assert status == 411
