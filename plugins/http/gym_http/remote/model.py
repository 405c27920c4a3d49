"""The model behind a URL: what `gym serve --model` offers at another place, or in a child process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self
from urllib.parse import quote

from gym_core import CallContext, ModelBackend, ModelInfo, Request, Response, UsageError
from gym_http.protocol.errors import RemoteError
from gym_http.protocol.model_client import answered, called, unanswered
from gym_http.remote.connection import Connection
from gym_http.remote.detect import MODEL, Served, recognise
from gym_http.remote.options import RemoteOptions

ROLLOUT_HEADER = "Gym-Rollout"
_NO_RETRIES = {"Gym-Retries": "none"}  # the run tries again: both doing so would multiply the attempts


class RemoteModel(ModelBackend[RemoteOptions]):
    """A model behind a URL, used as if it were installed: `--model http://host:8000`, `--model unix:/path`.

    The server is `gym serve --model` at another place. Its errors keep their class. Endpoints of other makers are asked
    through the model backend `openai` and its `base_url`.
    """

    def __init__(self, options: Any = None, context: Any = None) -> None:
        super().__init__(options, context)
        self.connection = Connection.of(self.options, "the model")
        self.served: Served | None = None
        self.there = ModelInfo(model_id=self.options.url, endpoint=self.connection.url)

    async def __aenter__(self) -> Self:
        await self.connection.__aenter__()
        try:
            self.served = await recognise(self.connection, MODEL)
            if self.served.nemo:
                raise UsageError(
                    f"{self.connection.url} is an endpoint of another maker than gym",
                    hint=f"--model openai:NAME -M base_url={self.connection.url}/v1",
                )
            self.there = self.served.info(ModelInfo, model_id=self.options.url, endpoint=self.connection.url)
        except BaseException:
            await self.connection.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.connection.__aexit__(*error)

    async def respond(self, request: Request, context: CallContext) -> Response:
        """One call, sent once. Raises the `ModelError` that was raised there."""
        body = dict(request.body)
        if context.seed is not None and self.there.sends_seed:
            body.setdefault("seed", context.seed)
        task_id, repeat = context.key
        headers = {**_NO_RETRIES, ROLLOUT_HEADER: f"{quote(task_id, safe='')}/{repeat}"}
        asking = self.connection.request("POST", "/v1/responses", body, headers=headers)
        return await called(asking, self.connection.error)

    def describe(self) -> ModelInfo:
        """What the backend there says. A limit per endpoint is shared where both mean the same one by its URL."""
        # any other URL, and the name of an endpoint without one, means something at that end alone
        elsewhere = not self.there.endpoint.startswith("https://")
        return replace(self.there, endpoint=self.connection.url) if elsewhere else self.there

    async def check(self) -> Sequence[str]:
        """The look of the backend there. Raises the `ModelError` that was raised there."""
        if not self.there.checks:
            return ()
        looked = await answered(self.connection.request("GET", "/v1/check"), self.connection.error)
        return [str(warning) for warning in looked.get("warnings") or ()]

    async def list_models(self) -> Sequence[str]:
        """The models that the server lists."""
        try:
            if self.served is not None:
                listed = (await self.connection.ask("GET", "/v1/models")).object()
            else:
                async with Connection.of(self.options, "the model") as connection:
                    listed = (await connection.ask("GET", "/v1/models")).object()
        except RemoteError as error:
            raise unanswered(error) from None
        entries = listed.get("data")
        return [str(entry.get("id")) for entry in entries] if isinstance(entries, list) else []
