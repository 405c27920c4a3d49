"""Components behind a real port, in the event loop of the test, and OpenAI's client for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

from gym_core import Agent, ModelBackend, ResourceServer
from gym_core.spi import Clock, Redactor, open_rollouts
from gym_http.serve.agent import openapi as agent_openapi
from gym_http.serve.agent import routes as agent_routes
from gym_http.serve.agent.rollouts import ServedRollouts
from gym_http.serve.application import build
from gym_http.serve.listener import Listener
from gym_http.serve.model import openapi as model_openapi
from gym_http.serve.model import routes as model_routes
from gym_http.serve.model.routes import ServedModel
from gym_http.serve.settings import ServeSettings
from tests.support.running import config

if TYPE_CHECKING:
    from openai import AsyncOpenAI

DESCRIBED = {"name": "served", "gym_core": "0"}


@dataclass
class ModelServer:
    """A served model. `client`: OpenAI's, which does not retry. `http`: for what that client would not send."""

    url: str
    served: ServedModel
    client: AsyncOpenAI
    http: aiohttp.ClientSession

    async def post(self, path: str, body: Any, **options: Any) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        async with self.http.post(self.url + path, json=body, **options) as reply:
            return reply.status, await reply.json()


@asynccontextmanager
async def served_model(
    backend: ModelBackend, *, clock: Clock | None = None, secrets: tuple[str, ...] = (), retries: int = 0
) -> AsyncIterator[ModelServer]:
    """Serve a backend. `secrets`: values that no answer may show. `retries`: of OpenAI's client."""
    import openai

    served = ServedModel(backend, clock=clock)
    redactor = Redactor(secrets)
    app = build(
        "model",
        model_routes.routes(served),
        settings=ServeSettings(),
        describe=DESCRIBED,
        openapi=[model_openapi.openapi()],
        redactor=redactor,
    )
    async with (
        Listener(app) as listener,
        openai.AsyncOpenAI(base_url=f"{listener.url}/v1", api_key="unused", max_retries=retries) as client,
        aiohttp.ClientSession() as http,
    ):
        yield ModelServer(listener.url, served, client, http)


@dataclass
class AgentServer:
    """A served agent."""

    url: str
    rollouts: ServedRollouts
    http: aiohttp.ClientSession

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        async with self.http.post(self.url + path, json=body) as reply:
            return reply.status, await reply.json()


@asynccontextmanager
async def served_agent(
    model: ModelBackend | None = None,
    server: ResourceServer | None = None,
    agent: Agent | None = None,
    *,
    clock: Clock | None = None,
    secrets: tuple[str, ...] = (),
    waiting: int = 1000,
    masks_failures: bool = False,
    **settings: Any,
) -> AsyncIterator[AgentServer]:
    """Serve an agent; arguments as for `tests.support.running.config`."""
    wanted = config(model, server, agent, **settings)
    redactor = Redactor(secrets)
    async with AsyncExitStack() as stack:
        opened, _ = await open_rollouts(stack, wanted, redactor, clock=clock)
        rollouts = ServedRollouts(opened, waiting=waiting, redactor=redactor)
        app = build(
            "agent",
            agent_routes.routes(rollouts, masks_failures=masks_failures),
            settings=ServeSettings(),
            describe=DESCRIBED,
            openapi=[agent_openapi.openapi()],
            redactor=redactor,
        )
        listener = await stack.enter_async_context(Listener(app))
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        yield AgentServer(listener.url, rollouts, http)
