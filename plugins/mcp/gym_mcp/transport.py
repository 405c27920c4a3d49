"""The two ways to an MCP server, so that what goes wrong on the way is told to the call it hit."""

from __future__ import annotations

import functools
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gym_core import encode_json
from gym_http1 import MEGABYTE, TooLong, environment_proxy, read_all
from gym_mcp.endpoint import HTTPServer, Server, StdioServer
from gym_mcp.notices import notice
from gym_mcp.replies import Inbox, Outbox, readable_message

UNREACHABLE = -32050
"""The code of an error that never came from the server: of those that JSON-RPC leaves to implementations."""
_CONNECT_SECONDS = 30.0
_KEPT_CONNECTIONS = 100
_LAST_WORDS = 2000
_OF_THE_BODY = frozenset({"content-length", "content-encoding", "transfer-encoding"})


class Transport:
    """Opens the streams to one server. `last_words`: the end of what a child process wrote to its standard error.

    `left_out`: its tools that cannot be offered, by their names, and why; known once they are listed.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self.last_words = ""
        self.left_out: dict[str, str] = {}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Any]:
        """The pair of streams that the package's client works with."""
        opened = self._http(self._server) if isinstance(self._server, HTTPServer) else self._child(self._server)
        async with opened as (read, write):
            inbox = Inbox(read, self.left_out, self._said)
            yield inbox, Outbox(write, inbox)

    def _said(self, line: str) -> None:
        notice(f"the MCP server `{self._server}` writes to its standard output what is no message: {line!r}")

    @asynccontextmanager
    async def _child(self, server: StdioServer) -> AsyncIterator[Any]:
        from mcp.client.stdio import StdioServerParameters, stdio_client

        parameters = StdioServerParameters(
            command=server.command,
            args=list(server.args),
            env=dict(server.env),
            cwd=server.cwd,
            encoding_error_handler="replace",
        )
        # A file rather than a pipe: nobody has to read along, and a server that talks a lot never waits.
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
            try:
                async with stdio_client(parameters, errlog=log) as streams:
                    yield streams
            finally:
                log.seek(max(0, log.seek(0, 2) - _LAST_WORDS))
                self.last_words = log.read().strip()

    @asynccontextmanager
    async def _http(self, server: HTTPServer) -> AsyncIterator[Any]:
        from mcp.client.streamable_http import streamable_http_client

        most = int(server.max_reply_mb * MEGABYTE)
        async with (
            _http_client(server, most) as client,
            streamable_http_client(server.url, http_client=client, max_sse_event_size=most) as streams,
        ):
            yield streams


def _http_client(server: HTTPServer, most: int) -> Any:
    """A client whose failures are answers: an exception would end the connection and all calls on it."""
    import httpx2

    class Client(httpx2.AsyncClient):
        async def send(self, request: httpx2.Request, **settings: Any) -> httpx2.Response:
            try:
                response = await super().send(request, **settings)
                if request.method != "POST":
                    return response
                if _is_stream(response):
                    return _answered(response, stream=Events(response))
                response = await _read(response)
            except TooLong:
                return _answer(request, 502, _too_long(server))
            except httpx2.TransportError as error:
                return _answer(request, 503, f"{type(error).__name__}: {error}".rstrip(": "))
            if response.status_code < 400 or _is_rpc_error(response):
                return _readable(response)
            words = " ".join(response.text.split())[:200]
            return _answer(request, response.status_code, f"HTTP {response.status_code} {words}".rstrip())

    async def _read(response: httpx2.Response) -> httpx2.Response:
        try:
            content = await read_all(response.aiter_bytes(), most)
        finally:
            await response.aclose()
        return _answered(response, content=content)

    def _answered(response: httpx2.Response, **body: Any) -> httpx2.Response:
        """The same answer with another body."""
        headers = {name: value for name, value in response.headers.items() if name not in _OF_THE_BODY}
        return httpx2.Response(response.status_code, headers=headers, request=response.request, **body)

    class Events(httpx2.AsyncByteStream):
        """An answer that comes as events; a message that one of them holds in a line is made readable."""

        def __init__(self, response: httpx2.Response) -> None:
            self._response = response

        async def __aiter__(self) -> AsyncIterator[bytes]:
            rest = bytearray()
            async for chunk in self._response.aiter_bytes():
                rest += chunk
                if b"\n" not in chunk and len(rest) <= most:
                    continue
                for line in bytes(rest).splitlines(keepends=True):
                    if line.endswith(b"\n") or len(line) > most:
                        yield _readable_line(line)
                        line = b""
                rest = bytearray(line)
            yield _readable_line(bytes(rest)) + b"\n\n"  # the last event, if its end is lacking

        async def aclose(self) -> None:
            await self._response.aclose()

    def _answer(request: httpx2.Request, status: int, message: str) -> httpx2.Response:
        error = {"jsonrpc": "2.0", "id": None, "error": {"code": UNREACHABLE, "message": message}}
        return httpx2.Response(status, json=error, request=request)

    def _readable(response: httpx2.Response) -> httpx2.Response:
        message = readable_message(response.content) if response.content else None
        if message is None:
            return response
        readable = _answered(response, content=encode_json(message))
        readable.headers["content-type"] = "application/json"  # which some servers leave out
        return readable

    return Client(
        headers=dict(server.headers),
        timeout=httpx2.Timeout(_CONNECT_SECONDS, read=None),  # calls have bounds of their own
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=_KEPT_CONNECTIONS),
        verify=_tls(),
        proxy=environment_proxy(server.url),
        trust_env=False,
    )


def _readable_line(line: bytes) -> bytes:
    line = line.removeprefix(b"\xef\xbb\xbf")
    message = readable_message(line[5:].strip()) if line.startswith(b"data:") else None
    # of two names of an event the last one counts, and this is the one that is read
    return line if message is None else b"event: message\ndata: %s\n" % encode_json(message)


def _too_long(server: HTTPServer) -> str:
    return f"the answer is longer than {server.max_reply_mb:g} MB; `HTTPServer(max_reply_mb=)` raises the limit"


@functools.cache
def _tls() -> ssl.SSLContext:
    """What all connections share: reading the certificates takes longer than most calls."""
    import httpx2

    return httpx2.create_ssl_context()


def _is_stream(response: Any) -> bool:
    return response.status_code < 400 and "text/event-stream" in response.headers.get("content-type", "")


def _is_rpc_error(response: Any) -> bool:
    try:
        body = response.json()
    except ValueError:
        return False
    return isinstance(body, dict) and isinstance(body.get("error"), dict) and "jsonrpc" in body
