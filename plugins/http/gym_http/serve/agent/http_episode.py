"""An episode whose model and session are URLs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Unpack
from urllib.parse import quote

from gym_core import Actor, Endpoint, FunctionCallOutput, Item, Request, Response, Sampling, Sandbox, UsageError
from gym_core.responses import call_id_of
from gym_core.spi import sampling_fields
from gym_http.protocol.client import BROKEN, Client, Reply
from gym_http.protocol.errors import RemoteError, WireError
from gym_http.protocol.wire import items_from_wire


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is asked: a client, what paths begin with, and the token that opens it."""

    client: Client
    path: str
    token: str

    async def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Reply:
        """One question, without a bound of its own: whoever answers it has one."""
        return await self.client.post(self.path + path, body, token=self.token, headers=headers)


class HttpActor:
    """Another actor of an episode over HTTP: its name goes with whatever it asks."""

    def __init__(self, episode: HttpEpisode, name: str, role: str) -> None:
        self._episode = episode
        self.name = name
        self.role = role
        self._headers = {"Gym-Actor": quote(name, safe=""), "Gym-Role": quote(role, safe="")}

    @property
    def tools(self) -> Sequence[Mapping[str, Any]]:
        """The tools its model may call."""
        return self._episode.tools if self.role == "policy" else ()

    async def respond(self, items: Sequence[Item], **sampling: Unpack[Sampling]) -> Response:
        """Ask its model to continue a conversation."""
        return await self._episode.ask(items, sampling_fields(sampling), self._headers)

    async def call_tool(self, call: Mapping[str, Any]) -> FunctionCallOutput:
        """Run one function call."""
        return (await self.call_tools([call]))[0]

    async def call_tools(self, calls: Sequence[Mapping[str, Any]]) -> list[FunctionCallOutput]:
        """Run the calls of one response."""
        return await self._episode.carry_out(calls, self._headers)


class HttpEpisode:
    """Implements `Episode` over HTTP. `batch`: the session takes the calls of one response at once.

    `endpoint`: the same places for a program.

    `refused`: the latest error that was raised here, with the answer that it stands for.
    """

    name = role = "policy"

    def __init__(
        self, request: Request, model: Place, session: Place, endpoint: Endpoint, *, batch: bool = False
    ) -> None:
        self._request = request
        self._model = model
        self._session = session
        self._batch = batch
        self._endpoint = endpoint
        self.refused: tuple[Exception, Reply] | None = None

    @property
    def request(self) -> Request:
        """The task's request, with the opening observation and the tools."""
        return self._request

    @property
    def tools(self) -> Sequence[Mapping[str, Any]]:
        """The tools the model may call."""
        return self._request.tools

    def actor(self, name: str, role: str = "policy") -> Actor:
        """Another actor. What is wrong with its name or role is said when it asks."""
        return self if name == self.name and role == self.role else HttpActor(self, name, role)

    async def respond(self, items: Sequence[Item], **sampling: Unpack[Sampling]) -> Response:
        """Ask the model to continue a conversation."""
        return await self.ask(items, sampling_fields(sampling), {"Gym-Actor": self.name})

    async def ask(self, items: Sequence[Item], fields: Mapping[str, Any], headers: Mapping[str, str]) -> Response:
        """Ask a model. `headers`: who does."""
        headers = {**headers, "Gym-Exact": "true"}
        reply = await self._model.post("/responses", {**fields, "input": list(items)}, headers)
        body = self._checked(reply)
        self._items(body.get("output"), "output", reply)
        return Response(body)

    async def call_tool(self, call: Mapping[str, Any]) -> FunctionCallOutput:
        """Run one function call."""
        return (await self.call_tools([call]))[0]

    async def call_tools(self, calls: Sequence[Mapping[str, Any]]) -> list[FunctionCallOutput]:
        """Run the calls of one response."""
        return await self.carry_out(calls)

    async def carry_out(
        self, calls: Sequence[Mapping[str, Any]], headers: Mapping[str, str] | None = None
    ) -> list[FunctionCallOutput]:
        """Run the calls of one response. `headers`: whose they are."""
        if not self._batch:
            return [await self._call(call, headers) for call in calls]
        reply = await self._session.post("/calls", {"calls": list(calls)}, headers)
        return self._items(self._checked(reply).get("outputs"), "outputs", reply)

    async def _call(self, call: Mapping[str, Any], headers: Mapping[str, str] | None) -> FunctionCallOutput:
        call_id = call_id_of(call)
        body = {"arguments": call.get("arguments"), "call_id": call_id}
        path = f"/tools/{quote(str(call.get('name') or ''), safe='')}"
        answer = self._checked(await self._session.post(path, body, headers))
        return {"type": "function_call_output", "call_id": call_id, "output": answer.get("output", "")}

    async def reply(self, response: Response) -> Sequence[Item]:
        """What the environment answers to a response without calls."""
        reply = await self._session.post("/reply", {"response": response.body})
        return self._items(self._checked(reply).get("items") or [], "items", reply)

    @property
    def sandboxes(self) -> Mapping[str, Sandbox]:
        """They are where the session is."""
        return {}

    @asynccontextmanager
    async def endpoint(self, actor: str = "policy") -> AsyncIterator[Endpoint]:
        """The URLs that this episode works with itself: they are as good for a program.

        Raises `UsageError` for another actor than the policy, whose calls would not be told from its.
        """
        if actor != "policy":
            raise UsageError(
                "an agent that is served has endpoints of its main actor only",
                hint="the header Gym-Actor names another one, call by call",
            )
        yield self._endpoint

    def _checked(self, reply: Reply) -> dict[str, Any]:
        if reply.ok:
            return reply.object()
        error = reply.failure()
        self.refused = error, reply
        raise error

    def _items(self, value: Any, field: str, reply: Reply) -> list[Item]:
        try:
            return items_from_wire(value, field)
        except WireError as error:
            raise RemoteError(f"{reply.where}: {error.message}", code=BROKEN, status=reply.status) from None
