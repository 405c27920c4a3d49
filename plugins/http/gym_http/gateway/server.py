"""The server behind the gateway: URLs and tokens for what the rollouts of this process offer.

Each rollout has one token, which opens all of these, and nothing of any other:

    {id}/v1/responses, {id}/v1/chat/completions     the model, as OpenAI writes them, streams included
    {id}/mcp                                        the session's tools, over MCP (streamable HTTP)
    {id}/session/tools/{name}                       {"arguments", "call_id"?} -> {"output"}
    {id}/session/calls                              {"calls": [...]} -> {"outputs": [...]}, the calls of one response
    {id}/session/reply                              {"response"} -> {"items"}

Nothing else of a rollout is reachable: not its verifier, not the hidden fields of its task. A model that is offered by
itself has the first two.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response as Reply
from starlette.routing import BaseRoute

from gym_core import Endpoint, Episode, Model, Response, UsageError, encode_json
from gym_core.spi import Redactor, asked_to_end
from gym_http.gateway.episode import OfferedEpisode, Who
from gym_http.gateway.grant import Offer
from gym_http.gateway.model import OfferedModel
from gym_http.protocol.errors import ServeError, WireError, add_openai_words, error_to_wire, told
from gym_http.protocol.sessions import CallsRequest, ReplyRequest
from gym_http.protocol.shapes import read
from gym_http.serve.application import Application
from gym_http.serve.auth import SessionRoute, bearer, unauthorized
from gym_http.serve.disconnects import while_connected
from gym_http.serve.environment.session import ToolAnswer
from gym_http.serve.json_body import read_object
from gym_http.serve.json_reply import json_reply
from gym_http.serve.listener import Listener
from gym_http.serve.model.bodies import whole_response
from gym_http.serve.model.replies import chat_reply, responses_reply
from gym_http.serve.settings import MEGABYTE, ServeSettings

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from gym_http.serve.mcp import MCPEndpoint

ACTOR, ROLE = "gym-actor", "gym-role"
"""The headers that name the actor of a call and the role of its model, where that is not the one of the endpoint."""
EXACT = "gym-exact"
"""The header by which gym's own client says that its items are word for word those it was given, and asks for more."""
_SETTINGS = ServeSettings(max_body=256 * MEGABYTE)
_NO_RETRY = {"x-should-retry": "false"}
"""What OpenAI's clients obey: the run has made all attempts that help."""


class HttpEndpoint(Endpoint):
    """One offer as a program is told of it."""

    def __init__(self, url: str, offered: Offer) -> None:
        base = f"{url}/{offered.id}"
        super().__init__(f"{base}/v1", offered.token, f"{base}/session" if _is_episode(offered) else "")
        self._base = base
        self._offered = offered

    @property
    def mcp_url(self) -> str:
        """The session's tools over MCP. Raises `UsageError` for a model alone, and without the plugin `gym-mcp`."""
        if not _is_episode(self._offered):
            return super().mcp_url
        if find_spec("gym_mcp") is None:
            raise UsageError("tools over MCP need the plugin gym-mcp", hint="pip install gym-mcp")
        return f"{self._base}/mcp"

    @property
    def used(self) -> bool:
        """Whether anything was asked so far."""
        return self._offered.used

    def recall(self, answer: Any) -> BaseException | None:
        """The error that an answer tells again."""
        return self._offered.recall(answer)


