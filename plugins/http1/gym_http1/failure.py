"""Why there is no reply."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

FailureKind = Literal[
    "connect_refused", "dns", "connect_timeout", "tls", "timeout", "dropped", "broken", "too_long", "closed", "other"
]

_UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EHOSTDOWN}
_OUT_OF_FILES = {errno.EMFILE, errno.ENFILE}
TOO_MANY_FILES = "too many open files: raise the limit (ulimit -n) or lower the number of calls at once"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no reply.

    Attributes:
        kind: `broken`: what came is no HTTP; `closed`: the pool was; `dropped`: the connection ended; `too_long`: the
            reply is longer than what is read of one.
        sent: Whether the request was, or a part of it: then the server may have worked on it.
        reason: The system's own short word for it, free of secrets.
        seconds: What the call had.
    """

    kind: FailureKind
    sent: bool
    reason: str | None = None
    seconds: float = 0.0


def connect_failure(error: BaseException) -> tuple[FailureKind, str | None]:
    """Why connecting failed, as (kind, reason), from the operating system's error behind `error`."""
    kind: FailureKind = "other"
    reason: str | None = None
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            return "dns", None
        if isinstance(cause, ssl.SSLCertVerificationError):
            kind, reason = "tls", getattr(cause, "verify_message", reason)
            continue
        if isinstance(cause, ssl.SSLError):
            kind, reason = "tls", reason or cause.reason
            continue
        if isinstance(cause, ConnectionRefusedError):
            return "connect_refused", "connection refused"
        if isinstance(cause, ConnectionResetError):
            kind, reason = "dropped", None
        elif isinstance(cause, OSError) and cause.errno in _OUT_OF_FILES:
            return "other", TOO_MANY_FILES
        elif isinstance(cause, OSError) and cause.errno in _UNREACHABLE:
            kind, reason = "connect_refused", cause.strerror
        elif isinstance(cause, OSError) and cause.strerror and kind == "other":
            reason = cause.strerror
    return kind, reason


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """`error` and everything it was raised from, once each, groups taken apart."""
    seen: set[int] = set()
    queue = [error]
    while queue:
        cause = queue.pop(0)
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        if isinstance(cause, BaseExceptionGroup):
            queue.extend(cause.exceptions)
        queue += [getattr(cause, "os_error", None), cause.__cause__, cause.__context__]
