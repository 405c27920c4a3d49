"""Who may ask: whoever has the URL that was printed, from the page itself and nowhere else.

Other users of this machine can connect to loopback, and so can every web page that is open in the browser: by a form,
by a name that resolves to 127.0.0.1 (DNS rebinding), from another port. So a request needs the token, the name by which
the server was announced, and no other page as its origin.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl

from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gym_core import encode_json
from gym_http.serve.auth import OWN_PAGES, bearer, same

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing is loaded from elsewhere, and nothing that stands in a row can become a script."""
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_ENTER = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/">'
    '<title>gym</title><a href="/">Open the viewer</a></html>'
)
"""Leads to the page without the token, which stays in no history."""


class Access:
    """An application behind a token. `token`: part of the URL of the first request, and a cookie from then on."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token
        self._headers = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *self._headers]}
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        host, port = scope["server"]
        named = [value.lower() for name, value in headers if name == b"host"]
        own = {f"{name}:{port}".encode() for name in (host, "localhost")}
        if len(named) != 1 or named[0] not in own:
            return problem(403, "this page is served under its own address only")
        for name, value in headers:
            foreign = (name == b"origin" and value.lower() != b"http://" + named[0]) or (
                name == b"sec-fetch-site" and value not in OWN_PAGES
            )
            if foreign and not self._begins(scope):
                return problem(403, "pages of others may not ask")
        if self._begins(scope):
            return self._beginning(scope, port)
        if not self._is_known(headers, port):
            return problem(401, "the address lacks its token", "open the URL that `gym view` has printed")
        if scope["method"] not in ("GET", "HEAD"):
            return problem(405, "there is nothing to change here")
        return None

    def _begins(self, scope: Scope) -> bool:
        """Whether it is the URL that was printed; a link to it may stand in a page of others, a mail program's say."""
        return scope["method"] == "GET" and scope["path"] == "/" and b"token=" in scope["query_string"]

    def _beginning(self, scope: Scope, port: int) -> Response:
        given = [value for name, value in parse_qsl(scope["query_string"].decode("latin-1")) if name == "token"]
        if len(given) != 1 or not same(given[0], self._token):
            return problem(401, "that is not the token of this viewer", "open the URL that `gym view` has printed")
        # not a redirect: where the link stood in a page of others the cookie would not go with it
        answer = HTMLResponse(_ENTER)
        answer.set_cookie(_cookie(port), self._token, httponly=True, samesite="strict", path="/")
        return answer

    def _is_known(self, headers: list[tuple[bytes, bytes]], port: int) -> bool:
        given = [bearer(headers)]
        for text in (value.decode("latin-1") for name, value in headers if name == b"cookie"):
            with suppress(CookieError):
                given += [morsel.value for name, morsel in SimpleCookie(text).items() if name == _cookie(port)]
        return any(same(one, self._token) for one in given)


def problem(status: int, error: str, hint: str = "") -> Response:
    """A refusal, see `shapes.Problem`."""
    return json_answer({"error": error, "hint": hint}, status)


def json_answer(value: Any, status: int = 200) -> Response:
    """An answer of the API. It is not HTML, whatever stands in it."""
    return Response(encode_json(value, fallback=str), status, media_type="application/json")


def _cookie(port: int) -> str:
    """Its name: cookies do not know of ports, and two viewers may be open."""
    return f"gym_view_{port}"
