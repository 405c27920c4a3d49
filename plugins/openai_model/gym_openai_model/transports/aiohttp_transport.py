"""The transport that others are measured by: aiohttp. What goes through a proxy goes through it, SOCKS included."""

from __future__ import annotations

import asyncio
import io
import socket
import ssl
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from gym_http1 import TooLong, read_all
from gym_openai_model.transports.base import ErrorKind, HttpReply, Transport, TransportConfig
from gym_openai_model.transports.failures import connect_failure, failure, no_proxy, no_socks, proxy_answered
from gym_openai_model.transports.proxies import environment_proxy
from gym_openai_model.transports.trust import ssl_context

_KEEPALIVE_SECONDS = 30.0
_CONNECTING_AT_ONCE = 512
_FAILURES = (aiohttp.ClientError, OSError, ValueError, RuntimeError)
_LARGE_BODY = 1 << 20
_ROUTES_KEPT = 1024

_Route = tuple[aiohttp.ClientSession, URL, URL | None]
"""The session that a URL is called with, the URL parsed, and the HTTP proxy it goes through."""


class _Connector(aiohttp.TCPConnector):
    """Opens a bounded number of connections at a time.

    The clock of a connection starts when its turn comes. Without this, ten thousand handshakes that start
    together share one event loop, and the last ones run into the connect timeout of a healthy server.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._turn = asyncio.Semaphore(_CONNECTING_AT_ONCE)

    async def _create_connection(self, *args: Any, **options: Any) -> Any:
        async with self._turn:
            return await super()._create_connection(*args, **options)


class AiohttpTransport(Transport):
    """Calls through one `aiohttp.ClientSession`, and one more for each SOCKS proxy in use; see `Transport`.

    An idle connection that the server has closed is replaced. When the server closes it in the very moment
    in which the request is sent, the call ends as `dropped`: it may have been received.
    """

    name = "aiohttp"

    def __init__(self, config: TransportConfig, headers: Mapping[str, str]) -> None:
        """Must be called on a running event loop. `headers` go with every call.

        Raises:
            TransportUnavailable: the CA file cannot be used.
        """
        self._config = config
        # With all that aiohttp would else add to each request, one by one.
        self._headers = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate", **headers}
        self._connecting: dict[str, Any] = {
            "limit": config.max_connections or 0,
            "ssl": ssl_context(config),
            "keepalive_timeout": _KEEPALIVE_SECONDS,
        }
        self._routes: dict[str, _Route] = {}
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}
        self._session = self._open(_Connector(**self._connecting))
        self._sessions = {"": self._session}
        self._socks_failures: tuple[type[Exception], ...] = ()

    def _open(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout(self._config.request_timeout),
        )

    async def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> HttpReply:
        """See `Transport.post`."""
        # aiohttp writes a BytesIO in pieces and warns about large bytes.
        data = body if len(body) < _LARGE_BODY else io.BytesIO(body)
        return await self._ask("POST", url, timeout, data=data, headers=headers)

    async def get(self, url: str, timeout: float) -> HttpReply:
        """See `Transport.get`."""
        return await self._ask("GET", url, timeout)

    async def _ask(self, method: str, url: str, seconds: float | None, **options: Any) -> HttpReply:
        session, target, proxy = self._routes.get(url) or self._route(url)
        if seconds is not None:
            options["timeout"] = self._timeout(seconds)
        try:
            response = await session.request(method, target, proxy=proxy, allow_redirects=False, **options)
            try:
                content = await read_all(response.content.iter_any(), self._config.max_reply)
            except BaseException:
                response.close()
                raise
            return HttpReply(response.status, response.headers, content)
        except TooLong:
            raise failure("too_long", url, self._config) from None
        except _FAILURES as error:
            self._fail(error, url, seconds)
        except self._socks_failures as error:
            from gym_openai_model.transports.socks import socks_failure

            raise socks_failure(error, url, self._config) from None

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        for session in self._sessions.values():
            await session.close()

    def _timeout(self, seconds: float) -> aiohttp.ClientTimeout:
        known = self._timeouts.get(seconds)
        if known is None:
            if len(self._timeouts) >= _ROUTES_KEPT:
                self._timeouts.clear()
            known = aiohttp.ClientTimeout(total=seconds, sock_connect=self._config.connect_timeout)
            self._timeouts[seconds] = known
        return known

    def _route(self, url: str) -> _Route:
        """How calls to `url` go. Raises `TransportError` for what is no URL, or no proxy that can be used."""
        if self._session.closed:
            raise failure("other", url, self._config, reason="the transport is closed")
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise failure("other", url, self._config, reason="it is no http or https URL")
        proxy = environment_proxy(url) if self._config.trust_env else None
        session = self._session
        if proxy and proxy.startswith("socks"):
            session, proxy = self._socks_session(proxy, url), None
        if len(self._routes) >= _ROUTES_KEPT:
            self._routes.clear()
        route = self._routes[url] = (session, URL(url, encoded=True), URL(proxy) if proxy else None)
        return route

    def _socks_session(self, proxy: str, url: str) -> aiohttp.ClientSession:
        """The session whose connections go through `proxy`. Raises `TransportError` where aiohttp-socks is missing."""
        try:
            from gym_openai_model.transports import socks
        except ImportError:
            need = "the package aiohttp-socks: pip install 'gym-openai-model[socks]'"
            raise no_socks(url, self._config, proxy, need) from None
        if proxy not in self._sessions:
            self._socks_failures = socks.FAILURES
            self._sessions[proxy] = self._open(socks.connector(_Connector, proxy, **self._connecting))
        return self._sessions[proxy]

    def _fail(self, error: Exception, url: str, timeout: float | None) -> NoReturn:
        kind: ErrorKind = "other"
        reason: str | None = None
        match error:
            case aiohttp.ConnectionTimeoutError():
                kind = "connect_timeout"
            case TimeoutError():
                kind = "timeout"
            case aiohttp.ClientHttpProxyError():
                raise proxy_answered(error.status, url, self._config) from None
            case aiohttp.ClientProxyConnectionError():
                raise no_proxy(error, url, self._config) from None
            case aiohttp.ClientConnectorDNSError() if self._routes[url][2]:  # which looks the server's name up itself
                raise no_proxy(error, url, self._config) from None
            case aiohttp.ClientConnectorError():
                kind, reason = connect_failure(error)
            case aiohttp.ClientOSError(__cause__=socket.gaierror() | ssl.SSLCertVerificationError()):
                kind, reason = connect_failure(error)  # behind a SOCKS proxy aiohttp does not tell them apart
            case aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError() | ConnectionError():
                kind = "dropped"
            case aiohttp.ClientResponseError():
                reason = "the reply is not valid HTTP"
            case _:
                reason = "the transport is closed" if self._session.closed else type(error).__name__
        # Not chained: aiohttp's messages can quote a proxy's URL with its password.
        raise failure(kind, url, self._config, timeout=timeout, reason=reason) from None
