"""Environments behind the application that serves them, asked in process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from gym_core import Done, ModelBackend, ResourceServer, Session, tool
from gym_core.spi import Redactor
from gym_http.serve.application import Application
from gym_http.serve.environment.opening import open_environment
from gym_http.serve.settings import ServeSettings
from tests.support.clock import FakeClock
from tests.support.envs import PlainSession, row

DESCRIBED = {"name": "tiny", "doc": "", "options": {}, "options_schema": {}, "gym_core": "0"}


class CounterSession(PlainSession):
    """Counts, waits on demand, and remembers that it was closed."""

    closed: list[str] = []
    waiting: dict[str, asyncio.Event] = {}
    entered: dict[str, asyncio.Event] = {}

    def setup(self) -> Any:
        self.count = self.task.get("start", 0)
        return [{"role": "user", "content": "Begin."}] if self.task.get("observed") else None

    @tool
    def add(self, by: int) -> str:
        """Add to the counter."""
        self.count += by
        return str(self.count)

    @tool
    async def wait(self) -> str:
        """Wait until the test says so."""
        await self.until_told()
        return "over"

    @tool
    def fail(self) -> str:
        """Fail."""
        raise ValueError("no luck")

    @tool
    def stop(self) -> Done:
        """End the episode."""
        return Done("that was it", "won")

    async def until_told(self) -> None:
        self.entered.setdefault(self.task.task_id, asyncio.Event()).set()
        await self.waiting.setdefault(self.task.task_id, asyncio.Event()).wait()

    def reply(self, response: Any) -> Any:
        text = response.output_text
        return Done(reason="bye") if text == "bye" else [{"role": "user", "content": f"You said {text}."}]

    async def verify(self, trajectory: Any) -> Any:
        if self.task.get("slow"):
            await self.until_told()
        return float(self.count + len(trajectory.items))

    def close(self) -> None:
        self.closed.append(self.task.task_id)


@dataclass
class Answer:
    """An answer; `body`: its JSON, or its text."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def error(self) -> dict[str, Any]:
        described: dict[str, Any] = self.body["error"]
        return described


class Served:
    """An environment that is served, and a way to ask it."""

    def __init__(self, app: Application, client: httpx.AsyncClient, clock: FakeClock) -> None:
        self.app = app
        self.client = client
        self.clock = clock

    async def ask(self, method: str, path: str, body: Any = None, token: str = "", **options: Any) -> Answer:
        headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **options.pop("headers", {})}
        if body is not None:
            options["json"] = body
        reply = await self.client.request(method, path, headers=headers, **options)
        is_json = reply.headers.get("content-type", "").startswith("application/json")
        return Answer(reply.status_code, reply.json() if is_json else reply.text, reply.headers)

    async def open(self, number: int = 0, **fields: Any) -> Opened:
        answer = await self.ask("POST", "/v1/sessions", {"task": {"row": row(number, **fields)}})
        assert answer.status == 201, answer.body
        return Opened(self, answer.body)


class Opened:
    """An open session as its owner has it."""

    def __init__(self, served: Served, said: dict[str, Any]) -> None:
        self.served = served
        self.said = said
        self.path = f"/v1/sessions/{said['id']}"
        self.token: str = said["token"]
        self.tool_token: str = said["tool_token"]

    async def tool(self, name: str, arguments: Any = "{}", token: str = "") -> Answer:
        path = f"{self.path}/tools/{name}"
        return await self.served.ask("POST", path, {"arguments": arguments}, token or self.tool_token)

    async def reply(self, text: str, token: str = "") -> Answer:
        message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
        body = {"response": {"output": [message]}}
        return await self.served.ask("POST", f"{self.path}/reply", body, token or self.tool_token)

    async def verify(self, *items: Any, token: str = "") -> Answer:
        body = {"trajectory": {"input": [], "items": list(items)}}
        return await self.served.ask("POST", f"{self.path}/verify", body, token or self.token)

    async def close(self, token: str = "") -> Answer:
        return await self.served.ask("DELETE", self.path, token=token or self.token)


async def under_way(call: Any, task_id: str = "t0") -> asyncio.Task[Any]:
    """Begin a call that waits inside the environment."""
    CounterSession.entered.setdefault(task_id, asyncio.Event()).clear()
    calling = asyncio.create_task(call)
    await CounterSession.entered[task_id].wait()
    return calling


@asynccontextmanager
async def serving(
    server: ResourceServer,
    *,
    models: Mapping[str, ModelBackend] | None = None,
    secrets: tuple[str, ...] = (),
    **settings: Any,
) -> AsyncIterator[Served]:
    """Serve an environment; `settings` are those of `ServeSettings`."""
    clock = FakeClock()
    CounterSession.closed.clear()
    CounterSession.waiting.clear()
    CounterSession.entered.clear()
    async with AsyncExitStack() as stack:
        app = await open_environment(
            server,
            ServeSettings(**settings),
            stack,
            describe=DESCRIBED,
            models=models,
            redactor=Redactor(secrets),
            time=lambda: clock.now,
        )
        transport = httpx.ASGITransport(app=app)
        client = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1"))
        yield Served(app, client, clock)


def counter(cls: type[Session[Any]] = CounterSession) -> ResourceServer:
    """An environment that counts."""
    from tests.support.envs import env

    return env(cls, tasks=5)
