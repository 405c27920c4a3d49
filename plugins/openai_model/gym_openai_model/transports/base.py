"""What every transport takes, gives and raises. Importing this loads no client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self
from urllib.parse import urlsplit

from gym_http1 import MAX_REPLY_MB, MEGABYTE, HttpReply

ErrorKind = Literal[
    "connect_refused",
    "dns",
    "connect_timeout",
    "tls",
    "timeout",
    "dropped",
    "proxy",
    "proxy_down",
    "proxy_unusable",
    "too_long",
    "other",
]

__all__ = [
    "ErrorKind",
    "HttpReply",
    "PreparedHeaders",
    "Transport",
    "TransportConfig",
    "TransportError",
    "TransportUnavailable",
    "public_url",
]


@dataclass(frozen=True, slots=True)
class TransportConfig:
    """How to connect, alike for every transport.

    Attributes:
        connect_timeout: Seconds for one connection: name look-up, TCP and TLS handshake.
        request_timeout: Seconds for a whole call unless the call says otherwise, connecting included.
        max_connections: Most connections at once; `None` sets no limit.
        verify: Whether the server's certificate is verified.
        ca_file: PEM file of the only certificate authorities to trust. Without it `SSL_CERT_FILE` and
            `SSL_CERT_DIR` decide, else the system's store.
        trust_env: Whether `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` are followed.
        max_reply: Bytes that are read of a reply's body, decompressed.
    """

    connect_timeout: float = 30.0
    request_timeout: float = 600.0
    max_connections: int | None = None
    verify: bool = True
    ca_file: str | None = None
    trust_env: bool = True
    max_reply: int = MAX_REPLY_MB * MEGABYTE


class PreparedHeaders(dict[str, str]):
    """Headers that many calls share, with the lines that they are.

    `wire`: whoever makes it vouches that no name is one of the transport's own, and that no value ends its line.
    """

    __slots__ = ("wire",)

    def __init__(self, names: Sequence[str], value: str) -> None:
        super().__init__(dict.fromkeys(names, value))
        self.wire = f": {value}\r\n".join((*names, "")).encode("ascii")


class TransportError(Exception):
    """No reply: the request could not be sent, or its reply did not arrive whole.

    The message names the URL called and never a header, a credential or a body.

    Attributes:
        kind: `connect_refused`, `dns`, `connect_timeout`, `tls`, `proxy`, `proxy_down` (nothing listens there) and
            `proxy_unusable` (another attempt will not change it) mean that the request was not sent; after `timeout`,
            `dropped`, `too_long` (more than `TransportConfig.max_reply`) and `other` the server may have worked on it.
        url: The URL called, without credentials, query and fragment.
    """

    def __init__(self, kind: ErrorKind, url: str, detail: str) -> None:
        self.kind: ErrorKind = kind
        self.url = public_url(url)
        self.detail = detail
        super().__init__(f"{self.url}: {detail}")

    def __reduce__(self) -> tuple[type[TransportError], tuple[ErrorKind, str, str]]:
        return type(self), (self.kind, self.url, self.detail)


class TransportUnavailable(Exception):
    """The chosen transport cannot be used here; the message says what to do."""


class Transport(Protocol):
    """Posts JSON bodies. One instance serves any number of calls at once, on one event loop.

    Cancelling the task that awaits `post` closes the connection, so that the server can stop working.
    Redirects are returned, not followed: they would carry the key elsewhere.
    No call is repeated, except that a connection found closed before anything was sent on it is replaced.
    """

    name: str

    async def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> HttpReply:
        """Send `body` to the absolute `url` and read the reply.

        Args:
            url: Absolute `http` or `https` URL.
            body: The JSON document, encoded.
            headers: Sent in addition to the transport's own, or in place of those of the same name.
            timeout: Seconds for this call; `None` takes `TransportConfig.request_timeout`.

        Raises:
            TransportError: no whole reply arrived.
        """
        ...

    async def get(self, url: str, timeout: float) -> HttpReply:
        """Read what is at the absolute `url`, within `timeout` seconds. Raises `TransportError`."""
        ...

    async def aclose(self) -> None:
        """Close every connection; open calls fail. Calling it again does nothing."""
        ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()


def public_url(url: str) -> str:
    """`url` without credentials, query and fragment, which may hold secrets."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "<not a URL>"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
