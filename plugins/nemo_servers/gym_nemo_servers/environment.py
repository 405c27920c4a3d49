"""The environment: a resources server of NeMo Gym, made from its class and asked in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, PositiveFloat

from gym_core import (
    Options,
    ResourceServer,
    ResourceServerInfo,
    Selector,
    Session,
    SessionContext,
    Task,
    UsageError,
    Venv,
    parse_json,
)
from gym_core.spi import UniqueIds, content_id, load_in_thread, loading_option, own_task_id
from gym_http.remote.connection import Connection
from gym_http.remote.detect import RESOURCE_SERVER, Served, recognise
from gym_http.remote.nemo_environment import OpenNemo
from gym_nemo_servers.application import Application
from gym_nemo_servers.loading import Mounted, mount
from gym_nemo_servers.models import JUDGE
from gym_nemo_servers.names import known, named, venv_of

STEPS = "gym-nemo-servers/nemo_steps"


class NemoServerOptions(Options):
    """What is mounted, and how."""

    id: Annotated[str, Selector()] = Field(description="The server: the name of its folder, `mcqa`.")
    data: str = Field(
        default="example", description="Which of the files in its folder `data` its tasks are, or the path of another."
    )
    loading: PositiveFloat = loading_option()
    config: dict[str, Any] = Field(
        default_factory=dict, description="What lies over its configuration: `config.NAME=VALUE`, in JSON or as text."
    )


class NemoServer(ResourceServer[NemoServerOptions]):
    """A resources server of NeMo Gym, unchanged: made from its class, without head server, Ray or other processes.

    Its tasks are the examples that lie beside it, or those of `--input`. It lives in a venv of its own where NeMo Gym
    is not installed beside gym: `gym install --isolated nemo:ID`.
    """

    def __init__(self, options: Any = None, context: Any = None) -> None:
        super().__init__(options, context)
        self.ident = named(self.options.id)
        self.mounted: Mounted | None = None
        self.served: Served | None = None
        self.connection: Connection | None = None
        self._stack = AsyncExitStack()

    @classmethod
    def venv(cls, selector: str | None) -> Venv | None:
        """A venv with NeMo Gym and what the server needs, unless NeMo Gym is here."""
        return venv_of("" if selector == "" else named(selector))

    async def __aenter__(self) -> Self:
        options = self.options
        name = f"nemo:{self.ident}"
        mounted = await load_in_thread(name, mount, self.ident, options.config, seconds=options.loading)
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(Application(mounted.app, name))
            served = await recognise(connection, RESOURCE_SERVER, "nemo")
            self._stack = stack.pop_all()
        self.mounted, self.connection, self.served = mounted, connection, served
        return self

    async def __aexit__(self, *error: object) -> None:
        self.mounted = self.connection = None
        await self._stack.aclose()

    def describe(self) -> ResourceServerInfo:
        """Which models its configuration names, and whether it owns its turns, is known of it beforehand."""
        info = super().describe()
        steps = known(self.ident).steps if self.served is None else self.served.steps
        roles = (JUDGE,) if self.mounted is not None and self.mounted.asks_models else ()
        return replace(info, preferred_agent=STEPS if steps else info.preferred_agent, roles=roles)

    def tasks(self) -> Iterator[Task]:
        """The rows of a file beside it, each known by its id or by what it says."""
        path = self._data()
        lists_tools = self.mounted is not None and self.mounted.lists_tools
        ids = UniqueIds()
        with path.open("rb") as lines:
            for number, line in enumerate(lines):
                if not line.strip():
                    continue
                row = parse_json(line)
                asked = row.get("responses_create_params") or {}
                if lists_tools and asked.get("tools") == []:  # it says so of its agents, which ask over MCP
                    del asked["tools"]
                yield Task(row, task_id=ids.numbered(own_task_id(row) or content_id(row)), index=number)

    def _data(self) -> Path:
        if self.mounted is None:
            raise UsageError(f"nemo:{self.ident} is not open")
        path = Path(self.options.data)
        if path.suffix != ".jsonl":
            path = self.mounted.folder / "data" / f"{self.options.data}.jsonl"
        if not path.is_file():
            there = ", ".join(sorted(one.stem for one in (self.mounted.folder / "data").glob("*.jsonl")))
            raise UsageError(
                f"nemo:{self.ident} has no tasks {self.options.data!r}; there are {there or 'none'}",
                hint="--input FILE, or -E data=NAME",
            )
        return path

    def open_session(self, task: Task, context: SessionContext) -> AbstractAsyncContextManager[Session[Any]]:
        """A session of the server. Raises `UsageError` where it owns its turns."""
        if not isinstance(self.connection, Application) or self.served is None:
            raise UsageError(f"nemo:{self.ident} is not open")
        if self.served.steps:
            raise UsageError(
                f"nemo:{self.ident} speaks /reset and /step, and has no sessions", hint="leave --agent out"
            )
        return OpenNemo(_Place(self.connection.asking(context.models), self.served), task, context)


@dataclass(frozen=True, slots=True)
class _Place:
    connection: Connection
    served: Served
