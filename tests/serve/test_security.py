"""Who may ask what, and what nobody is told."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from gym_core import UsageError
from gym_http.serve.opening import Wanted
from gym_http.serve.settings import require_token
from gym_testing import FakeOpenAI
from tests.serve.environments import CounterSession, Opened, Served, counter, serving
from tests.served.applications import serving as served
from tests.served.wire import Wire
from tests.support.envs import row
from tests.support.loop import asynchronous

TOKEN = "the-token-of-the-server"
SECRET = "sk-a-very-secret-value"


async def opened(served: Served, **fields: Any) -> Opened:
    answer = await served.ask("POST", "/v1/sessions", {"task": {"row": row(**fields)}}, TOKEN)
    assert answer.status == 201
    return Opened(served, answer.body)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/openapi.json"),
        ("GET", "/v1/component"),
        ("GET", "/v1/tasks"),
        ("GET", "/v1/tools"),
        ("POST", "/v1/sessions"),
        ("POST", "/seed_session"),
        ("POST", "/verify"),
        ("POST", "/add"),
        ("POST", "/aggregate_metrics"),
        ("GET", "/no/such/route"),
    ],
)
@asynchronous
async def test_every_route_wants_the_servers_token(method: str, path: str) -> None:
    async with serving(counter(), token=TOKEN) as served:
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": f"Basic {TOKEN}"},
            {"Authorization": "Bearer"},
            {"Authorization": f"Bearer {TOKEN}x"},
            {"Authorization": "Bearer \xff"},
        ):
            answer = await served.ask(
                method, path, headers={name: value.encode("latin-1") for name, value in headers.items()}
            )
            assert answer.status == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert TOKEN not in str(answer.body)
        assert (await served.ask(method, path, token=TOKEN)).status != 401 or path in ("/verify", "/add")


@pytest.mark.parametrize("path", ["/", "/health", "/ready"])
@asynchronous
async def test_whether_the_server_is_there_everybody_may_ask(path: str) -> None:
    async with serving(counter(), token=TOKEN) as served:
        assert (await served.ask("GET", path)).status == 200


@asynchronous
async def test_the_tool_token_opens_tools_and_replies_only() -> None:
    async with serving(counter()) as served:
        session = await served.open()
        assert (await session.tool("add", {"by": 1}, session.tool_token)).status == 200
        assert (await session.reply("x", session.tool_token)).status == 200
        for answer in (await session.verify(token=session.tool_token), await session.close(session.tool_token)):
            assert (answer.status, answer.error["code"]) == (403, "forbidden")
        assert (await session.verify()).status == 200
        assert (await session.tool("add", {"by": 1}, session.token)).body["output"] == "2"


@asynchronous
async def test_no_token_opens_another_session() -> None:
    async with serving(counter(), token=TOKEN) as served:
        mine, other = await opened(served), await opened(served)
        for token in (other.token, other.tool_token, TOKEN, "x", mine.token[:-1], mine.said["id"]):
            for answer in (
                await mine.tool("add", {"by": 1}, token),
                await mine.reply("x", token),
                await mine.verify(token=token),
                await mine.close(token),
            ):
                assert answer.status == 404
        assert (await mine.tool("add", {"by": 1})).body["output"] == "1"


@asynchronous
async def test_a_session_wants_a_token_even_where_the_server_wants_none() -> None:
    async with serving(counter()) as served:
        session = await served.open()
        for method, part in (("POST", "/tools/add"), ("POST", "/reply"), ("POST", "/verify"), ("DELETE", "")):
            assert (await served.ask(method, session.path + part, {})).status == 401


@asynchronous
async def test_an_answer_does_not_tell_whether_a_session_exists() -> None:
    async with serving(counter()) as served:
        open_, closed = await served.open(0), await served.open(1)
        await closed.close()
        answers = []
        for ident in (open_.said["id"], closed.said["id"], "no-such-session"):
            for token in ("", "x", open_.tool_token[:-1]):
                answer = await served.ask("POST", f"/v1/sessions/{ident}/verify", {"trajectory": {}}, token)
                answers.append((token, answer.status, str(answer.body)))
        assert len(set(answers)) == 3


@asynchronous
async def test_a_token_of_an_earlier_process_is_worth_nothing() -> None:
    async with serving(counter()) as served:
        earlier = await served.open()
    async with serving(counter()) as served:
        earlier.served = served
        assert (await earlier.tool("add", {"by": 1})).status == 404


@asynchronous
async def test_hidden_fields_are_in_no_answer_to_a_tool_token() -> None:
    async with serving(counter()) as served:
        session = await served.open(expected_answer="forty-two")
        assert "forty-two" not in str(session.said)
        for answer in (
            await session.tool("add", {"by": 1}),
            await session.tool("add", {}),
            await session.tool("fail"),
            await session.tool("setup"),
            await session.tool("verify"),
            await session.reply("x"),
            await session.verify(token=session.tool_token),
            await served.ask("GET", session.path, token=session.tool_token),
        ):
            assert "forty-two" not in str(answer.body)


class Leaking(CounterSession):
    async def verify(self, trajectory: Any) -> Any:
        raise ValueError(f"the key is {SECRET}")


@asynchronous
async def test_secrets_are_masked_in_errors_and_logs_hold_no_words_of_requests(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(counter(Leaking), secrets=(SECRET,), token=TOKEN) as served:
        session = await opened(served, expected_answer="forty-two")
        answer = await session.verify({"content": "what the model said"})
        assert answer.status == 500
        assert answer.error["class"] == "ValueError"
        assert answer.error["message"] == "the key is ***"
        assert SECRET not in str(answer.body)
        assert "verify answered 500: ValueError" in caplog.text
        for word in (SECRET, TOKEN, session.token, session.tool_token, "forty-two", "what the model said"):
            assert word not in "".join(
                record.getMessage() for record in caplog.records if record.name.startswith(("gym", "uvicorn"))
            )


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8000"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Host": "localhost:8000", "Origin": "http://localhost:8000"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "http://localhost:3000"}, 403),
        ({"Host": "127.0.0.1:8000", "Origin": "http://127.0.0.1:8001"}, 403),
        ({"Host": "localhost:8000", "Origin": "https://localhost:8000"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "gym.example.com"}, 403),
        ({"Host": "127.0.0.1.example.com"}, 403),
        ({"Origin": "https://example.com"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
@asynchronous
async def test_pages_of_other_sites_cannot_use_a_server_on_loopback(headers: dict[str, str], status: int) -> None:
    async with serving(counter(), local=True) as served:
        assert (await served.ask("GET", "/v1/tools", headers=headers)).status == status
        assert (await served.ask("GET", "/health", headers=headers)).status == 200


@asynchronous
async def test_a_server_asks_no_hosts_for_others() -> None:
    async with serving(counter()) as served:
        models = {"judge": {"base_url": "http://10.1.2.3/v1", "token": "x"}}
        answer = await served.ask("POST", "/v1/sessions", {"task": {"row": row()}, "models": models})
        assert (answer.status, answer.error["field"]) == (403, "models.judge.base_url")


def test_an_address_that_others_reach_needs_a_token() -> None:
    for host in ("127.0.0.1", "localhost", "::1"):
        require_token(host, "")
    for host in ("0.0.0.0", "::", "192.168.1.1", "example.com", ""):
        require_token(host, TOKEN)
        with pytest.raises(UsageError, match="needs a token"):
            require_token(host, "")


DOING = {
    "env": ["/v1/sessions", "/seed_session", "/verify", "/get_weather", "/aggregate_metrics"],
    "model": ["/v1/responses", "/v1/chat/completions"],
    "agent": ["/run", "/v1/responses", "/v1/episodes", "/aggregate_metrics"],
}
REFUSED = [
    (["Content-Type: text/plain"], 415),
    (["Content-Type: text/plain; application/json"], 415),
    (["Content-Type: application/x-www-form-urlencoded"], 415),
    (["Content-Type: multipart/form-data; boundary=x"], 415),
    (["Content-Type:"], 415),
    (["Content-Type: application/json", "Content-Type: text/plain"], 415),
    (["Content-Type: text/plain", "Content-Type: application/json"], 415),
    (["Origin: http://127.0.0.1:{other}"], 403),
    (["Origin: http://localhost:{port}"], 403),
    (["Origin: https://127.0.0.1:{port}"], 403),
    (["Origin: null"], 403),
    (["Origin:"], 403),
    (["Sec-Fetch-Site: same-site"], 403),
    (["Sec-Fetch-Site: cross-site", "Origin: http://127.0.0.1:{port}"], 403),
    (["X-Forwarded-For: 192.0.2.1"], 401),
    (["Forwarded: for=192.0.2.1"], 401),
    (["Via: 1.1 example"], 401),
    (["X-Real-IP: 127.0.0.1"], 401),
    (["X-Forwarded-Prefix: /gym"], 401),
    (["X-Original-Host: gym.example.com"], 401),
    (["X-ProxyContextPath: /proxy/8000"], 401),
    (["CF-Ray: 1-AMS"], 401),
    (["Tailscale-User-Login: ann@example.com"], 401),
]


@contextlib.contextmanager
def weather(kind: str, **settings: Any) -> Iterator[tuple[Wire, FakeOpenAI]]:
    """A server of each kind, as `gym serve` makes it."""
    with FakeOpenAI("Hello.") as fake:
        parts: dict[str, Any] = {
            "env": {"env": "simple_weather", "mcp": True},
            "model": {"models": {"policy": "openai:m"}, "model_options": {"policy": {"base_url": fake.base_url}}},
        }
        parts["agent"] = {**parts["model"], "env": "simple_weather", "agent": "simple_agent"}
        with served(Wanted(**parts[kind]), **settings) as (url, _):
            yield Wire(url), fake


@pytest.mark.parametrize("kind", DOING)
def test_nothing_that_a_page_can_send_does_anything(kind: str) -> None:
    with weather(kind) as (wire, fake):
        asked = len(fake.received)
        port = wire.address[1]
        for path in DOING[kind]:
            for headers, status in REFUSED:
                given = [header.format(port=port, other=port + 1) for header in headers]
                answer = wire.ask("POST", path, b'{"input": "x"}', *given)
                assert (answer.status, path, given) == (status, path, given)
                assert answer.error["code"]
                assert not {"set-cookie", "access-control-allow-origin"} & answer.headers.keys()
            origin = f"Origin: http://127.0.0.1:{port + 1}"
            preflight = wire.ask("OPTIONS", path, None, origin, "Access-Control-Request-Method: POST")
            assert preflight.status == 403
            assert not any(name.startswith("access-control-") for name in preflight.headers)
        assert len(fake.received) == asked


@pytest.mark.parametrize("kind", DOING)
def test_with_a_token_neither_pages_nor_proxies_matter(kind: str) -> None:
    with weather(kind, token=TOKEN) as (wire, _):
        headers = (f"Authorization: Bearer {TOKEN}", "Via: 1.1 example", "Origin: https://example.com")
        assert wire.ask("GET", "/v1/component", None, *headers, host="gym.example.com").status == 200
        for path in DOING[kind]:
            assert wire.ask("POST", path, b"{}", *headers[1:]).status == 401


def test_the_tools_over_mcp_want_the_sessions_own_token_of_a_page() -> None:
    with weather("env") as (wire, _):
        opened = wire.ask("POST", "/v1/sessions", {"task": {"row": {**row(), "cities": ["Paris"]}}}).json
        for headers in ([], ["Content-Type: text/plain"], ["Cookie: gym_session=x"], ["Origin: https://example.com"]):
            answer = wire.ask("POST", f"/mcp/{opened['id']}", b"{}", *headers)
            assert (answer.status, answer.error["code"]) == (401, "unauthorized")


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no socket files")
@asynchronous
async def test_behind_a_proxy_a_socket_file_is_not_trusted_either() -> None:
    async with serving(counter()) as served:
        for name in ("X-Forwarded-For", "Forwarded", "Via"):
            answer = await served.ask("GET", "/v1/tools", headers={name: "192.0.2.1"})
            assert (answer.status, answer.error["code"]) == (401, "unauthorized")
            assert (await served.ask("GET", "/health", headers={name: "192.0.2.1"})).status == 200
