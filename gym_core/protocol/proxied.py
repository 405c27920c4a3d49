"""Requests that go through a proxy: httpx, one pool of connections, without cookies of its own."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from gym_core.http1 import Failure, HttpReply, ReplyHeaders, connect_failure
from gym_core.protocol.errors import RemoteError


class Proxied:
    """Sends requests through a proxy, as `gym_core.http1.Pool` does without one.

    `failed` makes the exception for a request without an answer. Raises `RemoteError` for what is no usable proxy.
    """

    def __init__(
        self, proxy: str, failed: Callable[[Failure, str], Exception], connect_seconds: float, keepalive: float
    ) -> None:
        self._failed = failed
        try:
            self._client = httpx.AsyncClient(
                proxy=proxy,
                trust_env=False,
                verify=ssl.create_default_context(),
                timeout=httpx.Timeout(None, connect=connect_seconds),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=keepalive),
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            )
        except (ValueError, ImportError, httpx.InvalidURL):
            raise _unusable() from None

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None, seconds: float, about: str
    ) -> HttpReply:
        """One request. Raises what `failed` makes of a failure, `RemoteError` for one of the proxy's."""
        failure = Failure("dropped", sent=True)
        try:
            async with asyncio.timeout(None if seconds == float("inf") else seconds):
                reply = await self._client.request(method, url, headers=dict(headers), content=content)
            head = b"".join(b"%b: %b\r\n" % pair for pair in reply.headers.raw)
            return HttpReply(reply.status_code, ReplyHeaders(b"HTTP/1.1 200 OK\r\n%b\r\n" % head), reply.content)
        except httpx.ConnectTimeout:
            failure = Failure("connect_timeout", sent=False)
        except (TimeoutError, httpx.TimeoutException):
            failure = Failure("timeout", sent=True)
        except httpx.ConnectError as error:
            if connect_failure(error)[0] != "tls":
                raise _unusable() from None
            failure = Failure("tls", sent=False)
        except (httpx.ProxyError, httpx.UnsupportedProtocol):
            raise _unusable() from None
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


def _unusable() -> RemoteError:
    return RemoteError("the proxy cannot be used", hint="check HTTP_PROXY and NO_PROXY", code="unreachable")
