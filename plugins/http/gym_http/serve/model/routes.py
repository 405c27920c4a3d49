"""A model backend as an OpenAI-compatible endpoint: `/v1/responses`, `/v1/chat/completions` and `/v1/models`.

Whatever the backend is, requests reach it through the engine's gate, with the retries, the limits and the time limits
of a run. It answers whole: a stream is the finished answer, event by event.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gym_core import CallContext, ModelBackend, ModelError
from gym_core.spi import Clock, Deadlines, Limiters, ModelGate, Watch, within
from gym_http.protocol.errors import ServeError
from gym_http.protocol.openai import ChatRequest, FirstLook, Model, ModelList, ResponsesRequest
from gym_http.protocol.wire import info_to_wire
from gym_http.serve.disconnects import while_connected
from gym_http.serve.json_reply import json_reply
from gym_http.serve.model.bodies import said_tokens, whole_response
from gym_http.serve.model.errors import InvalidRequest, error_reply
from gym_http.serve.model.replies import chat_reply, responses_reply
from gym_http.serve.model.requests import from_chat, read_body, request_of

ROLLOUT_HEADER = "gym-rollout"
"""Which rollout a call belongs to, as `TASK_ID/REPEAT` with the task id percent-encoded. Optional."""
RETRIES_HEADER = "gym-retries"
"""With the value `none` a failed call is answered at once: the caller tries again itself. Optional."""
NO_RETRIES = "none"

Endpoint = Callable[[Request], Awaitable[Response]]


class ServedModel:
    """A backend that is open, behind a gate of its own. To be made within the event loop that serves it.

    `clock`: the time that retries go by.
    """

    def __init__(
        self, backend: ModelBackend, *, deadlines: Deadlines | None = None, clock: Clock | None = None
    ) -> None:
        self.backend = backend
        self.gate = ModelGate(
            "policy",
            backend,
            limiters=Limiters(),
            deadlines=deadlines or Deadlines(),
            clock=clock or Clock(asyncio.get_running_loop().time),
        )
        self._watch = Watch()
        self._numbers = itertools.count(1)
        self._started = int(time.time())

    @property
    def name(self) -> str:
        """The model's name as it is listed."""
        return self.gate.info.model_id or self.backend.context.name

    def capabilities(self) -> dict[str, Any]:
        """What the backend says of itself, and that its answers can be had as streams."""
        return {**info_to_wire(replace(self.gate.info, model_id=self.name)), "streaming": True}

    async def check(self) -> FirstLook:
        """The backend's look at its endpoint. Raises `ModelError`."""
        warnings = await within(self.backend.check(), self.gate.deadlines.setup, "the look at the endpoint")
        return {"warnings": [*warnings]}

    def listed(self) -> Model:
        """The model as an entry of `GET /v1/models`."""
        return {"id": self.name, "object": "model", "created": self._started, "owned_by": self.backend.context.name}

    async def respond(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
        """One call with a Responses body; returns a whole one. Raises `ModelError`, `InvalidRequest`.

        `headers`: of the request, of which `Gym-Rollout` and `Gym-Retries` are read. A `seed` in the body goes to the
        backend as the engine's does.
        """
        request = request_of(body)
        seed = request.body.pop("seed") if type(request.body.get("seed")) is int else None
        alarm = self._watch.alarm()
        alarm.detached = True  # the request ends when it has to, whether or not the backend does
        try:
            context = CallContext(self._key(headers.get(ROLLOUT_HEADER, "")), seed=seed)
            answer = await self.gate.call(request, context, alarm, retry=headers.get(RETRIES_HEADER) != NO_RETRIES)
        finally:
            alarm.close()
        response = answer.response
        said = response.body if response.tokens is None else {**response.body, **said_tokens(response.tokens)}
        return whole_response(said, body, self.name)

    def _key(self, rollout: str) -> tuple[str, int]:
        task_id, _, repeat = rollout.rpartition("/")
        if task_id and repeat.isascii() and repeat.isdigit() and len(repeat) < 10:
            return unquote(task_id), int(repeat)
        return f"request {next(self._numbers)}", 0  # callers that say nothing have nothing in common


def routes(model: ServedModel) -> list[BaseRoute]:
    """The routes of a served model."""

    async def responses(request: Request) -> Response:
        body = await read_body(ResponsesRequest, request)
        whole = await while_connected(request, model.respond(body, request.headers))
        return responses_reply(whole, body)

    async def chat_completions(request: Request) -> Response:
        chat = await read_body(ChatRequest, request)
        body = from_chat(chat)
        whole = await while_connected(request, model.respond(body, request.headers))
        return chat_reply(whole, chat, model.name)

    async def check(request: Request) -> Response:
        return json_reply(await while_connected(request, model.check()))

    async def models(request: Request) -> Response:
        listed: ModelList = {"object": "list", "data": [model.listed()]}
        return json_reply(listed)

    async def one_model(request: Request) -> Response:
        name = request.path_params["model"]
        if name != model.name:
            raise InvalidRequest(f"there is no model {name!r}", "model", status=404, code="model_not_found")
        return json_reply(model.listed())

    return [
        Route("/v1/responses", answering(responses), methods=["POST"]),
        Route("/v1/chat/completions", answering(chat_completions), methods=["POST"]),
        Route("/v1/check", answering(check), methods=["GET"]),
        Route("/v1/models", models, methods=["GET"]),
        Route("/v1/models/{model:path}", answering(one_model), methods=["GET"]),
    ]


def answering(endpoint: Endpoint) -> Endpoint:
    """An endpoint whose failures are answered in OpenAI's shape."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except (ModelError, ServeError) as error:
            return error_reply(error)

    return answer
