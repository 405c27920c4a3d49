"""Agents behind a real port, in the event loop of the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from gym_core import Agent, ComponentContext
from gym_http.remote.agent import RemoteAgent
from gym_http.serve.agent.episodes import OPENAPI, Episodes
from gym_http.serve.application import build
from gym_http.serve.listener import Listener
from gym_http.serve.settings import ServeSettings
from tests.support.running import timeless_calls

NAME = "theirs"


@dataclass
class AgentServer:
    """A served agent: how to reach it, and what it works on."""

    url: str
    episodes: Episodes
    listener: Listener


@asynccontextmanager
async def served_agent(
    agent: Agent, *, token: str = "", callbacks: Iterable[str] = (), uds: str | None = None
) -> AsyncIterator[AgentServer]:
    """Serve the episodes of an agent."""
    async with Episodes(agent, callbacks=callbacks) as episodes:
        app = build(
            "agent",
            episodes.routes,
            settings=ServeSettings(token=token),
            describe={"name": NAME, "gym_core": "0", "capabilities": {}},
            openapi=[OPENAPI],
        )
        async with Listener(app, uds=uds, grace=1.0) as listener:
            yield AgentServer(listener.url, episodes, listener)


def remote(url: str, **options: Any) -> RemoteAgent:
    """The agent behind a URL, as a run makes it."""
    return RemoteAgent(RemoteAgent.Options.model_validate({"url": url, **options}), ComponentContext(name="remote"))


def timeless(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what differs from run to run: times, the run, and where the agent was."""
    about = {name: value for name, value in row["rollout"].items() if name not in ("timing", "run_id", "agent")}
    return {**row, "rollout": timeless_calls(about)}
