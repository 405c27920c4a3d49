"""What went wrong, told apart and worded the same for every client."""

from __future__ import annotations

from urllib.parse import urlsplit

import gym_http1 as http1
from gym_http1 import Failure, FailureKind
from gym_openai_model.transports.base import ErrorKind, TransportConfig, TransportError

_KINDS: dict[FailureKind, ErrorKind] = {
    "connect_refused": "connect_refused",
    "dns": "dns",
    "connect_timeout": "connect_timeout",
    "tls": "tls",
    "timeout": "timeout",
    "dropped": "dropped",
    "too_long": "too_long",
}
"""Of the kinds of failure those that users are told apart; the rest is `other`."""


def failure(
    kind: ErrorKind, url: str, config: TransportConfig, *, timeout: float | None = None, reason: str | None = None
) -> TransportError:
    """The error that a user reads. `reason` is a client's own short word for it, free of secrets.

    `timeout` is what the failed call had, in seconds.
    """
    host = urlsplit(url).netloc.rpartition("@")[2]
    limit = config.request_timeout if timeout is None else timeout
    text = {
        "connect_refused": f"no connection to {host}",
        "dns": f"the host name {urlsplit(url).hostname!r} cannot be resolved",
        "connect_timeout": f"no connection to {host} within {config.connect_timeout:g} s",
        "tls": f"the TLS handshake with {host} failed",
        "timeout": f"no complete reply within {limit:g} s",
        "dropped": "the connection was closed before the reply was complete",
        "proxy": "the proxy did not pass the request on",
        "proxy_down": "no connection to the proxy",
        "proxy_unusable": "the proxy cannot be used",
        "too_long": f"the reply is longer than {config.max_reply / http1.MEGABYTE:g} MB",
        "other": "the request failed",
    }[kind]
    if reason:
        text += f": {reason}"
    if kind == "tls" and config.verify:
        text += " (a certificate authority of your own goes into the file that SSL_CERT_FILE names)"
    return TransportError(kind, url, text)


def proxy_answered(status: int, url: str, config: TransportConfig) -> TransportError:
    """The error for a proxy that answers itself, where a connection to the server was asked for."""
    passing = status >= 500 or status in (408, 429)
    return failure("proxy" if passing else "proxy_unusable", url, config, reason=f"it answered {status}")


def no_proxy(error: BaseException, url: str, config: TransportConfig) -> TransportError:
    """The error for a proxy that could not be connected to, from the operating system's error behind `error`."""
    kind, reason = connect_failure(error)
    match kind:
        case "connect_refused":
            return failure("proxy_down", url, config, reason=reason)
        case "dns":
            return failure("proxy_unusable", url, config, reason="its host name cannot be resolved")
    return failure("proxy", url, config, reason=reason)


def no_socks(url: str, config: TransportConfig, proxy: str, need: str) -> TransportError:
    """The error for a SOCKS proxy where what speaks to one is missing. `need`: what it takes."""
    return failure("proxy_unusable", url, config, reason=f"a {urlsplit(proxy).scheme} proxy needs {need}")


def connect_failure(error: BaseException) -> tuple[ErrorKind, str | None]:
    """Why connecting failed, as (kind, reason), from the operating system's error behind `error`."""
    kind, reason = http1.connect_failure(error)
    return _KINDS.get(kind, "other"), reason


def unanswered(found: Failure, url: str, config: TransportConfig) -> TransportError:
    """The error that a user reads, for a failure of gym's own HTTP/1.1."""
    reason = found.reason if found.kind != "too_long" else None
    if found.kind == "broken":
        reason = f"the reply is not valid HTTP: {found.reason}"
    elif found.kind == "closed":
        reason = "the transport is closed"
    return failure(_KINDS.get(found.kind, "other"), url, config, timeout=found.seconds, reason=reason)
