"""The gateway as a component of a run: where it listens, and who can reach it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TYPE_CHECKING, Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import Field

from gym_core import Endpoint, Episode, Gateway, Model, Operational, Options, UsageError
from gym_http.protocol.urls import is_loopback

if TYPE_CHECKING:
    from gym_http.gateway.server import GatewayServer

_ANYWHERE = frozenset({"0.0.0.0", "::", ""})


class HttpGatewayOptions(Options):
    """Where the gateway is."""

    host: Annotated[str, Operational()] = Field(
        default="127.0.0.1", description="The address of this machine at which it listens; others must reach it."
    )
    port: Annotated[int, Operational()] = Field(
        default=0, ge=0, le=65535, description="The port of that address, 0 for a free one."
    )
    url: Annotated[str, Operational()] = Field(
        default="",
        description="How programs reach it, where that is another URL: through a proxy, a tunnel, a container's port.",
    )


class HttpGateway(Gateway[HttpGatewayOptions]):
    """Models and tools of rollouts as URLs of this process: OpenAI's dialects, MCP, and plain JSON.

    It listens on loopback, where programs of this machine reach it. For those elsewhere: `-G host=ADDRESS`, or `-G
    url=` and `-G port=` where they come through something else.
    """

    def __init__(self, options: Any = None, context: Any = None) -> None:
        super().__init__(options, context)
        if self.options.host in _ANYWHERE and not self.options.url:
            raise UsageError(
                f"at {self.options.host!r} the gateway has no URL that programs could be given",
                hint="-G host=ADDRESS, or -G url=http://THIS-MACHINE:PORT with -G port=PORT",
            )
        self._server: GatewayServer | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        from gym_http.gateway.server import GatewayServer

        options = self.options
        server = GatewayServer(host=options.host, port=options.port, url=options.url, redact=self.context.redact)
        try:
            self._server = await self._stack.enter_async_context(server)
        except UsageError as error:
            raise UsageError(
                f"the gateway: {error.message}",
                hint="-G port=0 takes a free port, -G host= another address",
            ) from error
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    def offer(self, episode: Episode, actor: str) -> AbstractAsyncContextManager[Endpoint]:
        """An episode under a URL of its own."""
        return self._opened.offer(episode, actor)

    def offer_model(self, model: Model) -> AbstractAsyncContextManager[Endpoint]:
        """A model under a URL of its own."""
        return self._opened.offer_model(model)

    def check_workers(self, count: int) -> None:
        """One port is one gateway's."""
        if self.options.port:
            raise UsageError(
                f"-G port={self.options.port} is one port, and each of the {count} workers has a gateway of its own",
                hint="leave it out, so that each takes a free one; or --workers 1",
            )

    def check_reachable(self, host: str) -> None:
        """Another machine does not reach loopback."""
        here = urlsplit(self.options.url).hostname if self.options.url else self.options.host
        if is_loopback(here or "") and not is_loopback(host):
            raise UsageError(
                f"programs on {host} could not reach the gateway on {here}",
                hint="-G host= takes an address of this machine that the other one reaches",
            )

    @property
    def _opened(self) -> GatewayServer:
        assert self._server is not None, "the gateway is not open"
        return self._server
