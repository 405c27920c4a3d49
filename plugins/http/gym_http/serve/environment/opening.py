"""A whole served environment: its sessions, its routes and the application around them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

from gym_core import ModelBackend, ResourceServer, Runner, SandboxProvider
from gym_core.spi import Clock, Executor, FirstLook, Redactor, Watch, make_gates, no_gateway
from gym_http.protocol.whole_tasks import COMPLETES
from gym_http.serve import whole_tasks
from gym_http.serve.application import Application, build
from gym_http.serve.environment import nemo_openapi, nemo_routes, openapi, routes
from gym_http.serve.environment.bounds import AnyTask
from gym_http.serve.environment.opener_models import OpenerModels
from gym_http.serve.environment.session import Host, Lend
from gym_http.serve.environment.sessions import Sessions
from gym_http.serve.kept_runners import KeptRunners, OpenRunner
from gym_http.serve.settings import ServeSettings
from gym_http.serve.whole_tasks import WholeTasks


async def open_environment(
    server: ResourceServer,
    settings: ServeSettings,
    stack: AsyncExitStack,
    *,
    describe: Mapping[str, Any],
    models: Mapping[str, ModelBackend] | None = None,
    look: FirstLook | None = None,
    sandboxes: SandboxProvider | None = None,
    redactor: Redactor | None = None,
    time: Callable[[], float] | None = None,
    more: Callable[[Sessions], list[Any]] | None = None,
    lend: Lend = no_gateway,
    runner: Runner | None = None,
    open_runner: OpenRunner | None = None,
) -> Application:
    """An open environment as an application; `stack` closes its sessions.

    `describe`: what it says of itself, see `parts.describe`. `models`: open ones by role, for sessions whose openers
    give none; `look`: what was found at a first look at them. `sandboxes`: what makes those of sessions. `time`: the
    clock by which sessions expire. `more`: further routes over the same sessions. `lend`: offers a model to programs.
    `runner`: what the environment's tasks are given to whole, where its home owns the loop; `open_runner`: that with
    the options of a task.
    """
    clock = Clock(asyncio.get_running_loop().time)
    gates = make_gates(models or {}, settings.deadlines, clock=clock, look=look)
    executor = Executor()
    stack.callback(executor.close)
    host = Host(server, gates, executor, Watch(), AnyTask(), settings.deadlines, lend, sandboxes)
    opener_models = await stack.enter_async_context(OpenerModels(settings.deadlines, settings.callbacks))
    others = None if open_runner is None else await stack.enter_async_context(KeptRunners(open_runner))
    runs = [] if runner is None else WholeTasks(runner, server, opener_models, others).routes
    sessions = await stack.enter_async_context(Sessions(host, settings, time=time))
    served = [
        *routes.routes(server, sessions, opener_models),
        *runs,
        *(more(sessions) if more is not None else ()),
    ]
    names = routes.tool_names(server)
    capabilities = {**routes.describe_capabilities(server, gates), COMPLETES: bool(runs)}
    return build(
        "resource_server",
        served,
        fallback=nemo_routes.routes(server, sessions),
        settings=settings,
        describe={**describe, "capabilities": capabilities},
        openapi=[
            openapi.openapi(names),
            *([whole_tasks.OPENAPI] if runs else []),
            nemo_openapi.openapi(judges_rows=nemo_routes.judges_rows(server)),
        ],
        unready=lambda: "full" if sessions.full else "",
        redactor=redactor,
    )
