"""A served environment for MCP clients: one session, its tools, and nothing else."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated, Any

import httpx2
import pytest
from mcp import MCPError
from pydantic import Field

from gym_core import Done, Session, Task, Trajectory, UsageError, tool
from gym_core.errors import SessionError
from gym_core.spi import Deadlines, Redactor
from gym_http.serve.listener import Listener
from gym_http.serve.opening import Wanted, open_application
from gym_http.serve.settings import ServeSettings
from tests.docs.pages import ROOT, blocks
from tests.mcp.serving import NOTHING_HAPPENED, TOKEN, Opened, Served, served
from tests.support.envs import env

SECRET = "sk-secret-of-the-environment"
PICTURE = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}


class CounterSession(Session[Any]):
    """A counter, and tools that do what tools should not."""

    started: asyncio.Event
    cancelled: asyncio.Event

    def setup(self) -> None:
        self.count = self.task["start"]

    @tool
    def increment(self, by: Annotated[int, Field(ge=1)]) -> str:
        """Add to the counter.

        Args:
            by: How much.
        """
        self.count += by
        return str(self.count)

    @tool
    def submit(self) -> Done:
        """End the episode."""
        return Done("Submitted.", reason="submitted")

    @tool
    def draw(self) -> list[dict[str, Any]]:
        """Draw the counter."""
        return [{"type": "input_text", "text": str(self.count)}, PICTURE]

    @tool
    def stumble(self) -> str:
        """Raise."""
        raise ValueError("over a stone")

    @tool
    def collapse(self) -> str:
        """Fail as an environment."""
        raise SessionError(f"the key {SECRET} is refused")

    @tool
    async def wait(self) -> str:
        """Wait for ever."""
        type(self).started.set()
        try:
            await asyncio.Event().wait()
        finally:
            type(self).cancelled.set()
        return ""

    def verify(self, trajectory: Trajectory) -> float:
        return float(self.count)


def task(start: int = 3) -> Task:
    return Task.ask("Count.", task_id=f"from-{start}", start=start)


def during(check: Callable[[Served], Coroutine[Any, Any, None]], **settings: Any) -> None:
    """Run a check while the counter is served."""

    async def main() -> None:
        CounterSession.started, CounterSession.cancelled = asyncio.Event(), asyncio.Event()
        async with served(env(CounterSession), secrets=(SECRET,), **settings) as server:
            await check(server)

    asyncio.run(asyncio.wait_for(main(), 240))


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_client_plays_a_session(mode: str) -> None:
    async def check(server: Served) -> None:
        opened = await server.open(task())
        async with server.client(opened, mode) as client:
            assert client.server_info is not None
            assert (client.server_info.name, client.server_info.version) == ("served", "1.2")
            tools = (await client.list_tools()).tools
            assert [(tool.name, tool.description, tool.input_schema) for tool in tools] == [
                (tool["name"], tool["description"], tool["parameters"]) for tool in opened.tools
            ]
            result = await client.call_tool("increment", {"by": 4})
            assert (result.content[0].text, result.is_error) == ("7", False)  # type: ignore[union-attr]
            text, image = (await client.call_tool("draw")).content
            assert (text.type, image.type) == ("text", "image")
            assert image.data == "AAAA"  # type: ignore[union-attr]
            ended = await client.call_tool("submit")
            assert ended.content[0].text == "Submitted."  # type: ignore[union-attr]
            assert ended.meta is not None
            assert ended.meta["gym/done"] == {"reason": "submitted"}
        assert await server.verdict(opened) == 7

    during(check)


@pytest.mark.parametrize(
    ("name", "arguments", "kind", "words"),
    [
        ("increment", {"by": 0}, "bad_arguments", "greater than or equal to 1"),
        ("increment", {}, "bad_arguments", "Field required"),
        ("decrement", {"by": 1}, "unknown_tool", "there is no tool `decrement`"),
        ("verify", {}, "unknown_tool", "there is no tool `verify`"),
        ("stumble", {}, "raised", "ValueError: over a stone"),
    ],
)
def test_a_bad_call_is_a_result_that_says_so(name: str, arguments: dict[str, Any], kind: str, words: str) -> None:
    async def check(server: Served) -> None:
        opened = await server.open(task())
        async with server.client(opened) as client:
            result = await client.call_tool(name, arguments)
            assert result.is_error
            assert result.meta is not None
            assert result.meta["gym/error"] == kind
            assert words in json.loads(result.content[0].text)["error"]  # type: ignore[union-attr]
        assert await server.verdict(opened) == 3

    during(check)


def test_a_failure_of_the_environment_is_an_error_of_the_protocol() -> None:
    async def check(server: Served) -> None:
        async with server.client(await server.open(task())) as client:
            with pytest.raises(MCPError, match=r"the key .* is refused") as failed:
                await client.call_tool("collapse")
            assert SECRET not in f"{failed.value.message} {failed.value.data}"
            assert failed.value.data["class"] == "SessionError"
            with pytest.raises(MCPError, match=r"tool did not end within 0\.2 s") as late:
                await client.call_tool("wait")
            assert late.value.data["code"] == "timeout"
            assert not (await client.call_tool("increment", {"by": 1})).is_error

    during(check, deadlines=Deadlines(tool=0.2))


def test_sessions_are_apart() -> None:
    async def play(server: Served, opened: Opened, by: int) -> None:
        async with server.client(opened) as client:
            for _ in range(5):
                await client.call_tool("increment", {"by": by})

    async def check(server: Served) -> None:
        sessions = [await server.open(task(start=start)) for start in range(8)]
        await asyncio.gather(*(play(server, opened, by + 1) for by, opened in enumerate(sessions)))
        assert [await server.verdict(opened) for opened in sessions] == [6 * start + 5 for start in range(8)]

    during(check)


def test_a_token_opens_its_own_session_and_no_more() -> None:
    async def check(server: Served) -> None:
        one, other = await server.open(task()), await server.open(task())
        wrong = ["", TOKEN, other.tool_token, other.token, one.ident, one.tool_token[:-1], "gst_", "ä"]
        for token in wrong:
            answer = await server.post_mcp(one.ident, token)
            assert answer.status_code == 401, token
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.json()["error"]["code"] == "unauthorized"
        strange = await server.post_mcp("no-such-session", one.tool_token)
        assert (strange.status_code, strange.json()) == (401, answer.json())  # nobody learns which sessions there are
        assert (await server.post_mcp(one.ident, one.tool_token)).status_code == 200
        assert (await server.request("GET", f"/mcp/{one.ident}", TOKEN)).status_code == 405
        verify = f"/v1/sessions/{one.ident}/verify"
        assert (await server.request("POST", verify, one.tool_token, NOTHING_HAPPENED)).status_code == 403

    during(check)


def test_a_session_that_is_gone_says_so() -> None:
    async def check(server: Served) -> None:
        opened = await server.open(task())
        async with server.client(opened) as client:
            calling = asyncio.create_task(client.call_tool("wait"))
            await CounterSession.started.wait()
            await server.request("DELETE", f"/v1/sessions/{opened.ident}", opened.token)
            with pytest.raises(MCPError, match="the session was closed"):
                await calling
        answer = await server.post_mcp(opened.ident, opened.tool_token)
        assert (answer.status_code, answer.json()["error"]["code"]) == (410, "gone")

    during(check)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_client_that_goes_away_ends_its_call(mode: str) -> None:
    async def check(server: Served) -> None:
        opened = await server.open(task())
        async with server.client(opened, mode) as client:
            calling = asyncio.create_task(client.call_tool("wait"))
            await CounterSession.started.wait()
            calling.cancel()
            if mode == "auto":  # here to cancel is to close the connection; in the older protocol it is a message
                await CounterSession.cancelled.wait()
        await CounterSession.cancelled.wait()
        async with server.client(opened, mode) as client:
            assert not (await client.call_tool("increment", {"by": 1})).is_error

    during(check)


def test_a_call_counts_as_use_of_the_session() -> None:
    async def check(server: Served) -> None:
        opened = await server.open(task())
        served_session = server.sessions.find(opened.ident)
        served_session.idle_due = before = server.sessions.time() + 1
        async with server.client(opened) as client:
            await client.call_tool("increment", {"by": 1})
        assert served_session.idle_due > before + 1000

    during(check)


@pytest.mark.slow
def test_sessions_that_wait_take_no_task() -> None:
    async def check(server: Served) -> None:
        opened = [await server.open(task()) for _ in range(20)]
        for session in opened:
            async with server.client(session) as client:
                await client.call_tool("increment", {"by": 1})
        assert len(asyncio.all_tasks()) < len(opened)  # the server's own, and those of the last requests

    during(check)


def test_a_body_that_is_too_long_or_no_json_is_refused() -> None:
    async def check(server: Served) -> None:
        opened = await server.open(task())
        path = f"{server.url}/mcp/{opened.ident}"
        headers = {"Authorization": f"Bearer {opened.tool_token}", "Content-Type": "application/json"}
        async with httpx2.AsyncClient(headers={**headers, "Accept": "application/json"}) as http:
            assert (await http.post(path, content=b" " * 5000)).status_code == 413
            assert (await http.post(path, content=b"{")).status_code == 400

    during(check, max_body=4096)


@pytest.mark.parametrize(
    ("before", "by"),
    [(b"", rb'"\ud83d"'), (b"", b'"\xff"'), (b"\xef\xbb\xbf", b'"x"')],
    ids=["half a pair", "no UTF-8", "a byte order mark"],
)
def test_a_body_that_is_json_as_the_world_writes_it_is_read(before: bytes, by: bytes) -> None:
    called = b'"method": "tools/call", "params": {"name": "increment", "arguments": {"by": %b}}' % by

    async def check(server: Served) -> None:
        opened = await server.open(task())
        headers = {"Authorization": f"Bearer {opened.tool_token}", "Content-Type": "application/json"}
        async with httpx2.AsyncClient(headers={**headers, "Accept": "application/json"}) as http:
            body = before + b'{"jsonrpc": "2.0", "id": 1, %b}' % called
            answer = await http.post(f"{server.url}/mcp/{opened.ident}", content=body)
        assert (answer.status_code, answer.json()["id"]) == (200, 1)
        assert answer.json()["result"]["isError"]

    during(check)


# As `gym serve --mcp` does it


@asynccontextmanager
async def serving(name: str) -> AsyncIterator[str]:
    """The URL of an installed environment."""
    async with AsyncExitStack() as stack:
        wanted = Wanted(env=name, mcp=True)
        app, _ = await open_application(wanted, ServeSettings(local=True), stack, Redactor())
        async with Listener(app) as listener:
            yield listener.url


def test_the_client_of_the_documentation_does_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    page = ROOT / "docs" / "how-to" / "mcp.md"
    (code,) = (block.text for block in blocks(page) if "SERVER = " in block.text)
    namespace: dict[str, Any] = {"__name__": "page"}
    exec(compile(code.replace("asyncio.run(main())", ""), str(page), "exec", dont_inherit=True), namespace)

    async def main() -> None:
        async with serving("stateful_counter") as url:
            namespace["SERVER"] = url
            await namespace["main"]()

    asyncio.run(asyncio.wait_for(main(), 240))
    tools, submitted, reward = capsys.readouterr().out.splitlines()
    assert "'increment'" in tools
    assert submitted == "Submitted. {'reason': 'session_done'}"
    assert reward == "0.0"


def test_without_the_package_the_option_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "mcp"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mcp", None)

    async def main() -> None:
        async with serving("stateful_counter"):
            pytest.fail("it is served")

    with pytest.raises(UsageError, match="gym-mcp"):
        asyncio.run(asyncio.wait_for(main(), 240))
