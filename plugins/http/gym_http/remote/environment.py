"""The environment behind a URL."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from dataclasses import replace
from typing import Any, Literal, Self
from urllib.parse import urlencode

from pydantic import Field

from gym_core import (
    Endpoint,
    JsonError,
    ResourceServer,
    ResourceServerInfo,
    Rollout,
    Session,
    SessionContext,
    Task,
    TaskFile,
    ToolSpec,
    UsageError,
    Verdict,
    encode_json,
    parse_json,
)
from gym_http.protocol.client import BROKEN, Reply
from gym_http.protocol.errors import RemoteError, WireError
from gym_http.protocol.urls import host_of
from gym_http.protocol.whole_tasks import COMPLETES
from gym_http.protocol.wire import verdict_from_wire
from gym_http.remote.connection import Connection, lent
from gym_http.remote.detect import RESOURCE_SERVER, Served, recognise
from gym_http.remote.nemo_environment import OpenNemo
from gym_http.remote.options import RolloutOptions
from gym_http.remote.session import OpenRemote, remote_tool
from gym_nemo.foreign_verdict import NotMeasured

SERVED = "gym-http/served"
"""The runner that stands for one that is served with its environment."""
STEPS = "gym-http/steps"
"""The loop over `/reset` and `/step` of NeMo Gym."""
PAGE = 200
"""Tasks per request."""
NEXT_CURSOR = "Gym-Next-Cursor"
_SETS_KEPT = 256
_FORGOTTEN = frozenset({404, 410, 422})


class RemoteResourceServerOptions(RolloutOptions):
    """The options of the environment behind a URL."""

    api: Literal["auto", "gym", "nemo"] = Field(
        default="auto", description="Whose routes to ask: gym's own where there are any, or NeMo Gym's."
    )


class RemoteResourceServer(ResourceServer[RemoteResourceServerOptions]):
    """An environment behind a URL, used as if it were installed: `--env http://host:8000`, `--env unix:/path`.

    The server is `gym serve --env` at another place, or a resource server of NeMo Gym; which one is found out when it
    is opened. One of NeMo Gym ships no tasks: give them with `--input`.
    """

    def __init__(self, options: Any = None, context: Any = None) -> None:
        super().__init__(options, context)
        self.connection = Connection.of(self.options, "the environment", wait=self.options.wait)
        self.served: Served | None = None
        self.there = ResourceServerInfo()
        self._stack = AsyncExitStack()
        self._specs: dict[bytes, list[ToolSpec]] = {}

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.connection)
            self.served = await recognise(self.connection, RESOURCE_SERVER, self.options.api)
            # what makes sandboxes is there, with the sessions
            self.there = replace(self.served.info(ResourceServerInfo), sandbox_roles=())
            completes = bool(self.served.capabilities.get(COMPLETES))
            if completes:  # the runner is where its environment is
                self.there = replace(self.there, preferred_agent=SERVED)
            if self.served.steps:
                self.there = replace(self.there, preferred_agent=STEPS)
            if self.there.roles or completes:  # it asks models of the run
                self.there = replace(self.there, calls_from=host_of(self.connection.url))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    def describe(self) -> ResourceServerInfo:
        """What the environment there says."""
        return self.there

    def tasks(self) -> Iterable[Task] | AsyncIterable[Task]:
        """The tasks of the server, fetched page by page as they are wanted. Raises `UsageError` when it has none."""
        if not self.there.tasks:
            raise UsageError(f"{self.connection.name} ships no tasks", hint="--input FILE")
        return self._pages()

    def read_tasks(self, source: str) -> TaskFile | None:
        """None: a file of this machine is no business of the server's, and gym reads it as JSON lines."""
        return None

    def open_session(self, task: Task, context: SessionContext) -> AbstractAsyncContextManager[Session[Any]]:
        """A session at the server."""
        if self.served is not None and self.served.nemo:
            return OpenNemo(self, task, context)
        return OpenRemote(self, task, context)

    async def score_group(self, rollouts: Sequence[Rollout]) -> Sequence[Verdict]:
        """What the environment there says of rollouts together, which may be asked again. Raises what it raises."""
        body = {"rollouts": [rollout.row for rollout in rollouts]}
        answer = (await self.connection.open("POST", "/v1/score_group", body)).object().get("verdicts")
        try:
            return [verdict_from_wire(one, f"verdicts.{place}") for place, one in enumerate(answer or ())]
        except (WireError, NotMeasured, TypeError) as error:
            raise RemoteError(
                f"{self.connection.name} answered what is no list of verdicts: {error}", code=BROKEN, status=200
            ) from None

    def lend(self, context: SessionContext) -> AbstractAsyncContextManager[Mapping[str, Endpoint]]:
        """The models that a session needs of its client, as URLs that are good as long as it is open."""
        roles = [*self.there.roles, *(role for role in self.there.optional_roles if role in context.models)]
        return lent(roles, context) if roles else nullcontext({})

    def specs(self, schemas: list[dict[str, Any]]) -> list[ToolSpec]:
        """The functions among the tools of a session; most sessions of a server have the same."""
        key = encode_json(schemas)
        known = self._specs.get(key)
        if known is None:
            if len(self._specs) >= _SETS_KEPT:
                self._specs.clear()
            functions = [schema for schema in schemas if schema.get("type", "function") == "function"]
            known = self._specs[key] = [remote_tool(schema) for schema in functions]
        return known

    async def _pages(self) -> AsyncIterator[Task]:
        cursor: str | None = ""
        seen = known = 0
        forgotten_at = -1
        while cursor is not None:
            query = urlencode({"limit": PAGE, **({"cursor": cursor} if cursor else {})})
            page = await self.connection.open("GET", f"/v1/tasks?{query}", check=False)
            if page.status in _FORGOTTEN and cursor and known > forgotten_at:
                # another process than the one that gave the cursor out: the same tasks, again
                cursor, seen, forgotten_at = "", 0, known
                continue
            for line in self.connection.checked(page).content.splitlines():
                if line:
                    seen += 1
                    if seen > known:
                        known = seen
                        yield self._task(line, page)
            cursor = page.headers.get(NEXT_CURSOR)

    def _task(self, line: bytes, page: Reply) -> Task:
        try:
            row = parse_json(line)
        except JsonError:
            row = None
        if not isinstance(row, dict):
            raise RemoteError(f"{page.where}: a line is no JSON object: {line[:80]!r}", code=BROKEN, status=page.status)
        return Task(row)
