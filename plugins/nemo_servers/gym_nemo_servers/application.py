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


class Application(Connection):
    """The connection to an application. An async context manager, within which its own lifespan runs.

    `models`: those of the session that asks, which the application may ask in turn.
    """

    def __init__(self, app: Any, name: str, models: Mapping[str, Model] | None = None) -> None:
        super().__init__("http://mounted", name)
        self._app = app
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
        content = b"" if body is None else encode_json(body)
        headers = {"host": "mounted", "content-type": "application/json", "content-length": str(len(content))}
        headers |= {name.lower(): value for name, value in (options.get("headers") or {}).items()}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
            "client": ("127.0.0.1", 0),
            "server": ("mounted", 80),
        }
        answer = _Answer(content)
        token = ASKED.set(self._models)
        try:
            await self._app(scope, answer.receive, answer.send)
        except Exception as error:
            raise RemoteError(f"{self.name}: {method} {path} raised {described(error)}", code=INTERRUPTED) from error
        finally:
            ASKED.reset(token)
        return Reply(answer.status, ReplyHeaders(answer.head), bytes(answer.body), f"{method} {self.name} {path}")


class _Answer:
    """What is sent of one request, and what comes back."""

    def __init__(self, content: bytes) -> None:
        self.status = 500
        self.head = b""
        self.body = bytearray()
        self._content = content
        self._read = False

    async def receive(self) -> dict[str, Any]:
        if self._read:
            return {"type": "http.disconnect"}
        self._read = True
        return {"type": "http.request", "body": self._content, "more_body": False}

    async def send(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            lines = [b"HTTP/1.1 %d -" % self.status, *(name + b": " + value for name, value in message["headers"])]
            self.head = b"\r\n".join([*lines, b"", b""])
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")
