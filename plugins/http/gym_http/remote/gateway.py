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

from gym_core import Episode, Model, Response
from gym_core.spi import asked_to_end
from gym_http.protocol.errors import ServeError, WireError, add_openai_words, error_to_wire
from gym_http.remote.episode import OfferedEpisode
from gym_http.remote.gateway_grant import Offer
from gym_http.remote.offered_models import OfferedModels
from gym_http.serve.auth import bearer, unauthorized
from gym_http.serve.disconnects import while_connected
from gym_http.serve.json_body import parse_object
from gym_http.serve.json_reply import json_reply
from gym_http.serve.listener import Listener
from gym_http.serve.model.bodies import whole_completion, whole_response
from gym_http.serve.model.streaming import chat_stream, response_stream

ACTOR = "gym-actor"
"""The header in which gym's own client names the actor. A call with it is answered as the backend answered."""
MAX_BODY = 256 << 20
_NO_RETRY = {"x-should-retry": "false"}
"""What OpenAI's clients obey: the run has made all attempts that help."""
_SPEAKING = {("responses",): False, ("chat", "completions"): True}


class Gateway:
    """An HTTP server of the run's process, on `host`, port 0 taking a free one.

    `url`: how others reach it, where that is not the address it listens on. `redact`: masks secrets in what it tells
    of errors.
    """

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, url: str = "", redact: Callable[[str], str] = str
    ) -> None:
        self._listener = Listener(self, host=host, port=port)
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

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request, as ASGI has it."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            reply = await self._reply(request)
        except ClientDisconnect:
            return  # nobody is there to be answered
        except BaseException as error:  # the boundary to HTTP: whatever it is becomes an answer
            if asked_to_end(error):
                raise
            reply = self._failure(error, "")
        await reply(scope, receive, send)

    async def _reply(self, request: Request) -> Reply:
        path = request.scope["path"]
        _, kind, ident, *rest = [*path.split("/", 4), "", ""][:5]
        if request.method != "POST":
            raise ServeError(405, f"{path:.200} takes POST only", headers={"Allow": "POST"})
        token = bearer(request.scope["headers"])
        offered: Offer
        operation: Callable[[dict[str, Any]], Awaitable[Reply]]
        if kind == "rollouts" and ident in self._episodes:
            offered, operation = self._of_episode(request, self._episodes[ident], token, *rest)
        elif kind == "models" and ident in self._models:
            offered, operation = self._of_models(self._models[ident], token, *rest)
        else:
            raise ServeError(404, "no rollout that is under way has this URL")
        body = parse_object(await _read(request))
        with offered.working():
            try:
                return await while_connected(request, operation(body))
            except (ServeError, WireError, ClientDisconnect):
                raise
            except BaseException as error:  # it is told, and known again when it comes back
                if asked_to_end(error):
                    raise
                return self._failure(error, offered.remember(error))

    def _failure(self, error: BaseException, word: str) -> Reply:
        """An error as gym writes it, with what clients of OpenAI look for. It may quote what nobody should see."""
        status, body = error_to_wire(error)
        body = _told(body, self._redact)
        add_openai_words(status, body)
        if word:
            body["error"]["ref"] = word
        headers = dict(error.headers) if isinstance(error, ServeError) else {}
        return json_reply(body, status, {**headers, **_NO_RETRY})

    def _of_episode(
        self, request: Request, offered: OfferedEpisode, token: str, part: str, rest: str
    ) -> tuple[OfferedEpisode, Callable[[dict[str, Any]], Awaitable[Reply]]]:
        """What a URL below `/rollouts/ID/` asks for. Raises `ServeError`."""
        if part not in ("v1", "session"):
            raise ServeError(404, f"a rollout offers v1 and session, not {part!r:.80}")
        if not offered.admits(token, model=part == "v1"):
            raise _wrong(token)
        if part == "v1":
            chat = _dialect(rest)
            actor = request.headers.get(ACTOR)
            named = unquote(actor) if actor else "policy"

            async def respond(body: dict[str, Any]) -> Reply:
                if chat:
                    return _said(await offered.respond_to_chat(body, actor=named), body, chat=True)
                response = await offered.respond(body, actor=named, exactly=actor is not None)
                return json_reply(response.body) if actor is not None else _said(response, body, chat=False)

            return offered, respond
        what, _, name = rest.partition("/")

        async def use(body: dict[str, Any]) -> Reply:
            if what == "tools":
                call = {"type": "function_call", "name": name, "call_id": "", "arguments": "{}", **body}
                (output,) = await offered.call_tools([{**call, "name": name}])
                return json_reply({"output": output["output"]})
            if what == "calls":
                return json_reply({"outputs": await offered.call_tools(body.get("calls"))})
            return json_reply({"items": list(await offered.reply(body.get("response")))})

        if what not in ("tools", "calls", "reply") or (name and what != "tools"):
            raise ServeError(404, f"a session offers an agent tools, calls and reply, not {rest!r:.80}")
        return offered, use

    def _of_models(
        self, offered: OfferedModels, token: str, part: str, rest: str
    ) -> tuple[OfferedModels, Callable[[dict[str, Any]], Awaitable[Reply]]]:
        """What a URL below `/models/ID/` asks for: `ROLE/v1/...`. Raises `ServeError`."""
        if not offered.admits(token, part):
            raise _wrong(token)
        chat = _dialect(rest.removeprefix("v1/"))

        async def respond(body: dict[str, Any]) -> Reply:
            response = await offered.respond(part, body, chat=chat)
            return _said(response, body, chat=chat)

        return offered, respond


def _told(value: Any, redact: Callable[[str], str]) -> Any:
    """JSON whose texts, and nothing of its form, went through `redact`."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {name: inner if name in ("code", "class") else _told(inner, redact) for name, inner in value.items()}
    return [_told(inner, redact) for inner in value] if isinstance(value, list) else value


def _dialect(rest: str) -> bool:
    """Whether the rest of a model's URL is that of Chat Completions. Raises `ServeError` for one that is neither."""
    chat = _SPEAKING.get(tuple(rest.split("/")))
    if chat is None:
        raise ServeError(404, f"a model offers responses and chat/completions, not {rest!r:.80}")
    return chat


def _wrong(token: str) -> ServeError:
    return unauthorized(
        "the token does not open this" if token else "this wants a token", "it came with the URL, one for each URL"
    )


def _said(response: Response, body: Mapping[str, Any], *, chat: bool) -> Reply:
    """A response as clients of OpenAI want it."""
    name = str(response.body.get("model") or body.get("model") or "policy")
    whole = whole_response(response.body, {} if chat else body, name)
    if not chat:
        return response_stream(whole) if body.get("stream") else json_reply(whole)
    # What the model has thought in secret no chat message can carry; it is put back when the conversation comes again.
    whole["output"] = [item for item in whole["output"] if not item.get("encrypted_content")]
    try:
        completion = whole_completion(whole, name)
    except ValueError as error:
        problem = f"the answer cannot be said in Chat Completions: {error}"
        raise ServeError(422, problem, hint="ask /responses") from None
    if not body.get("stream"):
        return json_reply(completion)
    options = body.get("stream_options")
    return chat_stream(completion, include_usage=isinstance(options, dict) and bool(options.get("include_usage")))


async def _read(request: Request) -> bytes:
    parts, left = [], MAX_BODY
    async for part in request.stream():
        left -= len(part)
        if left < 0:
            raise ServeError(413, f"the body is longer than {MAX_BODY} bytes")
        parts.append(part)
    return b"".join(parts)
