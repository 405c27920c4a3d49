"""The model behind a URL: what `gym serve --model` offers at another place, or in a child process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from gym_core import CallContext, ModelBackend, Request, Response, UsageError
from gym_http.protocol.errors import RemoteError
from gym_http.protocol.model_client import called, unanswered
from gym_http.remote.connection import Connection
from gym_http.remote.detect import MODEL, Served, recognise
from gym_http.remote.options import RemoteOptions

ROLLOUT_HEADER = "Gym-Rollout"
_NO_RETRIES = {"Gym-Retries": "none"}  # the run tries again: both doing so would multiply the attempts


class RemoteModel(ModelBackend):
    """A model behind a URL, used as if it were installed: `--model http://host:8000`, `--model unix:/path`.

    The server is `gym serve --model` at another place. Its errors keep their class. Endpoints of other makers are asked
    through the model backend `openai` and its `base_url`.
    """

    class Options(RemoteOptions):
        """The options of the model behind a URL."""

    def __init__(self, options: Any = None, context: Any = None) -> None:
        super().__init__(options, context)
        self.connection = self._connection()
        self.served: Served | None = None

    def _connection(self) -> Connection:
        options = self.options
        token = options.token.get_secret_value() if options.token is not None else None
        return Connection(
            options.url,
            f"the model at {options.url}",
            token=token,
            stall=options.stall,
            max_reply_mb=options.max_reply_mb,
        )

    async def __aenter__(self) -> Self:
        await self.connection.__aenter__()
        try:
            self.served = await recognise(self.connection, MODEL)
            if self.served.nemo:
                raise UsageError(
                    f"{self.connection.url} is an endpoint of another maker than gym",
                    hint=f"--model openai:NAME -M base_url={self.connection.url}/v1",
                )
        except BaseException:
            await self.connection.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.connection.__aexit__(kind, error, traceback)

    async def respond(self, request: Request, context: CallContext) -> Response:
        """One call, sent once. Raises the `ModelError` that was raised there."""
        body = dict(request.body)
        if context.seed is not None and self.sends_seed:
            body.setdefault("seed", context.seed)
        task_id, repeat = context.key
        headers = {**context.headers, **_NO_RETRIES, ROLLOUT_HEADER: f"{quote(task_id, safe='')}/{repeat}"}
        seconds = None
        if context.deadline is not None:
            seconds = max(0.001, context.deadline - asyncio.get_running_loop().time())
        asking = self.connection.request("POST", "/v1/responses", body, headers=headers, timeout=seconds)
        return await called(asking, self.connection.error)

    @property
    def model_id(self) -> str:
        """The name of the model there."""
        return str(self._capabilities.get("model_id") or self.options.url)

    @property
    def endpoint(self) -> str:
        """One server, one limit."""
        return self.connection.url

    @property
    def max_inflight(self) -> int | None:
        """The most requests that the backend there wants at once."""
        most = self._capabilities.get("max_inflight")
        return most if isinstance(most, int) and most > 0 else None

    @property
    def sends_seed(self) -> bool:
        """Whether a seed reaches the model there."""
        return bool(self._capabilities.get("sends_seed"))

    @property
    def stands_for(self) -> Mapping[str, Any]:
        """The model backend at the other end."""
        return self.served.identity if self.served is not None else {}

    async def list_models(self) -> Sequence[str]:
        """The models that the server lists."""
        try:
            if self.served is not None:
                listed = (await self.connection.ask("GET", "/v1/models")).object()
            else:
                async with self._connection() as connection:
                    listed = (await connection.ask("GET", "/v1/models")).object()
        except RemoteError as error:
            raise unanswered(error) from None
        entries = listed.get("data")
        return [str(entry.get("id")) for entry in entries] if isinstance(entries, list) else []

    @property
    def _capabilities(self) -> Mapping[str, Any]:
        return self.served.capabilities if self.served is not None else {}
