"""A served component as its callers see it: requests that are watched, errors rebuilt, openings that are retried."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Self

from gym_core import Endpoint, GymError, RunnerContext, SessionContext
from gym_http.protocol.client import INTERRUPTED, TIMEOUT, UNREACHABLE, Client, Reply
from gym_http.protocol.errors import RemoteError
from gym_http.remote.liveness import Pulse
from gym_http.remote.options import RemoteOptions
from gym_http1 import MAX_REPLY_MB

_TOO_MUCH = frozenset({"too_many_rollouts", "too_many_episodes", "draining"})

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
AGAIN = frozenset({429, 503})
"""What a server answers that is full or going down."""
_GONE = frozenset({404, 410})


def _has_not_begun(reply: Reply) -> bool:
    """Whether a server says that it has not begun, because it is full or going down."""
    return reply.status in AGAIN and reply.described.get("code") in _TOO_MUCH


def passed_on(reply: Reply, endpoints: Iterable[Endpoint]) -> BaseException | None:
    """The error of this run that an answer tells again, if it does. `endpoints`: where whoever answered could ask."""
    known = (endpoint.recall({"error": reply.described}) for endpoint in endpoints)
    return next((error for error in known if error is not None), None)


@asynccontextmanager
async def lent(roles: Iterable[str], context: SessionContext | RunnerContext) -> AsyncIterator[dict[str, Endpoint]]:
    """The models of a rollout by role, as URLs that are good within a block."""
    async with AsyncExitStack() as stack:
        yield {role: await stack.enter_async_context(context.endpoint(role)) for role in roles}


def places(offered: Mapping[str, Endpoint]) -> dict[str, Any]:
    """How a server is told where it asks models."""
    return {role: {"base_url": one.base_url, "token": one.token} for role, one in offered.items()}


class Connection:
    """The requests to one served component. An async context manager, entered on the loop that uses it.

    `name`: what messages call it. `token`: the server's own. `wait`: seconds to go on trying to open something when
    nobody answers or the server is full. `stall`: seconds after which a server that answers nothing at all has stalled.
    `max_reply_mb`: megabytes that are read of an answer. `ready`: awaited before each request, where it is set; what it
    raises the request does, too.
    """

    def __init__(
        self,
        url: str,
        name: str,
        *,
        token: str | None = None,
        wait: float = 60.0,
        stall: float = 30.0,
        max_reply_mb: float = MAX_REPLY_MB,
    ) -> None:
        self.client = Client(url, token=token, max_reply_mb=max_reply_mb)
        self.name = name
        self.wait = wait
        self.ready: Callable[[], Awaitable[None]] | None = None
        self._pulse = Pulse(self.client, stall)

    @classmethod
    def of(cls, options: RemoteOptions, what: str, *, wait: float = 60.0) -> Self:
        """The connection that a component's options speak of. `what`: `the environment` and its like."""
        return cls(
            options.url,
            f"{what} at {options.url}",
            token=options.token.get_secret_value() if options.token is not None else None,
            wait=wait,
            stall=options.stall,
            max_reply_mb=options.max_reply_mb,
        )

    async def __aenter__(self) -> Self:
        await self.client.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._pulse.stop()
        await self.client.__aexit__(*error)

    @property
    def url(self) -> str:
        """Where it is."""
        return self.client.url

    async def request(self, method: str, path: str, body: Any = None, **options: Any) -> Reply:
        """One request, whatever the answer. Raises `RemoteError` when there is none, or when the server has stalled."""
        if self.ready is not None:
            await self.ready()
        beats = self._pulse
        bound = asyncio.timeout(None)
        try:
            async with bound:
                beats.watch(bound)
                try:
                    return await self.client.request(method, path, body, **options)
                finally:
                    beats.forget(bound)
        except TimeoutError:
            raise RemoteError(
                f"{self.name} has stalled: it has not answered anything for {beats.seconds:g} s",
                hint="look at the server's log; the option `stall` changes the limit",
                code=TIMEOUT,
            ) from None

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Reply:
        """One request that has to succeed; never repeated. Raises what the error in the answer stands for."""
        return self.checked(await self.request(method, path, body, **options))

    async def open(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        wait: float | None = None,
        check: bool = True,
        full: Callable[[Reply], bool] = lambda reply: reply.status in AGAIN,
        harmless: Callable[[], bool] = lambda: True,
        **options: Any,
    ) -> Reply:
        """A request that opens something, and may be repeated while nobody answers or the server is full.

        `wait`: seconds to go on trying, the connection's own by default. `check`: raise what an error stands for.
        `full`: whether an answer says that nothing was done, because there is no room. `harmless`: whether it may be
        repeated although it may have arrived, when its connection broke before the answer.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + (self.wait if wait is None else wait)
        pause = FIRST_PAUSE
        while True:
            asked = 0.0
            try:
                reply = await self.request(method, path, body, **options)
                if not full(reply):
                    return self.checked(reply) if check else reply
                asked = reply.retry_after or 0.0
                error = self.error(reply)
            except RemoteError as failed:
                if failed.code != UNREACHABLE and not (failed.code == INTERRUPTED and harmless()):
                    raise
                error = failed
            # all who wait would else come back in the same moment
            seconds = max(asked, pause * random.uniform(0.5, 1.0))
            if loop.time() + seconds > until:
                raise error
            await asyncio.sleep(seconds)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def hand_over(self, path: str, body: Any, endpoints: Collection[Endpoint] = ()) -> Reply:
        """Ask for work that has side effects: again only while it is certain that nothing has been done.

        `endpoints`: what the work needs of this run, so that none has begun where nothing was asked of them.
        """
        return await self.open(
            "POST",
            path,
            body,
            check=False,
            full=_has_not_begun,
            harmless=lambda: bool(endpoints) and not any(endpoint.used for endpoint in endpoints),
        )

    def checked(self, reply: Reply) -> Reply:
        """The reply itself when it is 2xx. Raises what it stands for."""
        if reply.ok:
            return reply
        raise self.error(reply)

    def error(self, reply: Reply) -> GymError:
        """What a reply that is not 2xx stands for."""
        error = reply.failure(self.name)
        if isinstance(error, RemoteError) and (not error.hint or reply.status in _GONE):
            error.hint = _HINTS.get(reply.status, "")  # what to do about it is ours to say: theirs is for other clients
        return error


_TOKEN = "give the server's token: GYM_REMOTE_TOKEN"
_LOST = "has the server been restarted, or the session been idle for too long?"
_HINTS: Mapping[int, str] = {
    401: _TOKEN,
    403: _TOKEN,
    404: _LOST,
    410: _LOST,
    407: "the proxy asks for a login: user name and password go into the URL of HTTP_PROXY",
    413: "start the server with a larger --max-body",
    429: "start the server with more --max-sessions, or lower --concurrency",
}
