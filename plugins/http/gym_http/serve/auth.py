"""Who may ask: the server's own token, and routes that look at a session's instead."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.routing import Route

from gym_http.protocol.errors import ServeError
from gym_http.serve.settings import LOOPBACK

CHALLENGE = {"WWW-Authenticate": "Bearer"}


class SessionRoute(Route):
    """A route that asks for a session's own token instead of the server's. It goes on while the server drains."""

    own_token = True
    continues = True


class CookieRoute(Route):
    """A route of an open session that is named by a cookie: it wants the server's token, and goes on during a drain."""

    own_token = False
    continues = True


def bearer(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The bearer token of a request, empty without one. A token that is no ASCII matches none."""
    for name, value in headers:
        if name == b"authorization":
            scheme, _, token = value.partition(b" ")
            return token.strip().decode("latin-1") if scheme.lower() == b"bearer" else ""
    return ""


def same(given: str, wanted: str) -> bool:
    """Whether two tokens are the same, in a time that does not tell where they differ."""
    return hmac.compare_digest(given.encode(), wanted.encode())


def check_token(headers: Iterable[tuple[bytes, bytes]], token: str) -> None:
    """Raise `ServeError` (401) for a request without the server's token."""
    given = bearer(headers)
    if not given:
        raise unauthorized("this server wants a token", "send it as `Authorization: Bearer TOKEN`")
    if not same(given, token):
        raise unauthorized("the token is wrong", "it is the one that the server was started with")


def unauthorized(message: str, hint: str) -> ServeError:
    """The refusal of a request that does not say who asks."""
    return ServeError(401, message, hint=hint, headers=CHALLENGE)


def check_local(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Raise `ServeError` for a request to a server without a token that no program of this machine has sent.

    A page of any site can send requests to loopback, from another port of it, too, and by a name that resolves there
    even read the answers: 403. Browsers tell by `Host`, `Origin` and `Sec-Fetch-Site` whose page it is. What a page may
    send unasked is no JSON: 415 (https://fetch.spec.whatwg.org/#cors-safelisted-request-header).
    """
    host = b""
    origin: bytes | None = None
    body = typed = other = False
    for name, value in headers:
        if name == b"host":
            host = value
            if not _is_loopback(_host("//" + value.decode("latin-1"))):
                raise _page(f"as {_host('//' + value.decode('latin-1'))!r:.100}")
        elif name == b"origin":
            origin = value
        elif name == b"sec-fetch-site":
            if value not in OWN_PAGES:
                raise _page("to pages of others")
        elif name == b"content-type":
            typed = True
            other = other or not _is_json(value)
        elif (name == b"content-length" and value != b"0") or name == b"transfer-encoding":
            body = True
    if origin is not None and origin != b"http://" + host:
        raise _page(f"to pages of {origin.decode('latin-1')!r:.100}")
    if other or (body and not typed):
        raise ServeError(415, "without a token this server takes JSON only", hint="Content-Type: application/json")


def check_direct(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Raise `ServeError` (401) for a request to a server without a token that came through a proxy.

    Whoever sent it is anywhere, even where the proxy is on this machine.
    """
    for name, _ in headers:
        if name.startswith(_OF_PROXIES):
            raise unauthorized(
                f"without a token this server answers nobody behind a proxy, which {name.decode()!r} tells of",
                "start it with a token",
            )


OWN_PAGES = (b"none", b"same-origin")
"""What browsers say in `Sec-Fetch-Site`; `none`: a person typed the address, or followed a link of another program."""
_OF_PROXIES = (
    b"forwarded",
    b"via",
    b"x-forwarded",
    b"x-original-",
    b"x-real-ip",
    b"x-client-ip",
    b"x-cluster-client-ip",
    b"x-proxy",
    b"x-envoy-",
    b"x-appengine-",
    b"x-azure-",
    b"true-client-ip",
    b"cdn-loop",
    b"cf-",
    b"fastly-",
    b"fly-",
    b"tailscale-",
)
"""What the names of headers begin with that proxies, tunnels and content networks add."""


def _is_json(content_type: bytes) -> bool:
    kind = content_type.partition(b";")[0].strip().lower()
    return kind.startswith(b"application/") and kind.endswith((b"/json", b"+json"))


def _page(to_whom: str) -> ServeError:
    return ServeError(403, f"without a token this server does not answer {to_whom}", hint="start it with a token")


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return "?"


def _is_loopback(host: str) -> bool:
    if host in LOOPBACK or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
