"""Requests to an ASGI application in this process, as those to a server behind a URL are made."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from gym_core import Model, encode_json
from gym_core.spi import described
from gym_http.protocol.client import INTERRUPTED, Reply
from gym_http.protocol.errors import RemoteError
from gym_http.remote.connection import Connection
from gym_http1 import ReplyHeaders
from gym_nemo_servers.models import ASKED

_MOUNTED = "http://mounted"
"""No server has this name: nothing is sent to it."""


class Application(Connection):
    """The connection to an application. An async context manager, within which its own lifespan runs.

    `models`: those of the session that asks, which the application may ask in turn.
    """

    def __init__(self, app: Any, name: str, models: Mapping[str, Model] | None = None) -> None:
        from httpx import ASGITransport

        super().__init__(_MOUNTED, name)
        self._app = app
        self._transport = ASGITransport(app)
        self._models = models or {}
        self._lifespan: Any = None

    async def __aenter__(self) -> Self:
        self._lifespan = self._app.router.lifespan_context(self._app)
        await self._lifespan.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._lifespan.__aexit__(kind, error, traceback)

    def asking(self, models: Mapping[str, Model]) -> Application:
        """The same application, asked within a session that has these models."""
        return Application(self._app, self.name, models)

    async def request(self, method: str, path: str, body: Any = None, **options: Any) -> Reply:
        """One request, whatever the answer. Raises `RemoteError` where the application raises."""
        from httpx import Request

        content = b"" if body is None else encode_json(body)
        headers = {"content-type": "application/json", **(options.get("headers") or {})}
        request = Request(method, f"{_MOUNTED}{path}", headers=headers, content=content)
        token = ASKED.set(self._models)
        try:
            answer = await self._transport.handle_async_request(request)
            read = await answer.aread()
        except Exception as error:
            raise RemoteError(f"{self.name}: {method} {path} raised {described(error)}", code=INTERRUPTED) from error
        finally:
            ASKED.reset(token)
        lines = [
            b"HTTP/1.1 %d -" % answer.status_code,
            *(b"%b: %b" % header for header in answer.headers.raw),
            b"",
            b"",
        ]
        return Reply(answer.status_code, ReplyHeaders(b"\r\n".join(lines)), read, f"{method} {self.name} {path}")
