"""One connection to an MCP server, held by a task of its own.

The task groups of the package's client have to be left by the task that entered them, but a session is opened in its
rollout's task and closed in any. So a task opens the connection, waits, and closes it; calls come from anywhere.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gym_core.errors import SessionError
from gym_mcp.content import as_output, text_of
from gym_mcp.endpoint import Server, StdioServer
from gym_mcp.notices import notice
from gym_mcp.package import load_package
from gym_mcp.transport import UNREACHABLE, Transport

if TYPE_CHECKING:
    from mcp import MCPError
    from mcp.client.client import Client
    from mcp.types import Tool

logger = logging.getLogger("gym")

_GRACE = 5.0
"""Seconds a connection has to say goodbye; then it is cut."""
_PAGES = 100
_SHOWN = 300
_owners: set[asyncio.Task[None]] = set()


class ToolError(Exception):
    """An MCP server answered a call with an error: the text is for the model."""


class ServerLost(SessionError):
    """An MCP server cannot be asked: it is not there, has ended, or does not answer in time."""

    @property
    def unreachable(self) -> bool:
        """It is the environment that is gone, whatever it was asked for."""
        return True


class Connection:
    """A client of one server. `tools`: what it offers, known once it is open. `broken`: it cannot be used again.

    `left_out`: those of its tools that cannot be offered, by their names, and why.

    `connect_seconds` bounds `open`, `call_seconds` each call.
    """

    def __init__(self, server: Server, *, connect_seconds: float = 60.0, call_seconds: float = 60.0) -> None:
        self._server = server
        self._connect_seconds = connect_seconds
        self._call_seconds = call_seconds
        self._transport = Transport(server)
        self._client: Client | None = None
        self._owner: asyncio.Task[None] | None = None
        self.tools: list[Tool] = []
        self.broken = False
        self.left_out = self._transport.left_out

    async def open(self) -> None:
        """Connect and list the tools. Raises `ServerLost` when there is no server, or none that answers in time."""
        await load_package()
        import anyio

        self._closing = asyncio.Event()
        self._scope = anyio.CancelScope()
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._owner = owner = asyncio.create_task(self._hold(), name="mcp-connection")
        _owners.add(owner)
        owner.add_done_callback(_owners.discard)
        try:
            async with asyncio.timeout(self._connect_seconds):
                await asyncio.shield(self._ready)
        except TimeoutError:
            await self.close()
            raise self._lost(f"did not answer within {self._connect_seconds:g} s") from None
        except asyncio.CancelledError:
            self._scope.cancel()
            raise

    async def call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Call a tool; text, or content parts. Raises `ToolError` for an answer that is an error.

        Raises `ServerLost` when the server is gone or does not answer in time, `SessionError` when it breaks the
        protocol.
        """
        from mcp import MCPError

        if self._client is None or self.broken:
            raise self._lost("is not connected")
        try:
            result = await self._client.call_tool(name, dict(arguments), read_timeout_seconds=self._call_seconds)
        except MCPError as error:
            raise await self._judged(error, name) from None
        except Exception as error:  # of the package: a result against the protocol or against the tool's own schema
            raise SessionError(
                f"the MCP server `{self._server}` gave no valid result for `{name}`: {type(error).__name__}: {error}"
            ) from error
        if result.is_error:
            raise ToolError(text_of(result) or f"`{name}` failed")
        return as_output(result)

    async def close(self) -> None:
        """Say goodbye and end a child process. Harmless when called again, and from any task."""
        owner = self._owner
        if owner is None or owner.done():
            return
        self.broken = True
        self._closing.set()
        if self._client is not None:
            await asyncio.wait([owner], timeout=_GRACE)
        if not owner.done():
            self._scope.cancel()
            await asyncio.wait([owner])

    async def _hold(self) -> None:
        from mcp.client.client import Client

        failure = self._lost("could not be reached")
        try:
            with self._scope:
                client = Client(self._transport.open(), mode="auto", cache=None)
                async with client:
                    self.tools = await self._listed(client)
                    self._client = client
                    self._ready.set_result(None)
                    await self._closing.wait()
        except Exception as error:
            failure = self._lost(_first(error))
            failure.__cause__ = error
            logger.debug("an MCP connection ended: %s", failure)
        finally:
            self.broken = True
            if not self._ready.done():
                self._ready.set_exception(failure)
                self._ready.exception()  # whoever opened it may have gone

    async def _listed(self, client: Client) -> list[Tool]:
        """All tools, page by page, each name once. A server that knows no tools has none.

        An empty cursor may name a page. Some servers mean by it that there is none, and refuse it when it is asked for.
        """
        from mcp import MCPError
        from mcp.types import CONNECTION_CLOSED, METHOD_NOT_FOUND, REQUEST_TIMEOUT

        found: dict[str, Tool] = {}
        cursors: set[str | None] = set()
        cursor: str | None = None
        while cursor not in cursors:
            cursors.add(cursor)
            try:
                page = await client.list_tools(cursor=cursor)
            except MCPError as error:
                if error.code == METHOD_NOT_FOUND and not found:
                    break
                if cursor == "" and error.code not in (CONNECTION_CLOSED, REQUEST_TIMEOUT):
                    break
                raise
            for tool in page.tools:
                if found.setdefault(tool.name, tool) != tool:
                    notice(f"the MCP server `{self._server}` has two tools `{tool.name}`; the first is offered")
            cursor = page.next_cursor
            if cursor is None:
                break
            if len(cursors) == _PAGES:
                notice(f"the MCP server `{self._server}` goes on after {_PAGES} pages of tools; the rest is left out")
                break
        for name, why in self.left_out.items():
            notice(f"the tool `{name}` of the MCP server `{self._server}` is left out: {why}")
        return list(found.values())

    async def _judged(self, error: MCPError, name: str) -> Exception:
        """An error of the protocol: what the server says is for the model, that it cannot be asked is not."""
        from mcp.types import CONNECTION_CLOSED, INVALID_REQUEST, PARSE_ERROR, REQUEST_TIMEOUT

        if error.code == REQUEST_TIMEOUT:
            return self._lost(f"did not answer a call of `{name}` within {self._call_seconds:g} s")
        if error.code == CONNECTION_CLOSED and isinstance(self._server, StdioServer):
            await self.close()  # so that the child's last words are known
        elif error.code == INVALID_REQUEST:  # it has forgotten the session
            self.broken = True
        if error.code in (CONNECTION_CLOSED, INVALID_REQUEST, PARSE_ERROR, UNREACHABLE):
            return self._lost(f"could not be asked for `{name}`: {error.message}")
        return ToolError(error.message)

    def _lost(self, what: str) -> ServerLost:
        words = " ".join(self._transport.last_words.split())[-_SHOWN:]
        return ServerLost(f"the MCP server `{self._server}` {what}" + (f"; it wrote: {words}" if words else ""))


def _first(error: BaseException) -> str:
    """The error at the bottom of a group, as a clause."""
    from pydantic import ValidationError

    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    what = "gave an answer against the protocol" if isinstance(error, ValidationError) else "could not be reached"
    return f"{what}: {type(error).__name__}: {error}".rstrip(": ")
