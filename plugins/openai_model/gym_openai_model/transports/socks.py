"""Connections through a SOCKS proxy: aiohttp-socks, which the extra `gym-openai-model[socks]` brings."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp
import aiohttp_socks

from gym_openai_model.transports.base import TransportConfig, TransportError
from gym_openai_model.transports.failures import failure, no_proxy

FAILURES: tuple[type[Exception], ...] = (
    aiohttp_socks.ProxyConnectionError,
    aiohttp_socks.ProxyTimeoutError,
    aiohttp_socks.ProxyError,
    EOFError,
)
"""What a connection through a proxy ends with, none of which is aiohttp's."""
_PORT = 1080
_LOOKS_NAMES_UP = ("socks4a", "socks5h")
_OUT_OF_REACH = frozenset({1, 3, 4, 5, 6, 91})
"""What a proxy answers when it did not reach the server (RFC 1928, 6; 91 is that of SOCKS4)."""


def connector(kind: type[aiohttp.TCPConnector], proxy: str, **options: Any) -> aiohttp.TCPConnector:
    """A connector of `kind`, made with `options`, whose connections go through `proxy`."""
    parts = urlsplit(proxy)
    made: Any = type("SocksConnector", (kind, aiohttp_socks.ProxyConnector), {})
    connector: aiohttp.TCPConnector = made(
        host=parts.hostname,
        port=parts.port or _PORT,
        proxy_type=aiohttp_socks.ProxyType[parts.scheme[: len("socks5")].upper()],
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        rdns=parts.scheme in _LOOKS_NAMES_UP,
        **options,
    )
    return connector


def socks_failure(error: Exception, url: str, config: TransportConfig) -> TransportError:
    """The error that a user reads, for one of `FAILURES`."""
    match error:
        case aiohttp_socks.ProxyTimeoutError():
            return failure("connect_timeout", url, config)
        case aiohttp_socks.ProxyConnectionError():
            return no_proxy(error, url, config)
        case aiohttp_socks.ProxyError():  # its words are the library's, and hold nothing of the URL
            kind: Any = "proxy" if error.error_code in _OUT_OF_REACH else "proxy_unusable"
            return failure(kind, url, config, reason=str(error))
    return failure("proxy", url, config, reason="it ended the connection")
