"""Environments behind a real port, in the event loop of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

from gym_core import ModelBackend, ResourceServer, Runner
from gym_core.spi import Assembler, Redactor, run_config
from gym_http.serve.environment.opening import open_environment
from gym_http.serve.kept_runners import OpenRunner
from gym_http.serve.listener import Listener
from gym_http.serve.parts import describe
from gym_http.serve.settings import ServeSettings

T = TypeVar("T")


@asynccontextmanager
async def served(
    server: ResourceServer | str,
    *,
    options: Mapping[str, Any] | None = None,
    models: Mapping[str, ModelBackend] | None = None,
    uds: str | None = None,
    port: int = 0,
    runner: Runner | None = None,
    open_runner: OpenRunner | None = None,
    **settings: Any,
) -> AsyncIterator[str]:
    """Serve an environment as `gym serve --env` does; gives its URL. `settings`: of `ServeSettings`."""
    redactor = Redactor()
    async with AsyncExitStack() as stack:
        parts = Assembler(redactor, concurrency=16)
        config = run_config(models=models, env=server, env_options=options or {})
        opened = await parts.open_all(parts.make_all(config, agent=False, complete=False), stack)
        app = await open_environment(
            opened.server,
            ServeSettings(**settings),
            stack,
            describe=describe(opened.server, parts, "env"),
            models=opened.models,
            redactor=redactor,
            lend=parts.gateway.offer_model,
            runner=runner,
            open_runner=open_runner,
        )
        listener = await stack.enter_async_context(Listener(app, uds=uds, port=port))
        yield listener.url


def in_loop(main: Callable[[], Awaitable[T]], seconds: float = 60) -> T:
    """Run a test's coroutine, within a bound that only a hanging one meets."""

    async def bounded() -> T:
        return await asyncio.wait_for(main(), seconds)

    return asyncio.run(bounded())
