"""Requests as bytes, and the URLs that they go to. Standard library only."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

_PORTS = {"http": 80, "https": 443}
_SAFE = "%/:?#[]@!$&'()*+,;=~"
_BODILESS = frozenset({"GET", "DELETE", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Place:
    """An http or https URL taken apart.

    `authority`: the value of `Host`. `target`: path and query. `credentials`: the value of `Authorization` that user
    name and password of the URL make, None without them.
    """

    host: str
    port: int
    tls: bool
    authority: str
    target: str
    credentials: str | None = None


def parse(url: str) -> Place:
    """An absolute URL taken apart. Raises `ValueError` for what is none, in words that hold nothing of it."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in _PORTS:
        raise ValueError("it is no http or https URL")
    usual = _PORTS[parts.scheme]
    named = f"[{host}]" if ":" in host else host
    credentials = None
    if parts.username is not None:
        known = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        credentials = "Basic " + base64.b64encode(known.encode()).decode()
    return Place(
        host=host,
        port=usual if port is None else port,
        tls=parts.scheme == "https",
        authority=named if port in (None, usual) else f"{named}:{port}",
        target=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        credentials=credentials,
    )


def request_head(method: str, target: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """The head of a request, up to the end of its last line but without the empty one.

    Raises `ValueError` where anything in it would end its line, and for HEAD: a reply to it is not read as one.
    """
    if method == "HEAD":
        raise ValueError("HEAD is not spoken")
    if " " in target or not target.isascii():
        target = quote(target, safe=_SAFE)
    lines = [f"{method} {target} HTTP/1.1", *[f"{name}: {value}" for name, value in headers]]
    text = "\r\n".join(lines)
    if text.count("\n") >= len(lines) or text.count("\r") >= len(lines) or "\0" in text:
        raise ValueError("a header or the URL holds a line break")
    return text.encode("utf-8", "surrogateescape") + b"\r\n"


def request_bytes(method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes | None = None) -> bytes:
    """A whole request. `headers` name everything but the body's length. Raises `ValueError`; see `request_head`."""
    head = request_head(method, target, headers)
    if body is None and method in _BODILESS:
        return head + b"\r\n"
    body = body or b""
    return b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)
