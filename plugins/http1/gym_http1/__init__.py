"""HTTP/1.1 for small requests and small replies, many at a time: connections, a pool of them, and what can go wrong.

    pool = Pool(failed=lambda failure, about: ConnectionError(f"{about}: {failure.reason or failure.kind}"))
    place = parse("http://127.0.0.1:8000/v1/thing")
    request = request_bytes("POST", place.target, [("Host", place.authority)], b"{}")
    reply = await pool.send(pool.server(place), request, 5.0, "the thing")
    await pool.aclose()

A general client spends most of its time on what such a call does not need. This package knows bytes and sockets,
how long a reply asks to wait, and which proxy the environment names for a URL; what is asked, redirects, cookies and
going through that proxy are the business of its users. Importing it loads neither httptools nor aiohappyeyeballs
until `Pool` is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gym_http1.failure import TOO_MANY_FILES as TOO_MANY_FILES
    from gym_http1.failure import Failure as Failure
    from gym_http1.failure import FailureKind as FailureKind
    from gym_http1.failure import connect_failure as connect_failure
    from gym_http1.pool import Pool as Pool
    from gym_http1.pool import Server as Server
    from gym_http1.proxies import ProxyError as ProxyError
    from gym_http1.proxies import environment_proxy as environment_proxy
    from gym_http1.reply import MAX_REPLY_MB as MAX_REPLY_MB
    from gym_http1.reply import MEGABYTE as MEGABYTE
    from gym_http1.reply import HttpReply as HttpReply
    from gym_http1.reply import ReplyHeaders as ReplyHeaders
    from gym_http1.reply import TooLong as TooLong
    from gym_http1.reply import read_all as read_all
    from gym_http1.reply import too_long as too_long
    from gym_http1.request import Place as Place
    from gym_http1.request import parse as parse
    from gym_http1.request import request_bytes as request_bytes
    from gym_http1.request import request_head as request_head
    from gym_http1.retry_after import retry_after_seconds as retry_after_seconds
else:
    _HOMES = {
        "failure": "TOO_MANY_FILES Failure FailureKind connect_failure",
        "pool": "Pool Server",
        "proxies": "ProxyError environment_proxy",
        "reply": "HttpReply MAX_REPLY_MB MEGABYTE ReplyHeaders TooLong read_all too_long",
        "request": "Place parse request_bytes request_head",
        "retry_after": "retry_after_seconds",
    }
    _NAMES = {name: home for home, names in _HOMES.items() for name in names.split()}

    __all__ = [*_NAMES]

    def __getattr__(name: str) -> Any:
        if name not in _NAMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
        return value
