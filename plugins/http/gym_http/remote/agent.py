"""The agent behind a URL."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from gym_core import (
    Agent,
    AgentInfo,
    CompletedTask,
    ComponentContext,
    Endpoint,
    Episode,
    Runner,
    RunnerContext,
    RunnerInfo,
    Stop,
    Task,
    UsageError,
)
from gym_http.protocol.client import BROKEN
from gym_http.protocol.errors import RemoteError
from gym_http.protocol.urls import host_of
from gym_http.protocol.whole_tasks import COMPLETES
from gym_http.remote.connection import Connection, passed_on
from gym_http.remote.detect import AGENT, Served, recognise
from gym_http.remote.nemo_agent import completed, failure
from gym_http.remote.options import RolloutOptions
from gym_http.remote.runner import RemoteTaskRunner
from gym_nemo.episodes import episode_of
from gym_nemo.rows import row_for

_SECONDS = 30.0


class RemoteAgentOptions(RolloutOptions):
    """The options of the agent behind a URL."""

    api: Literal["auto", "episodes", "run"] = Field(
        default="auto",
        description="`episodes`: it works with the run's model and environment; `run`: it brings its own; "
        "`auto`: the first for an agent that gym serves, the second for one of NeMo Gym.",
    )


class RemoteAgent(Agent[RemoteAgentOptions]):
    """An agent behind a URL, used as if it were installed: `--agent http://host:8000`, `--agent unix:/path`.

    One that gym serves works with the model and the environment of the run, which it reaches through the
    gateway of the run. One of NeMo Gym brings its own model and environment:
    opened, it is a runner that is given each row whole; `--model` and `--env` are left out, and tasks come from
    `--input`.
    """

    def __init__(self, options: Any = None, context: Any = None) -> None:
        super().__init__(options, context)
        self.connection = Connection.of(self.options, "the agent", wait=self.options.wait)
        self.served: Served | None = None
        self.there = AgentInfo()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Any:
        """This agent, or the runner that is in its place."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.connection)
            whole = await self._look()
            served = self.served
            if served is not None and served.capabilities.get(COMPLETES) and not served.capabilities.get("episodes"):
                self._stack = stack.pop_all()
                return RemoteTaskRunner(None, self.context, self.connection, served)
            if self.served is not None:
                self.there = replace(self.served.info(AgentInfo), calls_from=host_of(self.connection.url))
            self._stack = stack.pop_all()
        return RemoteRunner(self.options, self.context, self.connection, self.served) if whole else self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    def describe(self) -> AgentInfo:
        """What the agent there says."""
        return self.there

    async def run(self, episode: Episode) -> Stop:
        """Have the agent work on one episode. Raises `RemoteError` for what went wrong there.

        An error of model or session that the agent let pass is raised as what it was here.
        """
        async with episode.endpoint() as endpoint:
            session = {"url": endpoint.session_url, "token": endpoint.token, "batch": True, **_over_mcp(endpoint)}
            model = {"base_url": endpoint.base_url, "token": endpoint.token}
            body = {"request": episode.request.body, "model": model, "session": session}
            reply = await self.connection.hand_over("/v1/episodes", body, [endpoint])
            if not reply.ok:
                raise passed_on(reply, [endpoint]) or self.connection.error(reply)
            said = reply.object()
            try:
                return Stop(said["stop_reason"], said.get("detail", ""))
            except (KeyError, TypeError, ValueError) as error:
                problem = "it gave no `stop_reason`" if isinstance(error, KeyError) else str(error)
                raise RemoteError(f"{self.connection.name}: {problem}", code=BROKEN, status=reply.status) from None

    async def _look(self) -> bool:
        """Find out what is there, and whether it is given whole rows. Raises `UsageError`."""
        if self.options.api == "run":
            try:
                await self.connection.request("GET", "/", timeout=_SECONDS)
            except RemoteError as error:
                raise UsageError(error.message, hint=error.hint) from None
            return True
        self.served = await recognise(self.connection, AGENT)
        if self.served.nemo and self.options.api != "auto":
            raise UsageError(
                f"{self.connection.url} serves an agent of NeMo Gym, which takes no episodes",
                hint="leave `-A api=` out",
            )
        return self.served.nemo


class RemoteRunner(Runner[RemoteAgentOptions]):
    """An agent behind a URL that is given each row whole: it brings its own model and environment."""

    roles = ()
    environment = False

    def __init__(
        self, options: RemoteAgentOptions, context: ComponentContext, connection: Connection, served: Served | None
    ) -> None:
        super().__init__(options, context)
        self._connection = connection
        self._served = served

    def describe(self) -> RunnerInfo:
        """What is known of it."""
        info = super().describe()
        return info if self._served is None else replace(info, component=self._served.identity)

    async def run(self, task: Task, context: RunnerContext) -> CompletedTask:
        """Have it carry out a whole rollout. Raises what its failure stands for."""
        row = row_for(task, context.repeat)
        episodes = self._served is not None and self._served.episodes
        asked = episode_of(row, task.task_id) if episodes else row
        reply = await self._connection.hand_over("/run", asked)
        if not reply.ok:
            raise failure(reply, self._connection.error(reply))
        return completed(row, reply)


def _over_mcp(endpoint: Endpoint) -> dict[str, str]:
    try:
        return {"mcp_url": endpoint.mcp_url}
    except UsageError:  # which says what to install, to whoever wants it
        return {}
