"""The fast transport: wreq, a Rust client with BoringSSL. HTTP/1.1, and HTTP/2 where it is asked for.

wreq can pass for a browser; nothing of that is used here. Names are resolved by the operating system, the
certificate authorities are those of the other transports, and headers are the caller's.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import timedelta
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import wreq

from gym_core.http1 import TOO_MANY_FILES, TooLong, read_all
from gym_openai_model.transports.base import ErrorKind, HttpReply, TransportConfig
from gym_openai_model.transports.failures import failure
from gym_openai_model.transports.proxies import environment_proxy
from gym_openai_model.transports.trust import authorities

_KEEPALIVE = timedelta(seconds=30)
_ROUTES_KEPT = 64
_NO_ROUTE: dict[str, Any] = {}
_CERTIFICATE = re.compile(r"CERTIFICATE_VERIFY_FAILED")


class WreqTransport:
    """Calls through one `wreq.Client`; see `Transport`.

    An idle connection that the server has closed is replaced, also when that is noticed while the request is
    being handed to it; once some of it was sent, the call ends as `dropped`.
    """

    name = "wreq"

    def __init__(self, config: TransportConfig, headers: Mapping[str, str]) -> None:
        """`headers` go with every call.

        Raises:
            TransportUnavailable: the CA file cannot be used.
        """
        self._config = config
        self._closed = False
        self._replies = 0
        self._routes: dict[str, dict[str, Any]] = {}
        # wreq bounds the connections that it keeps, not those that it opens.
        most = config.max_connections
        self._slots: AbstractAsyncContextManager[None] = asyncio.Semaphore(most) if most else nullcontext()
        options: dict[str, Any] = {}
        if not config.verify:
            options = {"tls_verify": False, "tls_verify_hostname": False}
        elif trusted := authorities(config):
            options = {"tls_verify": wreq.CertStore.from_der_certs(trusted)}
        self._client = wreq.Client(
            headers=dict(headers),
            timeout=timedelta(seconds=config.request_timeout),
            connect_timeout=timedelta(seconds=config.connect_timeout),
            pool_idle_timeout=_KEEPALIVE,
            http1_only=not config.http2,
            redirect=wreq.redirect.Policy.none(),
            dns_options=wreq.DnsOptions(system_dns=True),
            no_proxy=True,  # chosen per URL, by the rule that all transports share
            # One thread is the cheapest per call and carries more than one event loop can ask for.
            runtime=wreq.Runtime(workers=1, thread_name="gym-wreq"),
            **options,
        )
        self._post = self._client.post

    async def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - handed to the client, which closes the connection
    ) -> HttpReply:
        """See `Transport.post`."""
        return await self._ask(
            self._post, url, timeout, {"body": body, "headers": headers} if headers else {"body": body}
        )

    async def get(self, url: str, timeout: float) -> HttpReply:  # noqa: ASYNC109 - handed on
        """See `Transport.get`."""
        return await self._ask(self._client.get, url, timeout, {})

    async def _ask(
        self, send: Callable[..., Awaitable[wreq.Response]], url: str, seconds: float | None, options: dict[str, Any]
    ) -> HttpReply:
        route = self._routes.get(url)
        options = {**options, **(self._route(url) if route is None else route)}
        if seconds is not None:
            options["timeout"] = timedelta(seconds=seconds)
        replies = self._replies
        try:
            async with self._slots:
                response = await send(url, **options)
                async with response.stream() as parts:
                    content = await read_all(parts, self._config.max_reply)
        except TooLong:
            raise failure("too_long", url, self._config) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and not (task and task.cancelling()):
                # A closed client cancels its calls although nobody cancelled their tasks.
                raise failure("other", url, self._config, reason="the transport is closed") from None
            raise
        except Exception as error:
            kind, reason = _classify(error)
            left = (self._config.request_timeout if seconds is None else seconds) - self._config.connect_timeout
            if kind == "connect_timeout" and self._replies != replies and left > 0:
                # Others got through meanwhile: the server is well, and thousands of handshakes that started
                # together share this machine's cores. Nothing was sent yet.
                return await self._ask(send, url, left, options)
            # Not chained: wreq's messages can hold the credentials of a proxy.
            raise failure(kind, url, self._config, timeout=seconds, reason=reason) from None
        self._replies += 1
        return HttpReply(response.status.as_int(), _Headers(response), content)

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        self._closed = True
        self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def _route(self, url: str) -> dict[str, Any]:
        """The options that calls to `url` have in common: the proxy they go through, if any."""
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise failure("other", url, self._config, reason="it is no http or https URL")
        proxy = environment_proxy(url) if self._config.trust_env else None
        if len(self._routes) >= _ROUTES_KEPT:
            self._routes.clear()
        route = self._routes[url] = {"proxy": wreq.Proxy.all(proxy)} if proxy else _NO_ROUTE
        return route


def _classify(error: Exception) -> tuple[ErrorKind, str | None]:
    """(kind, reason) of one of wreq's exceptions, which tell the details in their text only."""
    # What precedes the source is the URL, which may hold any of the words looked for.
    cause = str(error).partition("source: ")[2]
    if isinstance(error, wreq.ProxyConnectionError):
        return "proxy", "connection refused" if "ConnectionRefused" in cause else None
    if "TooManyOpenFiles" in cause:
        return "other", TOO_MANY_FILES
    if isinstance(error, wreq.ConnectionError | wreq.TlsError):
        return _classify_connect(cause)
    if isinstance(error, wreq.TimeoutError) or cause.startswith("TimedOut"):
        return "timeout", None
    if "netty::Error(Parse(" in cause:
        return "other", "the reply is not valid HTTP"
    if isinstance(error, wreq.RequestError | wreq.ConnectionResetError | wreq.BodyError | wreq.DecodingError):
        return "dropped", None
    return "other", type(error).__name__


def _classify_connect(cause: str) -> tuple[ErrorKind, str | None]:
    if "dns error" in cause:
        return "dns", None
    if "SSL" in cause or "Ssl" in cause:
        return "tls", "the server's certificate is not trusted" if _CERTIFICATE.search(cause) else None
    if "TimedOut" in cause:
        return "connect_timeout", None
    if "ConnectionRefused" in cause:
        return "connect_refused", "connection refused"
    if "Unreachable" in cause:
        return "connect_refused", "the network or host cannot be reached"
    return "other", "connecting failed"


class _Headers(Mapping[str, str]):
    """A reply's headers, decoded when the first of them is looked up."""

    __slots__ = ("_read", "_response")

    def __init__(self, response: wreq.Response) -> None:
        self._response = response
        self._read: dict[str, str] | None = None

    def _all(self) -> dict[str, str]:
        if self._read is None:
            self._read = {}
            for name, value in self._response.headers:
                self._read.setdefault(bytes(name).decode("latin-1").lower(), bytes(value).decode("latin-1"))
        return self._read

    def __getitem__(self, name: str) -> str:
        return self._all()[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())
