"""The ASGI application around a component's routes: who may ask, how much, and how errors are answered.

Pure ASGI, without middleware classes: it stands in front of every call of a tool.
"""

from __future__ import annotations

import asyncio
import logging
import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Message, Receive, Scope, Send

from gym_core import ModelError, encode_json
from gym_core.spi import Redactor, as_exception, asked_to_end, unwrapped
from gym_http.protocol.errors import ServeError, add_openai_words, error_to_wire
from gym_http.protocol.wire import PROTOCOL
from gym_http.serve.auth import check_direct, check_local, check_token
from gym_http.serve.json_reply import json_reply
from gym_http.serve.openapi import document
from gym_http.serve.settings import ServeSettings

logger = logging.getLogger("gym.serve")

PUBLIC = frozenset({"/", "/health", "/ready"})
"""What may be asked without a token: whether the server is there."""
PHASE = "gym.phase"
"""Where a route notes in the scope of a request what it is at: `setup`, `tool`, `reply`, `verify`, `score_group`."""
_RETRY_SECONDS = "5"
_CAPTURED = re.compile(r"/ng-rollout/[A-Za-z0-9][A-Za-z0-9._-]*(?:/training-token-capture)?(?=/)")
"""What NeMo Gym puts before a path where it keeps what a rollout asked: the route is the one behind it."""
_LONGEST_LENGTH = 18
"""Digits of a length that anybody may mean."""


def build(
    kind: str,
    routes: Sequence[BaseRoute],
    *,
    settings: ServeSettings,
    describe: Mapping[str, Any],
    openapi: Sequence[Mapping[str, Any]] = (),
    unready: Callable[[], str] = lambda: "",
    redactor: Redactor | None = None,
    fallback: Sequence[BaseRoute] = (),
) -> Application:
    """The application that serves a component.

    `kind`: `resource_server`, `model` or `agent`. `describe`: what `GET /v1/component` answers beside the versions.
    `openapi`: the fragments that describe `routes`, see `openapi.document`. `unready`: why the server can take no more
    just now, empty when it can. `redactor`: knows what no answer may show.
    `fallback`: routes that come after all others, the application's own among them.
    """
    redactor = redactor if redactor is not None else Redactor()
    about = redactor.settings({"protocol": PROTOCOL, "kind": kind, **describe})
    documents = {
        "/openapi.json": encode_json(document(about, openapi, secured=bool(settings.token))),
        "/v1/component": encode_json(about),
    }
    redactor.add(settings.token)

    async def alive(request: Request) -> Response:
        return json_reply({"status": "ok"})

    async def ready(request: Request) -> Response:
        reason = "draining" if app.draining else unready()
        if reason:
            return json_reply({"status": "unready", "reason": reason}, 503, {"Retry-After": _RETRY_SECONDS})
        return json_reply({"status": "ready"})

    async def described(request: Request) -> Response:
        return Response(documents[request.url.path], media_type="application/json")

    own = [
        Route("/", alive, name="root"),
        Route("/health", alive, name="health"),
        Route("/ready", ready, name="ready"),
        *(Route(path, described, name=path.rpartition("/")[2]) for path in documents),
    ]
    app = Application(
        [*routes, *own, *fallback], settings=settings, redactor=redactor, for_models=kind != "resource_server"
    )
    return app