class GatewayServer:
    """An HTTP server of the run's process, on `host`, port 0 taking a free one.

    `url`: how others reach it, where that is not the address it listens on. `redact`: masks secrets in what it tells
    of errors.
    """

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, url: str = "", redact: Callable[[str], str] = str
    ) -> None:
        app = Application(self._routes(), settings=_SETTINGS, redactor=Redactor(), for_models=True)
        self._listener = Listener(app, host=host, port=port)
        self._given = url.rstrip("/")
        self._redact = redact
        self._offers: dict[str, Offer] = {}
        self._mcp: asyncio.Task[MCPEndpoint] | None = None
        self._stack = AsyncExitStack()

    @property
    def url(self) -> str:
        """How others reach it, once it is entered."""
        return self._given or self._listener.url

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._listener)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    def offer(self, episode: Episode, actor: str) -> AbstractAsyncContextManager[Endpoint]:
        """Offer an episode within a block. When it is left nobody gets in any more, and nothing is under way."""
        return self._offered(OfferedEpisode(episode, actor))

    def offer_model(self, model: Model) -> AbstractAsyncContextManager[Endpoint]:
        """Offer a model within a block."""
        return self._offered(OfferedModel(model))

    @asynccontextmanager
    async def _offered(self, offered: Offer) -> AsyncIterator[Endpoint]:
        self._offers[offered.id] = offered
        try:
            yield HttpEndpoint(self.url, offered)
        finally:
            del self._offers[offered.id]
            await offered.close()

    # Routes: who asks is let in by the token that came with the URL, whatever is asked.

    def _routes(self) -> list[BaseRoute]:
        taken: dict[str, Any] = {
            "/{id}/v1/responses": self._ask_model(chat=False),
            "/{id}/v1/chat/completions": self._ask_model(chat=True),
            "/{id}/mcp": _OverMCP(self),
            "/{id}/session/tools/{name:path}": self._ask_session(_call_tool),
            "/{id}/session/calls": self._ask_session(_call_tools),
            "/{id}/session/reply": self._ask_session(_reply),
            "/{rest:path}": _nothing,
        }
        return [SessionRoute(path, endpoint, methods=["POST"]) for path, endpoint in taken.items()]

    def _ask_model(self, *, chat: bool) -> Callable[[Request], Awaitable[Reply]]:
        async def respond(request: Request) -> Reply:
            offered = self._find(request.scope)
            actor = unquote(request.headers.get(ACTOR, ""))
            exactly = EXACT in request.headers

            async def ask(body: dict[str, Any]) -> Reply:
                if isinstance(offered, OfferedModel):
                    return _said(await offered.respond(body, chat=chat, actor=actor), body, chat=chat)
                assert isinstance(offered, OfferedEpisode)
                if chat:
                    return _said(await offered.respond_to_chat(body, _who(request)), body, chat=True)
                response = await offered.respond(body, _who(request), exactly=exactly)
                return json_reply(response.body) if exactly else _said(response, body)

            return await self._work(request, offered, ask)

        return respond

    def _ask_session(
        self, asked: Callable[[OfferedEpisode, Request, dict[str, Any]], Awaitable[Reply]]
    ) -> Callable[[Request], Awaitable[Reply]]:
        async def use(request: Request) -> Reply:
            offered = self.find_episode(request.scope)
            return await self._work(request, offered, lambda body: asked(offered, request, body))

        return use

    def _find(self, scope: Scope) -> Offer:
        """What a URL means. Raises `ServeError` where nothing is under way there, or the token is another's."""
        offered = self._offers.get(scope["path_params"]["id"])
        if offered is None:
            raise ServeError(404, "no rollout that is under way has this URL")
        token = bearer(scope["headers"])
        if not offered.admits(token):
            raise unauthorized(
                "the token does not open this" if token else "this wants a token", "it came with the URL, one for each"
            )
        return offered

    def find_episode(self, scope: Scope) -> OfferedEpisode:
        """The episode that a URL means. Raises `ServeError`."""
        offered = self._find(scope)
        if not isinstance(offered, OfferedEpisode):
            raise ServeError(404, "a model is offered here, and no session")
        return offered

    async def _work(
        self, request: Request, offered: Offer, operation: Callable[[dict[str, Any]], Awaitable[Reply]]
    ) -> Reply:
        """What is asked of something offered. A failure is told with a word by which it is known when it comes back."""
        body = await read_object(request)
        with offered.working():
            try:
                return await while_connected(request, operation(body))
            except (ServeError, WireError, ClientDisconnect):
                raise
            except BaseException as error:
                if asked_to_end(error):
                    raise
                return self._failure(error, offered.remember(error))

    def _failure(self, error: BaseException, word: str) -> Reply:
        """An error as gym writes it, with what clients of OpenAI look for. It may quote what nobody should see."""
        status, body = error_to_wire(error)
        body = told(body, self._redact)
        add_openai_words(status, body)
        body["error"]["ref"] = word
        return json_reply(body, status, _NO_RETRY)

    async def mcp(self) -> MCPEndpoint:
        """What answers MCP, opened by the first who asks. Raises `ServeError` without the package."""
        if self._mcp is None:
            self._mcp = asyncio.create_task(self._open_mcp())
        return await asyncio.shield(self._mcp)

    async def _open_mcp(self) -> MCPEndpoint:
        try:
            from gym_http.serve.mcp import MCPEndpoint
            from gym_mcp import load_package

            await load_package()
        except ModuleNotFoundError:
            raise ServeError(501, "tools over MCP need the plugin gym-mcp", hint="pip install gym-mcp") from None
        endpoint = MCPEndpoint(
            lambda scope: _EpisodeTools(self.find_episode(scope)),
            name="gym",
            version="1",
            redact=self._redact,
            max_body=_SETTINGS.max_body,
        )
        await self._stack.enter_async_context(endpoint.lifespan())
        return endpoint


