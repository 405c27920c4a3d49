"""Tools over the Model Context Protocol: streamable HTTP without sessions of its own.

A request names by its URL whose tools it wants, and proves by a token that it may. Nothing is kept between requests,
so tools that wait for their caller cost nothing here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from starlette.requests import Request

from gym_core import JsonError, encode_json, parse_json
from gym_core.spi import asked_to_end
from gym_http.protocol.errors import error_to_wire, told
from gym_http.serve.disconnects import while_connected
from gym_mcp import as_blocks, listed_tools, need_package

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server
    from mcp.types import CallToolResult
    from starlette.types import Message, Receive, Scope, Send

    from gym_http.serve.environment.session import ToolAnswer

_TOOLS = "gym.mcp_tools"


class Tools(Protocol):
    """What a request is answered by."""

    @property
    def schemas(self) -> Sequence[Mapping[str, Any]]:
        """The tools, as the Responses API writes them."""
        ...

    async def call(self, name: str, arguments: Mapping[str, Any]) -> ToolAnswer:
        """One call."""
        ...


class MCPEndpoint:
    """An ASGI application, and what it needs while requests are answered: `lifespan`, to be entered once.

    `find`: whose tools a request wants; raises `ServeError` where nobody's. `redact`: masks secrets in the errors that
    are told. `max_body`: bytes of the longest request.
    """

    def __init__(
        self, find: Callable[[Scope], Tools], *, name: str, version: str, redact: Callable[[str], str], max_body: int
    ) -> None:
        need_package()
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

        self._find = find
        self._manager = StreamableHTTPSessionManager(
            _server(name, version, redact), json_response=True, stateless=True, max_request_body_size=max(1, max_body)
        )

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """What has to be open while requests are answered."""
        up, leaving = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            try:
                async with self._manager.run():
                    up.set()
                    await leaving.wait()
            finally:
                up.set()

        # In a task of its own: the group that it opens would wrap whatever is raised here.
        holding = asyncio.create_task(hold(), name="mcp-endpoint")
        try:
            await up.wait()
            yield
        finally:
            leaving.set()
            await holding

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. A client that goes away ends its call."""
        scope[_TOOLS] = self._find(scope)
        request = Request(scope, receive)
        body = _as_the_package_reads_it(await request.body())
        await while_connected(request, self._manager.handle_request(scope, _replay(body), send))


def _as_the_package_reads_it(body: bytes) -> bytes:
    """A body in JSON that the package's parser takes, where the meaning is clear; it refuses half a character."""
    from pydantic_core import from_json

    try:
        from_json(body)
    except ValueError:
        with suppress(JsonError):
            return encode_json(parse_json(body))
    return body


def _replay(body: bytes) -> Receive:
    """A body that has been read, for whoever wants to read it again. Nothing follows it."""
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Message:
        for message in messages:
            return message
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    return receive


def _server(name: str, version: str, redact: Callable[[str], str]) -> Server[Any]:
    from mcp.server.lowlevel import Server
    from mcp.types import ListToolsResult

    async def list_tools(context: Any, parameters: Any) -> ListToolsResult:
        return ListToolsResult(tools=listed_tools(_tools(context).schemas))

    async def call_tool(context: Any, parameters: Any) -> CallToolResult:
        return await _call(_tools(context), parameters.name, parameters.arguments or {}, redact)

    return Server(
        name,
        version=version,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        # No header repeats an argument, so a call need not look at the list of tools first.
        get_tool_input_schema=lambda name: None,
    )


def _tools(context: Any) -> Tools:
    tools: Tools = context.request.scope[_TOOLS]
    return tools


async def _call(tools: Tools, name: str, arguments: Mapping[str, Any], redact: Callable[[str], str]) -> CallToolResult:
    from mcp import MCPError
    from mcp.types import INTERNAL_ERROR, CallToolResult

    try:
        answer = await tools.call(name, arguments)
    except BaseException as error:  # the boundary: a failure of the environment is no answer of a tool
        if asked_to_end(error):
            raise
        described = told(error_to_wire(error, "tool")[1]["error"], redact)
        raise MCPError(INTERNAL_ERROR, described["message"], described) from error
    about: dict[str, Any] = {}
    if answer.error is not None:
        about["gym/error"] = answer.error
    if answer.done is not None:
        about["gym/done"] = {"reason": answer.done.reason}
    return CallToolResult(content=as_blocks(answer.output), is_error=answer.error is not None, _meta=about or None)