class Application:
    """An ASGI application over routes. `drain` ends it gracefully; `draining` says that it has begun.

    `redactor`: knows what no answer may show. `for_models`: whether errors are also said as clients of OpenAI's API
    read them.
    """

    def __init__(
        self, routes: Sequence[BaseRoute], *, settings: ServeSettings, redactor: Redactor, for_models: bool
    ) -> None:
        self.settings = settings
        self.draining = False
        self.in_flight = 0
        self._idle = asyncio.Event()
        self._redactor = redactor
        self._for_models = for_models
        # A path without parameters is found at once; of the others the first one that fits.
        self._exact: dict[str, list[BaseRoute]] = {}
        for route in routes:
            if isinstance(route, Route) and not route.param_convertors:
                self._exact.setdefault(route.path, []).append(route)
        self._fitting = [route for route in routes if not (isinstance(route, Route) and not route.param_convertors)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI has it."""
        if scope["type"] != "http":
            await _not_http(scope, receive, send)
            return
        counted = scope["path"] not in PUBLIC
        self.in_flight += counted
        answer = _Answer(send, self._redactor)
        try:
            await self._dispatch(scope, _Limited(receive, self.settings.max_body), answer)
        except (ClientDisconnect, ConnectionResetError):
            pass  # nobody is there to be answered
        except GeneratorExit:
            raise
        except BaseException as error:
            if not asked_to_end(error):
                await self._fail(as_exception(error), scope, receive, answer)
            elif isinstance(error, asyncio.CancelledError):
                await self._fail(_cut_off(), scope, receive, answer)
            else:
                raise
        finally:
            self.in_flight -= counted
            if self.draining and not self.in_flight:
                self._idle.set()

    async def _dispatch(self, scope: Scope, receive: _Limited, send: Send) -> None:
        headers = scope["headers"]
        route, allowed = self._find(scope)
        if route is None and (captured := _CAPTURED.match(scope["path"])):
            scope["path"] = scope["path"][captured.end() :]
            route, allowed = self._find(scope)
        path = scope["path"]
        public = path in PUBLIC
        if not public and not getattr(route, "own_token", False):
            if self.settings.token:
                check_token(headers, self.settings.token)
            else:
                check_direct(headers)
                if self.settings.local and scope.get("client") is not None:  # a browser cannot reach a socket file
                    check_local(headers)
        if route is None:
            if allowed:
                raise ServeError(405, f"{path} takes {allowed} only", headers={"Allow": allowed})
            raise ServeError(404, f"there is nothing at {path:.200}", hint="GET /openapi.json lists what there is")
        if self.draining and not public and not getattr(route, "continues", False):
            raise ServeError(503, "the server is going down and takes no more", headers={"Retry-After": _RETRY_SECONDS})
        receive.check_head(headers)
        await route.handle(scope, receive, send)

    def _find(self, scope: Scope) -> tuple[BaseRoute | None, str]:
        """The route of a request; else the methods that its path takes, if there is such a path."""
        allowed: set[str] = set()
        for candidates in (self._exact.get(scope["path"], ()), self._fitting):
            for route in candidates:
                match, child = route.matches(scope)
                if match is Match.FULL:
                    scope.update(child)
                    return route, ""
                if match is Match.PARTIAL:
                    allowed |= getattr(route, "methods", None) or set()
            if allowed:  # a path of its own is not also a parameter of another
                break
        return None, ", ".join(sorted(allowed))

    async def _fail(self, error: BaseException, scope: Scope, receive: Receive, answer: _Answer) -> None:
        route = scope.get("endpoint")
        place = getattr(route, "__qualname__", type(route).__name__) if route is not None else "no route"
        if answer.started:  # too late for a status: an answer that is cut short is all that is left to say
            logger.warning("%s: broken off by %s", place, _innermost(error))
            raise error
        status, body = error_to_wire(error, scope.get(PHASE, ""))
        if status >= 500 and not isinstance(error, ServeError):
            # Without the message, which may hold what a request said.
            logger.warning("%s answered %d: %s", place, status, _innermost(error))
        headers = dict(error.headers) if isinstance(error, ServeError) else {}
        if isinstance(error, ModelError) and error.retry_after is not None:
            headers["Retry-After"] = f"{error.retry_after:g}"
        if self._for_models:
            headers |= add_openai_words(status, body)
        await json_reply(body, status, headers)(scope, receive, answer)

    async def drain(self) -> bool:
        """Take nothing new, and wait for the requests under way; whether they all ended in time."""
        self.draining = True
        if not self.in_flight:
            return True
        try:
            async with asyncio.timeout(self.settings.drain):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True


class _Answer:
    """The way an answer takes; `started`: its status is on the way. What is secret is masked on it.

    Whoever asks may write down what it is told, and knows nothing of the secrets here. A stream passes as it is.
    """

    __slots__ = ("_redactor", "_send", "_start", "started")

    def __init__(self, send: Send, redactor: Redactor) -> None:
        self._send = send
        self._redactor = redactor
        self._start: Message | None = None
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and self._redactor:
            self._start = message  # until it is known how long the body is
            return
        self.started = True
        if self._start is not None:
            start, self._start = self._start, None
            body = message.get("body", b"")
            if not message.get("more_body", False):
                masked = self._redactor.redact_bytes(body)
                if masked is not body:
                    start, message = _resized(start, len(masked)), {**message, "body": masked}
            await self._send(start)
        await self._send(message)


def _resized(start: Message, length: int) -> Message:
    others = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
    return {**start, "headers": [*others, (b"content-length", b"%d" % length)]}


class _Limited:
    """The way a request's body takes, up to so many bytes."""

    __slots__ = ("_left", "_limit", "_receive")

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = self._left = limit

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise self._too_large()
        return message

    def check_head(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Refuse a body that says itself that it is too long, or compressed, before any of it is read."""
        for name, value in headers:
            if name == b"content-length":
                if len(value) > _LONGEST_LENGTH or int(value) > self._limit:
                    raise self._too_large()
            elif name == b"content-encoding" and value.lower() not in (b"", b"identity"):
                raise ServeError(
                    415,
                    f"the body is compressed ({value.decode('latin-1'):.80})",
                    hint="send it as it is",
                    headers={"Accept-Encoding": "identity"},
                )

    def _too_large(self) -> ServeError:
        return ServeError(413, f"the body is longer than {self._limit} bytes", hint="gym serve --max-body BYTES")


async def _not_http(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1003})


def _cut_off() -> ServeError:
    """The answer to a call that was cancelled: only the end of the server does that."""
    return ServeError(503, "the server went down before this had ended", headers={"Retry-After": _RETRY_SECONDS})


def _innermost(error: BaseException) -> str:
    """An error's class, and where it was raised."""
    error = unwrapped(error)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}{where}"
