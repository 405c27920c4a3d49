"""A served environment with its MCP endpoint, and clients of both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from starlette.routing import BaseRoute

from gym_core import ResourceServer, Task
from gym_core.spi import Deadlines, Redactor
from gym_http.protocol.wire import task_to_wire
from gym_http.serve.environment.mcp import SessionsOverMCP
from gym_http.serve.environment.opening import open_environment
from gym_http.serve.environment.sessions import Sessions
from gym_http.serve.listener import Listener
from gym_http.serve.settings import ServeSettings

TOKEN = "the-server's-own-token"
NOTHING_HAPPENED: dict[str, Any] = {"trajectory": {"input": [], "items": []}}


@dataclass
class Opened:
    """An open session: what `POST /v1/sessions` answered."""

    ident: str
    token: str
    tool_token: str
    tools: list[dict[str, Any]]


class Served:
    """The environment behind its URL. `sessions`: those that are open."""

    def __init__(self, url: str, http: httpx2.AsyncClient, sessions: Sessions) -> None:
        self.url = url
        self.http = http
        self.sessions = sessions

    async def open(self, task: Task) -> Opened:
        """A session for a task."""
        answer = await self.request("POST", "/v1/sessions", TOKEN, {"task": task_to_wire(task)})
        assert answer.status_code == 201, answer.text
        body = answer.json()
        return Opened(body["id"], body["token"], body["tool_token"], body["tools"])

    async def request(self, method: str, path: str, token: str, body: Any = None) -> httpx2.Response:
        """Any request."""
        headers = {b"Authorization": f"Bearer {token}".encode("latin-1")} if token else {}
        return await self.http.request(method, self.url + path, json=body, headers=headers)

    async def post_mcp(self, ident: str, token: str) -> httpx2.Response:
        """A list of tools asked for by hand."""
        return await self.request("POST", f"/mcp/{ident}", token, {"jsonrpc": "2.0", "id": 1, "method": "tools/list"})

    async def verdict(self, opened: Opened) -> float:
        """The reward of a session as it is now."""
        answer = await self.request("POST", f"/v1/sessions/{opened.ident}/verify", opened.token, NOTHING_HAPPENED)
        return float(answer.json()["reward"])

    @asynccontextmanager
    async def client(self, opened: Opened, mode: str = "auto") -> AsyncIterator[Client]:
        """An MCP client with the tool token of a session."""
        async with AsyncExitStack() as stack:
            headers = {"Authorization": f"Bearer {opened.tool_token}"}
            http = await stack.enter_async_context(httpx2.AsyncClient(headers=headers))
            transport = streamable_http_client(f"{self.url}/mcp/{opened.ident}", http_client=http)
            yield await stack.enter_async_context(Client(transport, mode=mode, cache=None))


@asynccontextmanager
async def served(
    server: ResourceServer,
    *,
    token: str = TOKEN,
    deadlines: Deadlines | None = None,
    secrets: tuple[str, ...] = (),
    **settings: Any,
) -> AsyncIterator[Served]:
    """Serve an environment in the event loop of the test."""
    chosen = ServeSettings(token=token, deadlines=deadlines or Deadlines(), **settings)
    redactor = Redactor(secrets)
    made: list[tuple[Sessions, SessionsOverMCP]] = []

    def mcp_routes(sessions: Sessions) -> list[BaseRoute]:
        endpoint = SessionsOverMCP(sessions, name="served", version="1.2", redactor=redactor)
        made.append((sessions, endpoint))
        return endpoint.routes()

    async with AsyncExitStack() as stack:
        about = {"name": "served", "gym_core": "0"}
        app = await open_environment(server, chosen, stack, describe=about, redactor=redactor, more=mcp_routes)
        ((sessions, endpoint),) = made
        await stack.enter_async_context(endpoint.lifespan())
        listener = await stack.enter_async_context(Listener(app))
        http = await stack.enter_async_context(httpx2.AsyncClient())
        yield Served(listener.url, http, sessions)
