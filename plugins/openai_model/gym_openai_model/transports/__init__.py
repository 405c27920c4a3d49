"""HTTP clients for model calls behind one small interface.

Importing this package loads no client. `open_transport` loads the one that is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from gym_openai_model.transports.base import (
    ErrorKind,
    HttpReply,
    Transport,
    TransportConfig,
    TransportError,
    TransportUnavailable,
)

TransportName = Literal["httptools", "aiohttp", "sdk"]

__all__ = [
    "ErrorKind",
    "HttpReply",
    "Transport",
    "TransportConfig",
    "TransportError",
    "TransportName",
    "TransportUnavailable",
    "open_transport",
]


def open_transport(
    name: TransportName, config: TransportConfig | None = None, headers: Mapping[str, str] | None = None
) -> Transport:
    """The transport `name`, which sends `headers` with every call. Call it on a running event loop.

    Raises:
        TransportUnavailable: it cannot be used here.
    """
    config = config or TransportConfig()
    headers = headers or {}
    match name:
        case "httptools":
            from gym_openai_model.transports.httptools_transport import HttptoolsTransport

            return HttptoolsTransport(config, headers)
        case "aiohttp":
            from gym_openai_model.transports.aiohttp_transport import AiohttpTransport

            return AiohttpTransport(config, headers)
        case "sdk":
            from gym_openai_model.transports.sdk_transport import SdkTransport

            return SdkTransport(config, headers)
    raise TransportUnavailable(f"no transport named {name!r}; choose httptools, aiohttp or sdk")
