"""One HTTP client for the local server: chat completions, and replies told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from gym_core import JsonError, ModelError, encode_json, errors, parse_json
from gym_http1 import MAX_REPLY_MB, MEGABYTE, TooLong, read_all, too_long

if TYPE_CHECKING:
    from gym_local_model.server import LlamaServer

_MOST = MAX_REPLY_MB * MEGABYTE


class LocalServerEnded(ModelError):
    """The local model's server process has ended; no call can succeed any more."""

    fatal: ClassVar[bool] = True
    remedy: ClassVar[str] = "Fewer slots (`-M slots=`) or a smaller context (`-M context_size=`); see the log tail."


class ChatClient:
    """Speaks to a running `LlamaServer`. An async context manager; a cancelled call is closed at the server."""

    def __init__(self, server: LlamaServer, request_timeout: float) -> None:
        import httpx

        self._server = server
        self._timeout = request_timeout
        # The environment's proxies are for other machines than this one.
        self._http = httpx.AsyncClient(base_url=server.root_url, timeout=request_timeout, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._http.aclose()

    async def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        """`POST /v1/chat/completions`; raises a `ModelError` for anything but a completion."""
        return await self._post("/v1/chat/completions", body)

    async def template_knows_tools(self) -> bool:
        """Whether the model's own chat template has a place for tools."""
        reply = await self._ask("GET", "/props")
        return bool((reply.get("chat_template_caps") or {}).get("supports_tools"))

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return await self._ask("POST", path, encode_json(body))

    async def _ask(self, method: str, path: str, content: bytes | None = None) -> dict[str, Any]:
        import httpx

        headers = {"content-type": "application/json"} if content else None
        try:
            async with self._http.stream(method, path, content=content, headers=headers) as reply:
                return _read(reply.status_code, await read_all(reply.aiter_bytes(), _MOST))
        except TooLong:
            raise errors.ReplyTooLongError(f"the local server: {too_long(_MOST)}") from None
        except httpx.TimeoutException as error:
            raise errors.ModelTimeoutError(f"the local model did not reply within {self._timeout:g} s") from error
        except httpx.TransportError as error:
            failure = await death(self._server)
            if failure is not None:
                raise failure from error
            raise errors.ConnectionFailedError(f"the local server dropped the connection: {error!r}") from error


async def death(server: LlamaServer) -> LocalServerEnded | None:
    """The error that a dropped connection means where the server's process has ended."""
    ended = await server.death()
    if ended is None:
        return None
    failure = LocalServerEnded(ended.message, hint=ended.hint)
    for note in getattr(ended, "__notes__", ()):
        failure.add_note(note)
    return failure


def _read(status: int, content: bytes) -> dict[str, Any]:
    try:
        body = parse_json(content)
    except JsonError as error:
        raise errors.BrokenReplyError(f"the local server's reply is {error}", status=status) from error
    if 200 <= status < 300 and isinstance(body, dict):
        return body
    raise _failure(status, body)


def _failure(status: int, body: Any) -> ModelError:
    detail = body.get("error") if isinstance(body, dict) else None
    detail = detail if isinstance(detail, dict) else {}
    said = f"the local model refused the request: {detail.get('message') or f'HTTP {status}'}"
    if detail.get("type") == "exceed_context_size_error":
        return errors.ContextLengthError(said, hint="raise `-M context_size=`", status=status)
    if status == 503:
        return errors.OverloadedError(said, status=status)
    if status >= 500:
        return errors.ServerError(said, status=status)
    return errors.BadRequestError(said, status=status)
