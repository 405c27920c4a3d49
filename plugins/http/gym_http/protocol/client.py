"""The client for everything behind a URL: one pool of connections per server, JSON in and out, thousands in flight.

It is gym's own HTTP/1.1, since its requests are small and many; what goes through a proxy is left to httpx.

It retries nothing: a tool has side effects, and whether asking again is safe only the caller knows. `RemoteError.code`
says which failure it was: `unreachable` (nobody listens, nothing was sent), `interrupted` (the connection broke, the
request may have been done), `timeout`, `broken_reply` or `too_long`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from gym_core import GymError, JsonError, encode_json, parse_json
from gym_http.protocol.errors import RemoteError, error_from_wire, unusable_proxy
from gym_http.protocol.urls import checked_url, socket_path
from gym_http1 import (
    MAX_REPLY_MB,
    MEGABYTE,
    ProxyError,
    ReplyHeaders,
    environment_proxy,
    parse,
    request_bytes,
    retry_after_seconds,
)

if TYPE_CHECKING:
    from gym_http.protocol.proxied import Proxied
    from gym_http1 import Failure, Pool, Server

UNREACHABLE = "unreachable"
INTERRUPTED = "interrupted"
TIMEOUT = "timeout"
BROKEN = "broken_reply"
TOO_LONG = "too_long"

CONNECT_SECONDS = 10.0
_CONNECTING_AT_ONCE = 512
_CONNECTING_TO_A_SOCKET = 64
"""Fewer: the kernel refuses what goes over the backlog of a Unix socket, where over TCP it lets it wait."""
_KEEPALIVE_SECONDS = 3.0
"""Shorter than any usual server's (uvicorn: 5 s), so that it is not the server that closes an idle connection just as
a request is sent over it."""
_FOREVER = float("inf")
_JSON = "application/json"
_REASONS = {"dns": "no such host", "dropped": "connection reset", "closed": "the client was closed"}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whatever its status. `headers` are looked up in any case of letters; `where`: method and URL."""

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)
    where: str = ""

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The body as text."""
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body read as JSON; None where it is empty. Raises `RemoteError` (`broken_reply`) for anything else."""
        if not self.content:
            return None
        try:
            return parse_json(self.content)
        except JsonError:
            raise RemoteError(
                f"{self.where} answered {self.status} with something that is no JSON: {self.text[:200]!r}",
                hint="check the URL: is it a server of this kind?",
                status=self.status,
                code=BROKEN,
            ) from None

    def object(self) -> dict[str, Any]:
        """The body read as a JSON object. Raises `RemoteError` (`broken_reply`)."""
        value = self.json()
        if not isinstance(value, dict):
            raise RemoteError(
                f"{self.where} answered {self.status} with something that is no JSON object: {self.text[:200]!r}",
                status=self.status,
                code=BROKEN,
            )
        return value

    @property
    def described(self) -> Mapping[str, Any]:
        """What the body says of an error, as gym says it; empty where it says nothing of one."""
        with suppress(RemoteError, AttributeError):
            described = self.json().get("error")
            if isinstance(described, Mapping):
                return described
        return {}

    def failure(self, where: str = "") -> GymError:
        """The error that an answer stands for that is not 2xx. `where`: who answered, if not method and URL."""
        body: Any = self.text
        with suppress(RemoteError):  # the text says then what there is to say
            body = self.json()
        return error_from_wire(self.status, body, where or self.where)

    @property
    def retry_after(self) -> float | None:
        """Seconds the server asks to wait, in a header or in its words; None where it says nothing of it."""
        body: Any = None
        with suppress(RemoteError):
            body = self.json()
        return retry_after_seconds(self.headers, self.text, body=body)

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies that it sets, by name; empty text for one that it removes."""
        from http.cookies import CookieError, SimpleCookie

        found: dict[str, str] = {}
        for line in self.headers.getall("Set-Cookie") if isinstance(self.headers, ReplyHeaders) else ():
            try:
                cookies = SimpleCookie(line)
            except CookieError:
                continue
            # coded: what stands in the header, quotes and all, is what has to be sent back
            found |= {name: "" if morsel["max-age"] == "0" else morsel.coded_value for name, morsel in cookies.items()}
        return found


class Client:
    """The requests to one server. An async context manager; it must be entered on the event loop that uses it.

    `url`: `http(s)://host:port[/prefix]` or `unix:/path`. `token`: sent as a bearer token where a call brings none of
    its own. `timeout`: seconds a request may take in all, None for no bound of its own; each call may set another.
    `max_reply_mb`: megabytes that are read of a reply, decompressed.
    Raises `UsageError` for a URL that is none, or that holds a user name or password.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout: float | None = None,
        max_reply_mb: float = MAX_REPLY_MB,
    ) -> None:
        self.url = url.strip()
        self._token = token
        self._timeout = _FOREVER if timeout is None else timeout
        self.socket = socket_path(self.url)
        self.base = "http://localhost" if self.socket is not None else checked_url(self.url)
        self._max_reply = int(max_reply_mb * MEGABYTE)
        self._place = parse(self.base)
        self._prefix = self._place.target.rstrip("/")
        self._headers = {
            "Host": self._place.authority,
            "Accept": "*/*",
            "Accept-Encoding": "gzip, deflate",
            "User-Agent": "gym",
        }
        self._pool: Pool | None = None
        self._server: Server | None = None
        self._proxied: Proxied | None = None

    async def __aenter__(self) -> Self:
        proxy = self._proxy()
        if proxy is not None:
            from gym_http.protocol.proxied import Proxied

            self._proxied = Proxied(proxy, self._failure, CONNECT_SECONDS, _KEEPALIVE_SECONDS, self._max_reply)
            return self
        from gym_http1 import Pool

        self._pool = Pool(
            failed=self._failure,
            connect_timeout=CONNECT_SECONDS,
            keepalive=_KEEPALIVE_SECONDS,
            connecting=_CONNECTING_AT_ONCE if self.socket is None else _CONNECTING_TO_A_SOCKET,
            max_reply=self._max_reply,
        )
        self._server = self._pool.server(self._place) if self.socket is None else self._pool.unix_server(self.socket)
        return self

    async def __aexit__(self, *error: object) -> None:
        pool, self._pool, self._server = self._pool, None, None
        proxied, self._proxied = self._proxied, None
        if pool is not None:
            await pool.aclose()
        if proxied is not None:
            await proxied.aclose()

    async def get(self, path: str, **options: Any) -> Reply:
        """`request` with GET."""
        return await self.request("GET", path, **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> Reply:
        """`request` with POST."""
        return await self.request("POST", path, body, **options)

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Reply:
        """One request; `body` is sent as JSON. Any status is an answer.

        `path` starts with a slash and is percent-encoded where it has to be. Raises `RemoteError` when there is no
        answer. Cancelling it closes the connection, so that the server sees it.
        """
        sent = {**self._headers, **headers} if headers else {**self._headers}
        bearer = token if token is not None else self._token
        if bearer is not None:
            sent["Authorization"] = f"Bearer {bearer}"
        content = None
        if body is not None:
            content = encode_json(body)
            sent["Content-Type"] = _JSON
        seconds = self._timeout if timeout is None else timeout
        where = f"{method} {self.url}{path}"
        if self._proxied is not None:
            reply = await self._proxied.send(method, self.base + path, sent, content, seconds, where)
        else:
            pool, server = self._pool, self._server
            assert pool is not None, "the client is not open"
            assert server is not None
            try:
                request = request_bytes(method, self._prefix + path, sent.items(), content)
            except ValueError as error:
                raise RemoteError(f"{where.splitlines()[0]} could not be asked: {error}", code=UNREACHABLE) from None
            reply = await pool.send(server, request, seconds, where)
        return Reply(reply.status, reply.headers, reply.body, where)

    def _proxy(self) -> str | None:
        try:
            return None if self.socket is not None else environment_proxy(self.base)
        except ProxyError as error:
            raise unusable_proxy(str(error)) from None

    def _failure(self, found: Failure, where: str) -> RemoteError:
        """The error for a request without an answer."""
        url, check = self.url, "check that the server runs and that the URL is right"
        match found.kind:
            case "connect_timeout":
                return RemoteError(f"{url} did not accept a connection in time", hint=check, code=UNREACHABLE)
            case "timeout":
                return RemoteError(f"{where} was not answered in time", hint="is the server overloaded?", code=TIMEOUT)
            case "tls":
                return RemoteError(f"{url}: the TLS connection failed", hint=check, code=UNREACHABLE)
            case "broken":
                return RemoteError(f"{where}: the answer is not valid HTTP: {found.reason}", hint=check, code=BROKEN)
            case "too_long":
                raise_it = "the option `max_reply_mb` changes the limit"
                return RemoteError(f"{where}: {found.reason}", hint=raise_it, code=TOO_LONG)
        if found.sent:
            return RemoteError(
                f"{where}: the connection broke before the answer was there",
                hint="has the server been restarted?",
                code=INTERRUPTED,
            )
        reason = (found.reason or _REASONS.get(found.kind, "no connection")).lower()
        return RemoteError(f"nobody answers at {url}: {reason}", hint=check, code=UNREACHABLE)
