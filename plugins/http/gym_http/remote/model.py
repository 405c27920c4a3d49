"""The model behind a URL: what `gym serve --model` offers at another place, or in a child process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from gym_core import CallContext, GymError, ModelBackend, ModelError, Request, Response, UsageError
from gym_core.errors import (
    BrokenReplyError,
    ConnectionFailedError,
    ModelTimeoutError,
    ReplyTooLongError,
    class_of_status,
    model_error_classes,
)
from gym_http.protocol.client import BROKEN, TIMEOUT, TOO_LONG, UNREACHABLE, Reply
from gym_http.protocol.errors import RemoteError
from gym_http.remote.connection import Connection
from gym_http.remote.detect import MODEL, Served, recognise
from gym_http.remote.options import RemoteOptions
from gym_http1 import retry_after_seconds

ROLLOUT_HEADER = "Gym-Rollout"
_NO_RETRIES = {"Gym-Retries": "none"}  # the run tries again: both doing so would multiply the attempts
_CLASSES = {cls.__name__: cls for cls in model_error_classes()}


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
        try:
            reply = await self.connection.request("POST", "/v1/responses", body, headers=headers, timeout=seconds)
            answer = reply.object() if reply.ok else None
        except RemoteError as error:
            raise _unanswered(error) from None
        if answer is None:
            raise _failed(reply, self.connection)
        output = answer.get("output")
        if not isinstance(output, list) or not all(isinstance(item, dict) for item in output):
            raise BrokenReplyError(f"{reply.where} answered without a list of items `output`", status=reply.status)
        return Response(answer)

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
            raise _unanswered(error) from None
        entries = listed.get("data")
        return [str(entry.get("id")) for entry in entries] if isinstance(entries, list) else []

    @property
    def _capabilities(self) -> Mapping[str, Any]:
        return self.served.capabilities if self.served is not None else {}


def _unanswered(error: RemoteError) -> ModelError:
    """A call that nobody answered, in the words of model calls."""
    cls = {TIMEOUT: ModelTimeoutError, BROKEN: BrokenReplyError, TOO_LONG: ReplyTooLongError}.get(
        error.code, ConnectionFailedError
    )
    failed = cls(error.message, hint=error.hint, status=error.status)
    failed.unsent = error.code == UNREACHABLE
    return failed


def _failed(reply: Reply, connection: Connection) -> GymError:
    """The error that an answer stands for, of the class that was raised there."""
    try:
        described = reply.object().get("error")
    except RemoteError:
        described = None
    if isinstance(described, Mapping) and described.get("class") in _CLASSES:
        cls = _CLASSES[str(described["class"])]
        status, after = described.get("http_status"), described.get("retry_after")
        return cls(
            str(described.get("message") or cls.__name__),
            hint=str(described.get("hint") or ""),
            status=status if isinstance(status, int) else None,
            retry_after=float(after) if isinstance(after, int | float) else None,
        )
    error = connection.error(reply)
    message = error.message if isinstance(error, GymError) else str(error)
    hint = error.hint if isinstance(error, GymError) else ""
    cls = class_of_status(reply.status)
    body = None
    with suppress(RemoteError):
        body = reply.json()
    after = retry_after_seconds(reply.headers, reply.text, body=body) if cls.retryable else None
    return cls(message, hint=hint, status=reply.status, retry_after=after)
