"""The gateway of a process, which is opened when the first rollout needs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from gym_core.contract.agent import Episode
from gym_core.contract.gateway import NO_GATEWAY, Endpoint, Gateway
from gym_core.contract.model import Model
from gym_core.domain.abandoned import background
from gym_core.domain.errors import UsageError
from gym_core.wiring.kinds import Kind
from gym_core.wiring.making import CLOSING_SECONDS, enter


class LazyGateway:
    """Stands for the gateway until it is needed. `make`: finds and makes it. `closing`: seconds that it has for it.

    Whatever is raised on the way to it is raised by whoever asks for an endpoint: `UsageError`, `PluginError`.
    """

    def __init__(self, make: Callable[[], Gateway] | None = None, closing: float = CLOSING_SECONDS) -> None:
        self._make = make
        self._closing = closing
        self._made: Gateway | None = None
        self._opening: asyncio.Future[Gateway] | None = None
        self._stack = AsyncExitStack()

    def make(self) -> Gateway:
        """Make it, which opens nothing yet."""
        if self._made is None:
            if self._make is None:
                raise UsageError(NO_GATEWAY)
            self._made = self._make()
        return self._made

    async def opened(self) -> Gateway:
        """The gateway, open."""
        if self._opening is None:
            # in a task of its own: the rollout that asks first may end before the others
            self._opening = background(self._open())
        return await asyncio.shield(self._opening)

    async def _open(self) -> Gateway:
        opened: Gateway = await enter(self._stack, self.make(), Kind.GATEWAY, closing=self._closing)
        return opened

    async def close(self) -> None:
        """Close it, if it was opened. Harmless when called again."""
        opening, self._opening = self._opening, None
        if opening is not None and not opening.done():
            opening.cancel()
            await asyncio.wait([opening])
        await self._stack.aclose()

    @asynccontextmanager
    async def offer(self, episode: Episode, actor: str) -> AsyncIterator[Endpoint]:
        """Offer an episode within a block."""
        async with (await self.opened()).offer(episode, actor) as endpoint:
            yield endpoint

    @asynccontextmanager
    async def offer_model(self, model: Model) -> AsyncIterator[Endpoint]:
        """Offer one model within a block."""
        async with (await self.opened()).offer_model(model) as endpoint:
            yield endpoint
