"""A served environment's tools over the Model Context Protocol: `gym serve --env REF --mcp`.

One route, `POST /mcp/{id}`, streamable HTTP without sessions of its own: a request names a session that was opened by
`POST /v1/sessions`, proves it by that session's token, and is answered by it. Nothing is kept between requests, so a
session that waits for its agent costs nothing here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from gym_core import JsonError, encode_json, parse_json
from gym_core.spi import Redactor, asked_to_end
from gym_http.protocol.errors import error_to_wire
from gym_http.serve.auth import SessionRoute, bearer, unauthorized
from gym_http.serve.disconnects import while_connected
from gym_mcp import as_blocks, listed_tools, need_package

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server
    from mcp.types import CallToolResult
    from starlette.routing import BaseRoute
    from starlette.types import Message, Receive, Scope, Send

    from gym_http.serve.environment.session import ServedSession
    from gym_http.serve.environment.sessions import Sessions

PATH = "/mcp/{ident}"
_SESSION = "gym.mcp_session"


class MCPEndpoint:
    """The route, and what it needs while requests are answered: `lifespan`, to be entered once.

    `name` and `version`: of the environment. `redactor`: knows what no error may show.
    """

    def __init__(self, sessions: Sessions, *, name: str, version: str = "", redactor: Redactor | None = None) -> None:
        need_package()
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

        self._sessions = sessions
        self._manager = StreamableHTTPSessionManager(
            _server(name, version, sessions, Redactor() if redactor is None else redactor),
            json_response=True,
            stateless=True,
            max_request_body_size=max(1, sessions.settings.max_body),
        )

    def routes(self) -> list[BaseRoute]:
        """The route, which asks for a session's token."""
        return [SessionRoute(PATH, self, methods=["POST"], name="mcp")]

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
        """Answer a request on behalf of its session. A client that goes away ends its call."""
        scope[_SESSION] = self._sessions.find(self._authorized(scope))
        request = Request(scope, receive)
        body = _as_the_package_reads_it(await request.body())
        await while_connected(request, self._manager.handle_request(scope, _replay(body), send))

    def _authorized(self, scope: Scope) -> str:
        """The session of a request by its id. Whether there is such a session plays no part in the refusal."""
        ident: str = scope["path_params"]["ident"]
        token = bearer(scope["headers"])
        if not token:
            raise unauthorized("a session wants its own token", "POST /v1/sessions answers with `tool_token`")
        if self._sessions.tokens.kind(ident, token) is None:
            raise unauthorized("the token is not this session's", "POST /v1/sessions answers with `tool_token`")
        return ident


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


def _server(name: str, version: str, sessions: Sessions, redactor: Redactor) -> Server[Any]:
    from mcp.server.lowlevel import Server
    from mcp.types import ListToolsResult

    async def list_tools(context: Any, parameters: Any) -> ListToolsResult:
        return ListToolsResult(tools=listed_tools(_session(context).schemas))

    async def call_tool(context: Any, parameters: Any) -> CallToolResult:
        served = _session(context)
        result = await _call(served, parameters.name, parameters.arguments or {}, redactor)
        sessions.touch(served)
        return result

    return Server(
        name,
        version=version,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        # No header repeats an argument, so a call need not look at the list of tools first.
        get_tool_input_schema=lambda name: None,
    )


def _session(context: Any) -> ServedSession:
    served: ServedSession = context.request.scope[_SESSION]
    return served


async def _call(served: ServedSession, name: str, arguments: Mapping[str, Any], redactor: Redactor) -> CallToolResult:
    from mcp import MCPError
    from mcp.types import INTERNAL_ERROR, CallToolResult

    try:
        answer = await served.tool(name, arguments)
    except BaseException as error:  # the boundary: a failure of the environment is no answer of a tool
        if asked_to_end(error):
            raise
        described = parse_json(redactor.redact_bytes(encode_json(error_to_wire(error, "tool")[1]["error"])))
        raise MCPError(INTERNAL_ERROR, described["message"], described) from error
    about: dict[str, Any] = {}
    if answer.error is not None:
        about["gym/error"] = answer.error
    if answer.done is not None:
        about["gym/done"] = {"reason": answer.done.reason}
    return CallToolResult(content=as_blocks(answer.output), is_error=answer.error is not None, _meta=about or None)
