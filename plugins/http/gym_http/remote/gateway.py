"""The gateway of a run: where components that run elsewhere reach the models and sessions of the rollouts here.

An agent gets, for each rollout, one URL for its model and one for its session, each with a token of its own:

    {model}/responses, {model}/chat/completions     as OpenAI writes them, streams included
    {session}/tools/{name}                          {"arguments", "call_id"?} -> {"output"}
    {session}/calls                                 {"calls": [...]} -> {"outputs": [...]}, the calls of one response
    {session}/reply                                 {"response"} -> {"items"}

Nothing else of a rollout is reachable: not its verifier, not the hidden fields of its task.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, unquote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response as Reply
from starlette.routing import BaseRoute

from gym_core import Episode, Model, Response
from gym_core.spi import Redactor, asked_to_end
from gym_http.protocol.errors import ServeError, WireError, add_openai_words, error_to_wire
from gym_http.protocol.sessions import CallsRequest, ReplyRequest
from gym_http.protocol.shapes import read
from gym_http.remote.episode import OfferedEpisode
from gym_http.remote.gateway_grant import Offer
from gym_http.remote.offered_models import OfferedModels
from gym_http.serve.application import Application
from gym_http.serve.auth import SessionRoute, bearer, unauthorized
from gym_http.serve.disconnects import while_connected
from gym_http.serve.json_body import read_object
from gym_http.serve.json_reply import json_reply
from gym_http.serve.listener import Listener
from gym_http.serve.model.bodies import whole_response
from gym_http.serve.model.replies import chat_reply, responses_reply
from gym_http.serve.settings import MEGABYTE, ServeSettings

ACTOR = "gym-actor"
"""The header in which gym's own client names the actor. A call with it is answered as the backend answered."""
_SETTINGS = ServeSettings(max_body=256 * MEGABYTE)
_NO_RETRY = {"x-should-retry": "false"}
"""What OpenAI's clients obey: the run has made all attempts that help."""


class Gateway:
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
        self._episodes: dict[str, OfferedEpisode] = {}
        self._models: dict[str, OfferedModels] = {}

    @property
    def url(self) -> str:
        """How others reach it, once it is entered."""
        return self._given or self._listener.url

    async def __aenter__(self) -> Self:
        await self._listener.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._listener.__aexit__(kind, error, traceback)

    @asynccontextmanager
    async def offer(self, episode: Episode) -> AsyncIterator[OfferedEpisode]:
        """Offer an episode within a block. When it is left nobody gets in any more, and nothing is under way."""
        offered = OfferedEpisode(episode)
        self._episodes[offered.id] = offered
        try:
            yield offered
        finally:
            del self._episodes[offered.id]
            await offered.close()

    @asynccontextmanager
    async def offer_models(self, models: Mapping[str, Model]) -> AsyncIterator[dict[str, dict[str, str]]]:
        """Offer models within a block; gives `{role: {"base_url", "token"}}`."""
        offered = OfferedModels(models)
        self._models[offered.id] = offered
        try:
            yield {
                role: {"base_url": f"{self.url}/models/{offered.id}/{quote(role, safe='')}/v1", "token": token}
                for role, token in offered.tokens.items()
            }
        finally:
            del self._models[offered.id]
            await offered.close()

    def places(self, offered: OfferedEpisode) -> dict[str, Any]:
        """What an agent is told: `model` with `base_url` and `token`, `session` with `url`, `token` and `batch`."""
        base = f"{self.url}/rollouts/{offered.id}"
        return {
            "model": {"base_url": f"{base}/v1", "token": offered.model_token},
            "session": {"url": f"{base}/session", "token": offered.session_token, "batch": True},
        }

    # Routes: who asks is let in by the token that came with the URL, whatever is asked.

    def _routes(self) -> list[BaseRoute]:
        rollout, models = "/rollouts/{id}", "/models/{id}/{role}/v1"
        taken: dict[str, Callable[[Request], Awaitable[Reply]]] = {
            f"{rollout}/v1/responses": self._model_of_rollout(chat=False),
            f"{rollout}/v1/chat/completions": self._model_of_rollout(chat=True),
            f"{rollout}/session/tools/{{name:path}}": self._of_session(_call_tool),
            f"{rollout}/session/calls": self._of_session(_call_tools),
            f"{rollout}/session/reply": self._of_session(_reply),
            f"{models}/responses": self._model_of_session(chat=False),
            f"{models}/chat/completions": self._model_of_session(chat=True),
            "/{rest:path}": _nothing,
        }
        return [SessionRoute(path, endpoint, methods=["POST"]) for path, endpoint in taken.items()]

    def _model_of_rollout(self, *, chat: bool) -> Callable[[Request], Awaitable[Reply]]:
        async def respond(request: Request) -> Reply:
            offered = self._episode(request, model=True)
            actor = request.headers.get(ACTOR)
            named = unquote(actor) if actor else "policy"

            async def ask(body: dict[str, Any]) -> Reply:
                if chat:
                    return _said(await offered.respond_to_chat(body, actor=named), body, chat=True)
                response = await offered.respond(body, actor=named, exactly=actor is not None)
                return json_reply(response.body) if actor is not None else _said(response, body)

            return await self._work(request, offered, ask)

        return respond

    def _of_session(
        self, asked: Callable[[OfferedEpisode, Request, dict[str, Any]], Awaitable[Reply]]
    ) -> Callable[[Request], Awaitable[Reply]]:
        async def use(request: Request) -> Reply:
            offered = self._episode(request, model=False)
            return await self._work(request, offered, lambda body: asked(offered, request, body))

        return use

    def _model_of_session(self, *, chat: bool) -> Callable[[Request], Awaitable[Reply]]:
        async def respond(request: Request) -> Reply:
            offered = self._models.get(request.path_params["id"])
            if offered is None:
                raise _nobody()
            role, token = request.path_params["role"], bearer(request.scope["headers"])
            if not offered.admits(token, role):
                raise _wrong(token)

            async def ask(body: dict[str, Any]) -> Reply:
                return _said(await offered.respond(role, body, chat=chat), body, chat=chat)

            return await self._work(request, offered, ask)

        return respond

    def _episode(self, request: Request, *, model: bool) -> OfferedEpisode:
        """The episode of a URL. Raises `ServeError` for one that is not under way, or where the token is another's."""
        offered = self._episodes.get(request.path_params["id"])
        if offered is None:
            raise _nobody()
        token = bearer(request.scope["headers"])
        if not offered.admits(token, model=model):
            raise _wrong(token)
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
        body = _told(body, self._redact)
        add_openai_words(status, body)
        body["error"]["ref"] = word
        return json_reply(body, status, _NO_RETRY)


