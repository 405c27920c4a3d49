"""A model backend of an isolated plugin: its calls are made in a child process."""

from __future__ import annotations

from collections.abc import Sequence

from gym_core import CallContext, ModelBackend, Request, Response
from gym_core.errors import ConnectionFailedError
from gym_http.protocol.errors import RemoteError
from gym_isolated.component import REPLY_MB, STALL_SECONDS, Isolated


class IsolatedModel(Isolated, ModelBackend):
    """The base of the classes that stand for isolated model backends."""

    def connect(self, url: str, token: str) -> ModelBackend:
        """The remote model at a child's address."""
        from gym_http.remote.model import RemoteModel

        settings = {"url": url, "token": token, "stall": STALL_SECONDS, "max_reply_mb": REPLY_MB}
        return RemoteModel(RemoteModel.Options.model_validate(settings), self.context)

    async def respond(self, request: Request, context: CallContext) -> Response:
        """One call, in the child that serves when it is made."""
        try:
            generation = await self.supervisor.current()
        except RemoteError as error:
            raise ConnectionFailedError(error.message, hint=error.hint) from error
        response: Response = await generation.component.respond(request, context)
        return response

    @property
    def model_id(self) -> str:
        """The name of the model there."""
        served = self._served
        return served.model_id if served is not None else super().model_id

    @property
    def max_inflight(self) -> int | None:
        """The most requests that the backend wants at once."""
        served = self._served
        return served.max_inflight if served is not None else None

    @property
    def sends_seed(self) -> bool:
        """Whether a seed reaches the model."""
        served = self._served
        return served is not None and served.sends_seed

    async def list_models(self) -> Sequence[str]:
        """The models that it lists. Where it is not open, a child is started for that."""
        if self._supervisor is None:
            async with self:
                return await self.list_models()
        generation = await self.supervisor.current()
        listed: Sequence[str] = await generation.component.list_models()
        return listed

    @property
    def _served(self) -> ModelBackend | None:
        generation = self._supervisor.latest if self._supervisor is not None else None
        return generation.component if generation is not None else None
