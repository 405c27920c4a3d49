"""`POST /v1/episodes`: a served agent works on an episode whose model and session are elsewhere.

The body names two URLs with their tokens; the answer is the agent's stop reason. What model or session refused, and the
agent let pass, is answered as it came, so that the caller knows its own error again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.routing import BaseRoute, Route

from gym_core import Agent, Endpoint, GymError, Request
from gym_core.responses import as_items
from gym_core.spi import checked_stop, with_flat_tools, within
from gym_http.protocol.agents import EpisodeBody, Stopped
from gym_http.serve.agent.callbacks import Callbacks
from gym_http.serve.agent.http_episode import HttpEpisode, Place
from gym_http.serve.disconnects import while_connected
from gym_http.serve.json_body import read_as
from gym_http.serve.json_reply import json_reply
from gym_http.serve.openapi import answer, error, operation


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

    async def __aexit__(self, *error: Any) -> None:
        await self._callbacks.__aexit__(*error)

    @property
    def routes(self) -> list[BaseRoute]:
        """The route, for the application that serves the agent."""
        return [Route("/v1/episodes", self._endpoint, methods=["POST"])]

    async def _endpoint(self, request: HttpRequest) -> HttpResponse:
        episode = await self._episode(request)
        self.running += 1
        try:
            returned = await while_connected(request, within(self.agent.run(episode), None, "the agent"))
        except GymError as error:
            if episode.refused is not None and episode.refused[0] is error:
                reply = episode.refused[1]
                return HttpResponse(reply.content, reply.status, media_type="application/json")
            raise
        finally:
            self.running -= 1
        stop = checked_stop(returned)
        return json_reply({"stop_reason": stop.reason, **({"detail": stop.detail} if stop.detail else {})})

    async def _episode(self, request: HttpRequest) -> HttpEpisode:
        body = await read_as(EpisodeBody, request)
        asked, at_model, at_session = body["request"], body["model"], body["session"]
        items = as_items(asked["input"])
        caller = request.client.host if request.client is not None else None
        model = await self._place(at_model["base_url"], at_model["token"], "model.base_url", caller)
        session = await self._place(at_session["url"], at_session["token"], "session.url", caller)
        endpoint = _Endpoint(at_model["base_url"], at_model["token"], at_session["url"], at_session.get("mcp_url", ""))
        shown = Request({**with_flat_tools(asked), "input": items})
        return HttpEpisode(shown, model, session, endpoint, batch=at_session.get("batch", False))

    async def _place(self, url: str, token: str, field: str, caller: str | None) -> Place:
        client, path = await self._callbacks.client(url, caller, field)
        return Place(client, path, token)


class _Endpoint(Endpoint):
    def __init__(self, base_url: str, token: str, session_url: str, mcp_url: str) -> None:
        super().__init__(base_url, token, session_url)
        self._mcp_url = mcp_url

    @property
    def mcp_url(self) -> str:
        return self._mcp_url or super().mcp_url


OPENAPI: Mapping[str, Any] = {
    "paths": {
        "/v1/episodes": {
            "post": operation(
                "Work on an episode whose model and session are URLs.",
                {
                    "200": answer("Why the agent stopped.", Stopped),
                    "422": error("The body names no episode."),
                    "default": error("What model or session refused, as it came, or the agent's own failure."),
                },
                EpisodeBody,
            )
        }
    },
}