async def _call_tool(offered: OfferedEpisode, request: Request, body: dict[str, Any]) -> Reply:
    call = {"type": "function_call", "call_id": "", "arguments": "{}", **body, "name": request.path_params["name"]}
    (output,) = await offered.call_tools(read(CallsRequest, {"calls": [call]})["calls"])
    return json_reply({"output": output["output"]})


async def _call_tools(offered: OfferedEpisode, request: Request, body: dict[str, Any]) -> Reply:
    return json_reply({"outputs": await offered.call_tools(read(CallsRequest, body)["calls"])})


async def _reply(offered: OfferedEpisode, request: Request, body: dict[str, Any]) -> Reply:
    return json_reply({"items": list(await offered.reply(read(ReplyRequest, body)["response"]))})


async def _nothing(request: Request) -> Reply:
    raise ServeError(404, f"nothing that is under way has the URL {request.url.path:.200}")


def _told(value: Any, redact: Callable[[str], str]) -> Any:
    """JSON whose texts, and nothing of its form, went through `redact`."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {name: inner if name in ("code", "class") else _told(inner, redact) for name, inner in value.items()}
    return [_told(inner, redact) for inner in value] if isinstance(value, list) else value


def _nobody() -> ServeError:
    return ServeError(404, "no rollout that is under way has this URL")


def _wrong(token: str) -> ServeError:
    return unauthorized(
        "the token does not open this" if token else "this wants a token", "it came with the URL, one for each URL"
    )


def _said(response: Response, asked: Mapping[str, Any], *, chat: bool = False) -> Reply:
    """A response as clients of OpenAI want it."""
    name = str(response.body.get("model") or asked.get("model") or "policy")
    whole = whole_response(response.body, {} if chat else asked, name)
    if not chat:
        return responses_reply(whole, asked)
    # What the model has thought in secret no chat message can carry; it is put back when the conversation comes again.
    whole["output"] = [item for item in whole["output"] if not item.get("encrypted_content")]
    return chat_reply(whole, asked, name)
