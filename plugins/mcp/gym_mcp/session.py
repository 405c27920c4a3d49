"""Sessions whose tools an MCP server has."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, ClassVar, Self

from gym_core import ComponentContext, Item, ResourceServer, Session
from gym_core.errors import SessionError
from gym_core.spi import BoundTool, ServerT
from gym_mcp.connection import Connection
from gym_mcp.endpoint import Server, endpoint_of
from gym_mcp.package import load_package
from gym_mcp.tools import session_tools


class MCPSession(Session[ServerT]):
    """A session that offers the tools of an MCP server. A subclass names the server and writes `verify`.

    Each rollout has a connection of its own: a child process per rollout, or a session of its own with a server that
    keeps some. It is opened by `setup` and ended by `close`; who overrides them calls `super()`. All rollouts share one
    connection where the environment is an `MCPResourceServer`.

    Methods marked `@tool` are offered besides. An answer with `isError` is said to the model, and counted. A server
    that cannot be reached, ends, or does not answer in time fails the rollout: `env_error`.

    `tool_names`: which of the server's tools are offered, by their names there; None for all. `tool_prefix`: put
    before their names. `connect_timeout` bounds connecting, `call_timeout` each call, both in seconds and besides the
    limits of the run.
    """

    tool_names: ClassVar[Collection[str] | None] = None
    tool_prefix: ClassVar[str] = ""
    connect_timeout: ClassVar[float] = 60.0
    call_timeout: ClassVar[float] = 60.0

    _connection: Connection | None = None
    _shared: bool = False

    def mcp_server(self) -> Server | str:
        """The server of this rollout: a `StdioServer`, an `HTTPServer`, or a URL. May look at `self.task`."""
        raise NotImplementedError(f"{type(self).__name__} has to say by `mcp_server` where its tools are")

    async def setup(self) -> Sequence[Item] | None:
        """Connect. Raises `SessionError` when the server cannot be reached, `UsageError` without the extra `mcp`."""
        if isinstance(self.server, MCPResourceServer):
            self._shared = True
            self._connection = await self.server.connection(self.connect_timeout, self.call_timeout)
        else:
            self._connection = _connection(self.mcp_server(), self.connect_timeout, self.call_timeout)
            await self._connection.open()
        return None

    def tools(self) -> Sequence[BoundTool]:
        """The server's tools, and those of this class. Raises `SessionError` for two of one name."""
        own = list(super().tools())
        connection = self._connected()
        offered = session_tools(
            connection.tools,
            self.call_mcp_tool,
            names=self.tool_names,
            prefix=self.tool_prefix,
            left_out=connection.left_out,
        )
        double = {tool.name for tool in own} & {tool.name for tool in offered}
        if double:
            raise SessionError(f"both {type(self).__name__} and the MCP server have a tool `{min(double)}`")
        return [*offered, *own]

    async def call_mcp_tool(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Call any tool of the server, offered or not, by its name there: `verify` looks at the final state so.

        Returns text, or content parts where there is more than text. Raises `ToolError` for an answer that is an error.
        """
        return await self._connected().call(name, arguments)

    async def close(self) -> None:
        """End the connection, and with it a child process."""
        connection, self._connection = self._connection, None
        if connection is not None and not self._shared:
            await connection.close()

    def _connected(self) -> Connection:
        if self._connection is None:
            name = type(self).__name__
            raise SessionError(f"{name} is not connected", hint="a `setup` of your own starts with super().setup()")
        return self._connection


class MCPResourceServer(ResourceServer):
    """An environment whose sessions share one connection to an MCP server that keeps no state of a rollout.

    Its `session_type` is an `MCPSession`. A connection that broke is opened again for the next session.
    """

    def __init__(self, options: Any = None, context: ComponentContext | None = None) -> None:
        super().__init__(options, context)
        self._current: Connection | None = None
        self._opening = asyncio.Lock()

    def mcp_server(self) -> Server | str:
        """The server of the run: a `StdioServer`, an `HTTPServer`, or a URL."""
        raise NotImplementedError(f"{type(self).__name__} has to say by `mcp_server` where its tools are")

    async def connection(self, connect_seconds: float, call_seconds: float) -> Connection:
        """The connection of all sessions, opened by the first. Raises as `MCPSession.setup` does."""
        async with self._opening:
            if self._current is None or self._current.broken:
                await self._leave()
                self._current = _connection(self.mcp_server(), connect_seconds, call_seconds)
                await self._current.open()
            return self._current

    async def __aenter__(self) -> Self:
        await load_package()
        return await super().__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._leave()
        await super().__aexit__(kind, error, traceback)

    async def _leave(self) -> None:
        connection, self._current = self._current, None
        if connection is not None:
            await connection.close()


def _connection(server: Server | str, connect_seconds: float, call_seconds: float) -> Connection:
    return Connection(endpoint_of(server), connect_seconds=connect_seconds, call_seconds=call_seconds)
