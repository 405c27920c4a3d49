"""The resource server: a server that speaks OpenEnv, somewhere or started here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Annotated, Any, Literal, Self

import aiohttp
from pydantic import Field, NonNegativeInt, PositiveInt, SecretStr

from gym_core import Operational, Options, ResourceServer, Selector, SessionContext, Task, UsageError, Venv
from gym_core.errors import FieldError
from gym_openenv.names import checked, is_url, venv_of
from gym_openenv.process import StartedServer
from gym_openenv.server import Server
from gym_openenv.session import OpenEnvSession

_OF_TOOLS = frozenset({"metadata", "type", "tool_name", "arguments"})
"""The fields of an action that calls a tool, or of the base class of all."""


class OpenEnvOptions(Options):
    """Options of the environment."""

    server: Annotated[str, Selector()] = Field(
        "",
        description="A server's URL, `http://HOST:PORT`, or the import path of one to start: PACKAGE, or MODULE:APP.",
    )
    tasks: PositiveInt = Field(100, description="How many tasks there are: one per seed.")
    seed: NonNegativeInt = Field(0, description="The seed of the first task; each further one has the next.")
    prompt: str = Field("", description="What the model is told; by default what the environment says of itself.")
    reset: dict[str, Any] = Field(
        default_factory=dict, description="Arguments of every reset, in JSON or as text: `reset.level=2`."
    )
    actions: Literal["tool", "reply"] = Field(
        "tool", description="Whether the model acts by calling tools, or by its answer: of actions with one text."
    )
    unacted: float | None = Field(
        None,
        description="The reward of an episode without steps; by default the reset's, and a failure where it gave none.",
    )
    sessions: Annotated[PositiveInt, Operational()] = Field(
        64, description="How many sessions a server that is started here takes, where its environment can have several."
    )
    servers: Annotated[PositiveInt, Operational()] = Field(
        1, description="How many servers are started here, each in a process of its own."
    )
    see_keys: bool = Field(
        False, description="Whether what is started here sees keys of this process, such as `OPENAI_API_KEY`."
    )
    token: SecretStr | None = Field(None, description="What the server wants as a bearer token.")


class OpenEnv(ResourceServer[OpenEnvOptions]):
    """A server that speaks OpenEnv: `openenv:http://localhost:8000`, or `openenv:PACKAGE`, which is started here.

    Its tools, or its action, are tools of the model; the reward is the sum of the rewards of all steps. What is started
    here lives in a venv of its own where openenv and its package are not installed beside gym:
    `gym install --isolated openenv:PACKAGE`.
    """

    session_type = OpenEnvSession

    def __init__(self, options: Any = None, context: Any = None) -> None:
        super().__init__(options, context)
        where = checked(self.options.server)
        self.name = where if is_url(where) else f"openenv:{where}"
        """What it is called in messages."""
        self.reply_field = ""
        """The field of an action that the model's answer is, empty where it acts by tools."""
        self.by_tools = False
        """Whether it has tools and no action of its own."""
        self.step_schema: dict[str, Any] = {}
        """The tool that is an action."""
        self._where = where
        self._about: Mapping[str, Any] = {}
        self._asks_for_tools = False

    @classmethod
    def venv(cls, selector: str | None) -> Venv | None:
        """A venv with openenv and the package, unless both are here, or the server is somewhere else."""
        return venv_of(checked(selector))

    async def __aenter__(self) -> Self:
        """Start the servers, where they are started here, and ask one what it is. Raises `UsageError`."""
        async with AsyncExitStack() as stack:
            token = self.options.token
            headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token is not None else {}
            connector = aiohttp.TCPConnector(limit=0)  # the server says how many it takes
            client = await stack.enter_async_context(aiohttp.ClientSession(connector=connector, headers=headers))
            if is_url(self._where):
                self._servers = [Server(self._where, self.name, client)]
            else:
                starting = [self._start(stack, client) for _ in range(self.options.servers)]
                self._servers = list(await asyncio.gather(*starting))
            await self._learn(self._servers[0])
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def _start(self, stack: AsyncExitStack, client: aiohttp.ClientSession) -> Server:
        started = StartedServer(self._where, see_keys=self.options.see_keys)
        stack.push_async_callback(asyncio.to_thread, started.close)
        try:
            url, most = await asyncio.to_thread(started.begin, self.options.sessions)
        except asyncio.CancelledError:
            started.kill()  # so that the thread ends
            raise

        async def why() -> str:
            return await asyncio.to_thread(started.why)

        return Server(url, self.name, client, why, most)

    async def _learn(self, server: Server) -> None:
        action = (await server.get("schema")).get("action")
        if not isinstance(action, Mapping):
            raise UsageError(f"{self.name}: its /schema has no `action`: is it an OpenEnv server?")
        with suppress(UsageError):  # not all have one
            self._about = await server.get("metadata")
        own = {name: value for name, value in (action.get("properties") or {}).items() if name != "metadata"}
        # an action without fields of its own may be the base class of all, or one that needs none
        self._asks_for_tools, self.by_tools = own.keys() <= _OF_TOOLS, bool(own) and own.keys() <= _OF_TOOLS
        self.step_schema = {
            "type": "function",
            "name": "step",
            "description": action.get("description") or "Act in the environment, and see what comes of it.",
            "parameters": {**action, "properties": own},
            "strict": False,
        }
        if self.options.actions == "reply":
            self.reply_field = self._only_text(own, action.get("required") or ())

    def _only_text(self, own: Mapping[str, Any], required: Any) -> str:
        texts = [name for name, value in own.items() if isinstance(value, Mapping) and value.get("type") == "string"]
        needed = [name for name in own if name in required]
        found = needed if len(needed) == 1 and needed[0] in texts else texts
        if self._asks_for_tools or len(found) != 1 or not set(needed) <= set(found):
            fields = ", ".join(own) or "none"
            raise UsageError(
                f"{self.name}: an answer is no action, whose fields are: {fields}", hint="leave -E actions=reply out"
            )
        return found[0]

    def tasks(self) -> Iterator[Task]:
        """One task per seed."""
        name = str(self._about.get("name") or "openenv")
        prompt = self.options.prompt or str(self._about.get("description") or f"Act in the environment {name}.")
        for seed in range(self.options.seed, self.options.seed + self.options.tasks):
            yield Task.ask(prompt, task_id=f"{name}-{seed}", seed=seed)

    @asynccontextmanager
    async def open_session(self, task: Task, context: SessionContext) -> AsyncIterator[OpenEnvSession]:
        """A session of the server's with the fewest, waited for while it is full."""
        server = min(self._servers, key=lambda one: one.open)
        session = OpenEnvSession(task, self, context)
        async with server.session(self._reset_of(task), context.waiting) as (session.connection, session.opening):
            if self._asks_for_tools:
                await session.list_tools()
            yield session

    def _reset_of(self, task: Task) -> dict[str, Any]:
        own = task.get("reset") or {}
        if not isinstance(own, Mapping):
            raise FieldError("reset", f"is {own!r:.40}, and must be an object: the arguments of the reset")
        reset = {"seed": task.get("seed"), **self.options.reset, **own}
        return {name: value for name, value in reset.items() if value is not None}
