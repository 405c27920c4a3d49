"""What all rollouts of a run share, the gateway of their process among it, which is opened when one needs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from gym_core.contract.agent import Agent, Episode
from gym_core.contract.gateway import Endpoint, Gateway, no_gateway
from gym_core.contract.hookspecs import CallInfo
from gym_core.contract.model import Model
from gym_core.contract.resource_server import ResourceServer
from gym_core.contract.runner import Runner
from gym_core.contract.sandbox import SandboxProvider
from gym_core.domain.abandoned import background
from gym_core.engine.bounds.alarms import Watch
from gym_core.engine.bounds.deadlines import Deadlines
from gym_core.engine.functions.executor import Executor
from gym_core.engine.model_calls.budget import Budget, Meter
from gym_core.engine.model_calls.gate import Clock, ModelGate
from gym_core.engine.rollout.row import SharedRequests
from gym_core.wiring.kinds import Kind
from gym_core.wiring.making import CLOSING_SECONDS, enter


class LazyGateway:
    """Stands for the gateway until it is needed. `make`: finds and makes it. `closing`: seconds that it has for it.

    Whatever is raised on the way to it is raised by whoever asks for an endpoint: `UsageError`, `PluginError`.
    """

    def __init__(self, make: Callable[[], Gateway] = no_gateway, closing: float = CLOSING_SECONDS) -> None:
        self._make = make
        self._closing = closing
        self._made: Gateway | None = None
        self._opening: asyncio.Future[Gateway] | None = None
        self._stack = AsyncExitStack()

    def make(self) -> Gateway:
        """Make it, which opens nothing yet."""
        if self._made is None:
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


@dataclass(frozen=True, slots=True)
class Stage:
    """What all rollouts of a run share.

    `gates`: the models by role. `sandboxes`: what makes those of sessions, if anything does. `agent`: who works in
    them, None where stored ones are verified again. `about`: what stands in each row of model, env and agent.
    `model_seeds`: whether calls carry a seed. `tool_called`: who listens to tool calls, if anybody does. `gateway`:
    where programs reach them. `requests`: what of their requests is the same. `budget`: what all of them may take, and
    `meters` how that is measured for other models than the budget's own; `max_rollout_tokens`: what each may take.
    """

    server: ResourceServer
    gates: Mapping[str, ModelGate]
    executor: Executor
    watch: Watch
    clock: Clock
    deadlines: Deadlines
    agent: Agent | Runner | None = None
    run_id: str = ""
    seed: int = 0
    model_seeds: bool = False
    about: Mapping[str, Any] = field(default_factory=dict)
    tool_called: Callable[[CallInfo], None] | None = None
    gateway: LazyGateway = field(default_factory=LazyGateway)
    budget: Budget | None = None
    meters: Mapping[str, Meter] | None = None
    max_rollout_tokens: int | None = None
    sandboxes: SandboxProvider | None = None
    requests: SharedRequests = field(default_factory=lambda: SharedRequests({}))
