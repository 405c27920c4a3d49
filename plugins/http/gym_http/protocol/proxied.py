"""Requests that go through a proxy: httpx, one pool of connections, without cookies of its own."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from gym_http.protocol.errors import unusable_proxy
from gym_http1 import (
    Failure,
    HttpReply,
    ReplyHeaders,
    TooLong,
    connect_failure,
    read_all,
    too_long,
)


class Proxied:
    """Sends requests through a proxy, as `gym_http1.Pool` does without one.

    `failed` makes the exception for a request without an answer. Raises `RemoteError` for what is no usable proxy.
    """

    def __init__(
        self,
        proxy: str,
        failed: Callable[[Failure, str], Exception],
        connect_seconds: float,
        keepalive: float,
        max_reply: int,
    ) -> None:
        self._failed = failed
        self._max_reply = max_reply
        try:
            self._client = httpx.AsyncClient(
                proxy=proxy,
                trust_env=False,
                verify=ssl.create_default_context(),
                timeout=httpx.Timeout(None, connect=connect_seconds),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=keepalive),
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            )
        except ImportError:
            raise unusable_proxy("a SOCKS proxy needs the package socksio: pip install 'httpx[socks]'") from None
        except (ValueError, httpx.InvalidURL):
            raise unusable_proxy("httpx knows no proxy of this kind") from None

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None, seconds: float, about: str
    ) -> HttpReply:
        """One request. Raises what `failed` makes of a failure, `RemoteError` for one of the proxy's."""
        failure = Failure("dropped", sent=True)
        try:
            async with asyncio.timeout(None if seconds == float("inf") else seconds):
                async with self._client.stream(method, url, headers=dict(headers), content=content) as reply:
                    body = await read_all(reply.aiter_bytes(), self._max_reply)
            head = b"".join(b"%b: %b\r\n" % pair for pair in reply.headers.raw)
            return HttpReply(reply.status_code, ReplyHeaders(b"HTTP/1.1 200 OK\r\n%b\r\n" % head), body)
        except TooLong:
            failure = Failure("too_long", True, too_long(self._max_reply))
        except httpx.ConnectTimeout:
            failure = Failure("connect_timeout", sent=False)
        except (TimeoutError, httpx.TimeoutException):
            failure = Failure("timeout", sent=True)
        except httpx.ConnectError as error:
            if connect_failure(error)[0] != "tls":
                raise unusable_proxy(connect_failure(error)[1] or "no connection") from None
            failure = Failure("tls", sent=False)
        except httpx.ProxyError as error:
            status = str(error)[:3]  # and then the words of whoever answered
            raise unusable_proxy(
                f"it answered {status}" if status.isdecimal() else "it refused the connection"
            ) from None
        except httpx.UnsupportedProtocol:
            raise unusable_proxy("httpx knows no proxy of this kind") from None
        except httpx.InvalidURL:
            failure = Failure("other", False, "it is no URL")
        except (httpx.DecodingError, httpx.LocalProtocolError):
            failure = Failure("broken", sent=True)
        except (httpx.TransportError, OSError):
            pass
        # Not chained: the client's messages can quote a proxy's URL with its password.
        raise self._failed(failure, about) from None

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()
