"""The transport that is taken where nothing else is asked for: gym's own HTTP/1.1, on the event loop's sockets.

It costs a quarter of aiohttp's; certificate authorities, proxies and words of errors are those of the other transports.
Calls that go through a proxy are handed to aiohttp.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from gym_http1 import Failure, Place, Pool, Server, parse, request_head
from gym_openai_model.transports.base import (
    HttpReply,
    PreparedHeaders,
    Transport,
    TransportConfig,
    TransportError,
)
from gym_openai_model.transports.failures import failure, unanswered
from gym_openai_model.transports.proxies import environment_proxy
from gym_openai_model.transports.trust import trusting

_ROUTES_KEPT = 1024
_ACCEPTED = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate"}


@dataclass(frozen=True, slots=True)
class _Route:
    """What is the same in every call to a URL. `head`: up to the value of `Content-Length`."""

    server: Server
    head: bytes
    proxied: bool = False


class HttptoolsTransport(Transport):
    """Calls over connections of its own; see `Transport`.

    An idle connection that the server has closed is replaced. When the server closes it in the very moment in which
    the request is sent, the call ends as `dropped`: it may have been received.
    """

    name = "httptools"

    def __init__(self, config: TransportConfig, headers: Mapping[str, str]) -> None:
        """Must be called on a running event loop. `headers` go with every call.

        Raises:
            TransportUnavailable: the CA file cannot be used.
        """
        self._config = config
        self._headers = dict(headers)
        self._pool = Pool(
            failed=self._failed,
            ssl_context=trusting(config),
            connect_timeout=config.connect_timeout,
            max_reply=config.max_reply,
        )
        self._slots = asyncio.Semaphore(config.max_connections) if config.max_connections else None
        self._routes: dict[str, _Route] = {}
        self._proxied: Transport | None = None

    def post(
        self, url: str, body: bytes, headers: Mapping[str, str] | None = None, timeout: float | None = None
    ) -> Coroutine[Any, Any, HttpReply]:
        """See `Transport.post`. What is no request is refused before anything is awaited."""
        # Handed through: another coroutine around it would be felt.
        route = self._routes.get(url) or self._route(url)
        if route.proxied:
            calling = self._through_proxy().post(url, body, headers, timeout)
        else:
            if not headers:
                request = b"%b%d\r\n\r\n%b" % (route.head, len(body), body)
            elif type(headers) is PreparedHeaders:
                request = b"%b%d\r\n%b\r\n%b" % (route.head, len(body), headers.wire, body)
            else:
                head = self._head("POST", url, parse(url), headers)
                request = b"%b%d\r\n\r\n%b" % (head, len(body), body)
            seconds = self._config.request_timeout if timeout is None else timeout
            calling = self._pool.send(route.server, request, seconds, url)
        return calling if self._slots is None else self._in_turn(self._slots, calling)

    async def get(self, url: str, timeout: float) -> HttpReply:
        """See `Transport.get`."""
        route = self._routes.get(url) or self._route(url)
        if route.proxied:
            return await self._through_proxy().get(url, timeout)
        head = self._head("GET", url, parse(url), {})
        return await self._pool.send(route.server, head + b"\r\n", timeout, url)

    @staticmethod
    async def _in_turn(slots: asyncio.Semaphore, calling: Coroutine[Any, Any, HttpReply]) -> HttpReply:
        try:
            async with slots:
                return await calling
        finally:
            calling.close()  # it never began where the wait was cancelled

    def _route(self, url: str) -> _Route:
        """`url` taken apart. Raises `TransportError` for what is no URL, or no proxy."""
        try:
            place = parse(url)
        except ValueError as error:
            raise failure("other", url, self._config, reason=str(error)) from None
        proxied = bool(self._config.trust_env and environment_proxy(url))
        if len(self._routes) >= _ROUTES_KEPT:
            self._routes.clear()
        head = b"" if proxied else self._head("POST", url, place, {})
        route = self._routes[url] = _Route(self._pool.server(place), head, proxied)
        return route

    def _head(self, method: str, url: str, place: Place, headers: Mapping[str, str]) -> bytes:
        """The head of a request, where it has a body up to the value of its length. Raises `TransportError`."""
        own = {"Host": place.authority, **_ACCEPTED}
        if place.credentials is not None:
            own["Authorization"] = place.credentials
        given = {**self._headers}
        for name, value in headers.items():
            for other in [other for other in given if other.lower() == name.lower()]:
                del given[other]
            given[name] = value
        named = {name.lower() for name in given}
        fields = {**{name: value for name, value in own.items() if name.lower() not in named}, **given}
        try:
            head = request_head(method, place.target, fields.items())
        except ValueError as error:
            raise failure("other", url, self._config, reason=str(error)) from None
        return head if method == "GET" else head + b"Content-Length: "

    def _through_proxy(self) -> Transport:
        """The transport for what goes through a proxy."""
        if self._proxied is None:
            from gym_openai_model.transports.aiohttp_transport import AiohttpTransport

            self._proxied = AiohttpTransport(self._config, self._headers)
        return self._proxied

    def _failed(self, found: Failure, url: str) -> TransportError:
        return unanswered(found, url, self._config)

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        await self._pool.aclose()
        if self._proxied is not None:
            await self._proxied.aclose()
