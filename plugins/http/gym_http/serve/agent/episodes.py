"""`POST /v1/episodes`: a served agent works on an episode whose model and session are elsewhere.

The body names two URLs with their tokens; the answer is the agent's stop reason. What model or session refused, and the
agent let pass, is answered as it came, so that the caller knows its own error again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.routing import BaseRoute, Route

from gym_core import Agent, GymError, Request
from gym_core.responses import as_items
from gym_core.spi import with_flat_tools, within
from gym_http.protocol.errors import WireError
from gym_http.serve import openapi
from gym_http.serve.agent.callbacks import Callbacks
from gym_http.serve.agent.http_episode import HttpEpisode, Place
from gym_http.serve.disconnects import while_connected
from gym_http.serve.json_body import read_object
from gym_http.serve.json_reply import json_reply

_FIELDS = frozenset({"request", "model", "session", "task_id", "repeat"})


class Episodes:
    """The episodes of one served agent, any number at once. An async context manager; it holds the clients.

    `callbacks`: hosts that may be called besides the caller's own, see `Callbacks`.
    """

    def __init__(self, agent: Agent, *, callbacks: Iterable[str] = ()) -> None:
        self.agent = agent
        self.running = 0
        self._callbacks = Callbacks(callbacks)

    async def __aenter__(self) -> Self:
        await self._callbacks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._callbacks.__aexit__(kind, error, traceback)

    @property
    def routes(self) -> list[BaseRoute]:
        """The route, for the application that serves the agent."""
        return [Route("/v1/episodes", self._endpoint, methods=["POST"])]

    async def _endpoint(self, request: HttpRequest) -> HttpResponse:
        episode = await self._episode(request, await read_object(request))
        self.running += 1
        try:
            stop_reason = await while_connected(request, within(self.agent.run(episode), None, "the agent"))
        except GymError as error:
            if episode.refused is not None and episode.refused[0] is error:
                reply = episode.refused[1]
                return HttpResponse(reply.content, reply.status, media_type="application/json")
            raise
        finally:
            self.running -= 1
        if not isinstance(stop_reason, str):
            raise GymError(f"the agent returned {stop_reason!r:.80}; a stop reason is a text")
        return json_reply({"stop_reason": stop_reason})

    async def _episode(self, request: HttpRequest, body: dict[str, Any]) -> HttpEpisode:
        for name in body:
            if name not in _FIELDS:
                raise WireError(name, f"is not known here; the fields are {', '.join(sorted(_FIELDS))}")
        asked = body.get("request")
        if not isinstance(asked, dict):
            raise WireError("request", "must be a Responses request" if "request" in body else "is missing")
        try:
            items = as_items(asked.get("input"))
        except ValueError:
            raise WireError("request.input", "must be a string or a list of objects") from None
        tools = asked.get("tools")
        if tools is not None and not (isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools)):
            raise WireError("request.tools", "must be a list of objects")
        caller = request.client.host if request.client is not None else None
        model = await self._place(body.get("model"), "model", "base_url", caller)
        session = await self._place(body.get("session"), "session", "url", caller)
        batch = body["session"].get("batch") is True
        return HttpEpisode(Request({**with_flat_tools(asked), "input": items}), model, session, batch=batch)

    async def _place(self, wire: Any, field: str, name: str, caller: str | None) -> Place:
        if not isinstance(wire, Mapping):
            raise WireError(field, f"must be an object with `{name}` and `token`")
        client, path = await self._callbacks.client(wire.get(name), caller, f"{field}.{name}")
        token = wire.get("token")
        if not isinstance(token, str) or not (token.isascii() and token.isprintable()):
            raise WireError(f"{field}.token", "must be a text of visible ASCII characters")
        return Place(client, path, token)


def _place_schema(name: str, **more: Any) -> dict[str, Any]:
    url = {"type": "string", "format": "uri", "pattern": "^https?://[^?#@]+$"}
    token = {"type": "string", "pattern": "^[ -~]*$"}
    return {"type": "object", "required": [name, "token"], "properties": {name: url, "token": token, **more}}


_OBJECTS = {"type": "array", "items": {"type": "object"}}
OPENAPI: Mapping[str, Any] = {
    "schemas": {
        "Episode": {
            "type": "object",
            "required": ["request", "model", "session"],
            "additionalProperties": False,
            "properties": {
                "request": {
                    "type": "object",
                    "description": "A Responses request: the input and the tools.",
                    "required": ["input"],
                    "properties": {
                        "input": {"anyOf": [{"type": "string"}, _OBJECTS]},
                        "tools": {"anyOf": [_OBJECTS, {"type": "null"}]},
                    },
                },
                "model": _place_schema("base_url"),
                "session": _place_schema("url", batch={"type": "boolean"}),
                "task_id": {"type": "string"},
                "repeat": {"type": "integer"},
            },
        },
        "Stopped": {"type": "object", "required": ["stop_reason"], "properties": {"stop_reason": {"type": "string"}}},
    },
    "paths": {
        "/v1/episodes": {
            "post": {
                "summary": "Work on an episode whose model and session are URLs.",
                "requestBody": openapi.body(openapi.reference("Episode")),
                "responses": {
                    "200": openapi.answer("Why the agent stopped.", openapi.reference("Stopped")),
                    "422": openapi.error("The body names no episode."),
                    "default": openapi.error("What model or session refused, as it came, or the agent's own failure."),
                },
            }
        }
    },
}