class _OverMCP:
    """The route of tools over MCP: an ASGI application that is there when it is needed."""

    def __init__(self, server: GatewayServer) -> None:
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._server.find_episode(scope)  # who must not come in waits for nothing
        endpoint = await self._server.mcp()
        await endpoint(scope, receive, send)


class _EpisodeTools:
    """The tools of an episode, for MCP."""

    def __init__(self, offered: OfferedEpisode) -> None:
        self._offered = offered

    @property
    def schemas(self) -> Any:
        return self._offered.schemas

    async def call(self, name: str, arguments: Mapping[str, Any]) -> ToolAnswer:
        written = encode_json(arguments).decode()
        with self._offered.working():
            call = {"type": "function_call", "call_id": "", "name": name, "arguments": written}
            (output,) = await self._offered.call_tools([call])
        return ToolAnswer(output["output"], None, None)


def _is_episode(offered: Offer) -> bool:
    return isinstance(offered, OfferedEpisode)


def _who(request: Request) -> Who:
    """The actor that asks, if it is named."""
    return unquote(request.headers.get(ACTOR) or ""), unquote(request.headers.get(ROLE) or "policy")


async def _call_tool(offered: OfferedEpisode, request: Request, body: dict[str, Any]) -> Reply:
    call = {"type": "function_call", "call_id": "", "arguments": "{}", **body, "name": request.path_params["name"]}
    (output,) = await offered.call_tools(read(CallsRequest, {"calls": [call]})["calls"], _who(request))
    return json_reply({"output": output["output"]})


async def _call_tools(offered: OfferedEpisode, request: Request, body: dict[str, Any]) -> Reply:
    return json_reply({"outputs": await offered.call_tools(read(CallsRequest, body)["calls"], _who(request))})


async def _reply(offered: OfferedEpisode, request: Request, body: dict[str, Any]) -> Reply:
    return json_reply({"items": list(await offered.reply(read(ReplyRequest, body)["response"]))})


async def _nothing(request: Request) -> Reply:
    raise ServeError(404, f"nothing that is under way has the URL {request.url.path:.200}")


def _said(response: Response, asked: Mapping[str, Any], *, chat: bool = False) -> Reply:
    """A response as clients of OpenAI want it."""
    name = str(response.body.get("model") or asked.get("model") or "policy")
    whole = whole_response(response.body, {} if chat else asked, name)
    if not chat:
        return responses_reply(whole, asked)
    # What the model has thought in secret no chat message can carry; it is put back when the conversation comes again.
    whole["output"] = [item for item in whole["output"] if not item.get("encrypted_content")]
    return chat_reply(whole, asked, name)
