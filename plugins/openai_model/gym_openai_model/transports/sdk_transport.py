"""The transport of the `openai` package, for those who want its client in the path.

It costs several times the CPU of the others, and more the more calls are open: it is for some hundred at
once. Its retries are off: the engine has its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, NoReturn
from urllib.parse import urlsplit

import httpx2
import openai

from gym_http1 import TooLong, read_all
from gym_openai_model.transports.base import ErrorKind, HttpReply, Transport, TransportConfig
from gym_openai_model.transports.failures import connect_failure, failure, no_proxy, no_socks, proxy_answered
from gym_openai_model.transports.proxies import environment_proxy
from gym_openai_model.transports.trust import ssl_context

_KEEPALIVE_SECONDS = 30.0
_ROUTES_KEPT = 1024
# What the SDK takes from its own environment variables; here the caller's headers alone say who calls.
_IDENTITY = ("Authorization", "OpenAI-Organization", "OpenAI-Project")


_OF_THE_BODY = frozenset({"content-encoding", "content-length", "transfer-encoding"})


class _Bounded(httpx2.AsyncClient):
    """Reads no more of a reply than is allowed."""

    def __init__(self, most: int, **options: Any) -> None:
        super().__init__(**options)
        self._most = most

    async def send(self, request: httpx2.Request, *, stream: bool = False, **options: Any) -> httpx2.Response:
        """See `httpx2.AsyncClient.send`; the reply has been read."""
        response = await super().send(request, stream=True, **options)
        try:
            content = await read_all(response.aiter_bytes(), self._most)
        finally:
            await response.aclose()
        headers = [pair for pair in response.headers.multi_items() if pair[0].lower() not in _OF_THE_BODY]
        return httpx2.Response(response.status_code, headers=headers, content=content, request=request)


class SdkTransport(Transport):
    """Calls through `openai.AsyncOpenAI.post`; see `Transport`.

    An idle connection that the server has closed is replaced. When the server closes it in the very moment
    in which the request is sent, the call ends as `dropped`: it may have been received.
    """

    name = "sdk"

    def __init__(self, config: TransportConfig, headers: Mapping[str, str]) -> None:
        """`headers` go with every call.

        Raises:
            TransportUnavailable: the CA file cannot be used.
        """
        self._config = config
        self._headers = dict(headers)
        given = {name.lower() for name in headers}
        self._omitted = {name: openai.Omit() for name in _IDENTITY if name.lower() not in given}
        self._context = ssl_context(config)
        self._clients: dict[str | None, openai.AsyncOpenAI] = {}
        self._routes: dict[str, openai.AsyncOpenAI] = {}
        self._closed = False

    async def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> HttpReply:
        """See `Transport.post`."""
        client = self._routes.get(url) or self._route(url)
        options: Any = {"headers": {**self._omitted, **(headers or {})}}
        asking = client.post(url, cast_to=httpx2.Response, content=body, options=options)
        return await self._read(asking, url, timeout)

    async def get(self, url: str, timeout: float) -> HttpReply:
        """See `Transport.get`."""
        client = self._routes.get(url) or self._route(url)
        options: Any = {"headers": self._omitted}
        return await self._read(client.get(url, cast_to=httpx2.Response, options=options), url, timeout)

    async def _read(self, asking: Awaitable[httpx2.Response], url: str, seconds: float | None) -> HttpReply:
        try:
            async with asyncio.timeout(self._config.request_timeout if seconds is None else seconds):
                response = await asking
        except openai.APIStatusError as error:
            response = error.response
        except (openai.OpenAIError, TooLong, OSError, RuntimeError) as error:
            self._fail(error, url, seconds)
        return HttpReply(response.status_code, response.headers, response.content)

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        self._closed = True
        self._routes.clear()
        while self._clients:
            await self._clients.popitem()[1].close()

    def _route(self, url: str) -> openai.AsyncOpenAI:
        """The client for `url`: there is one for each proxy in use, and one for direct connections."""
        if self._closed:
            raise failure("other", url, self._config, reason="the transport is closed")
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise failure("other", url, self._config, reason="it is no http or https URL")
        proxy = environment_proxy(url) if self._config.trust_env else None
        if proxy and urlsplit(proxy).scheme not in ("http", "https"):
            raise no_socks(url, self._config, proxy, "transport=httptools or transport=aiohttp")
        client = self._clients.get(proxy)
        if client is None:
            client = self._clients[proxy] = self._open(proxy)
        if len(self._routes) >= _ROUTES_KEPT:
            self._routes.clear()
        self._routes[url] = client
        return client

    def _open(self, proxy: str | None) -> openai.AsyncOpenAI:
        config = self._config
        timeout = httpx2.Timeout(None, connect=config.connect_timeout)
        most = config.max_connections
        http = _Bounded(
            config.max_reply,
            verify=self._context,
            trust_env=False,
            proxy=proxy,
            follow_redirects=False,
            timeout=timeout,
            limits=httpx2.Limits(
                max_connections=most, max_keepalive_connections=most, keepalive_expiry=_KEEPALIVE_SECONDS
            ),
        )
        return openai.AsyncOpenAI(
            api_key="unused",  # the caller's Authorization header takes its place
            base_url="http://localhost",  # every call names its whole URL
            max_retries=0,
            timeout=timeout,
            default_headers=self._headers,
            http_client=http,
        )

    def _fail(self, error: Exception, url: str, timeout: float | None) -> NoReturn:
        cause = error.__cause__ if isinstance(error, openai.APIConnectionError) else error
        kind: ErrorKind = "other"
        reason: str | None = None
        match cause:
            case httpx2.ConnectTimeout():
                kind = "connect_timeout"
            case httpx2.TimeoutException() | TimeoutError():
                kind = "timeout"
            case httpx2.ProxyError():
                status = str(cause)[:3]  # and then the words of whoever answered
                if status.isdecimal():
                    raise proxy_answered(int(status), url, self._config) from None
                kind = "proxy"
            case TooLong():
                kind = "too_long"
            case httpx2.ConnectError():
                kind, reason = connect_failure(cause)
                if kind != "tls" and self._routes.get(url) is not self._clients.get(None):
                    raise no_proxy(cause, url, self._config) from None
            case httpx2.NetworkError() | httpx2.RemoteProtocolError() | ConnectionError():
                kind = "dropped"
            case httpx2.DecodingError():
                kind, reason = "dropped", "its content encoding is broken"
            case _:
                reason = "the transport is closed" if self._closed else type(cause).__name__
        # Not chained: the messages beneath can quote a proxy's URL with its password.
        raise failure(kind, url, self._config, timeout=timeout, reason=reason) from None
