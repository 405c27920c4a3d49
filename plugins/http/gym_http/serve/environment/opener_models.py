"""Models whose URLs come with a new session: whoever opens it offers them, and pays for them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Self
from urllib.parse import quote

from gym_core import CallContext, ComponentContext, ModelBackend, Request, Response
from gym_core.errors import ConnectionFailedError
from gym_core.spi import Clock, Deadlines, Limiters, ModelGate
from gym_http.protocol.client import Client
from gym_http.protocol.model_client import called
from gym_http.protocol.sessions import ModelPlace
from gym_http.serve.agent.callbacks import Callbacks


class OpenerModels:
    """Makes gates to models from `{role: {"base_url", "token"}}`. An async context manager that holds the connections.

    Calls are sent once: who offers a model has retries of its own. `hosts`: which may be asked besides the opener's
    own, see `Callbacks`.
    """

    def __init__(self, deadlines: Deadlines, hosts: Iterable[str] = ()) -> None:
        self._deadlines = deadlines
        self._clock = Clock(asyncio.get_running_loop().time)
        self._callbacks = Callbacks(hosts)

    async def __aenter__(self) -> Self:
        await self._callbacks.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._callbacks.__aexit__(*error)

    async def gates(self, given: Mapping[str, ModelPlace], caller: str | None) -> dict[str, ModelGate]:
        """The gates by role. `caller`: the address of who opens the session, None on a socket file.

        Raises `WireError` for what is no URL and `ServeError` (403) for one that is not to be asked.
        """
        return {role: await self._gate(role, place, caller) for role, place in given.items()}

    async def _gate(self, role: str, place: ModelPlace, caller: str | None) -> ModelGate:
        client, path = await self._callbacks.client(place["base_url"], caller, f"models.{role}.base_url")
        backend = _OpenerModel(client, path, place.get("token", ""), ComponentContext(name=role, role=role))
        return ModelGate(role, backend, limiters=Limiters(), deadlines=self._deadlines, clock=self._clock)


class _OpenerModel(ModelBackend):
    """One model of one session."""

    max_retries = 0

    def __init__(self, client: Client, path: str, token: str, context: ComponentContext) -> None:
        super().__init__(None, context)
        self._client = client
        self._path = path + "/responses"
        self._token = token or None

    async def respond(self, request: Request, context: CallContext) -> Response:
        """One call."""
        where = f"the session's model for `{self.context.role}`"
        # What the gateway itself refuses is a matter of this session, and none of the model that others ask, too.
        headers = {"Gym-Actor": quote(context.actor, safe="")} if context.actor else None
        asking = self._client.post(self._path, request.body, token=self._token, headers=headers)
        return await called(asking, lambda reply: reply.failure(where), lambda status: ConnectionFailedError)
