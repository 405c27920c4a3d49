"""In an isolated environment: a component's options checked, and the component served."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import ValidationError

from gym_core import ComponentContext
from gym_core.spi import (
    Deadlines,
    Kind,
    Loaded,
    PluginManager,
    Redactor,
    construct,
    enter,
    is_secret_field,
    secret_values,
)

if TYPE_CHECKING:
    from gym_core import Agent, ModelBackend, ResourceServer
    from gym_http.serve.application import Application
    from gym_http.serve.settings import ServeSettings

Watching: TypeAlias = "Callable[[Callable[[], None]], None]"

_UNLIMITED = 1 << 31
_DRAIN_SECONDS = 5.0
_LONG = float(_UNLIMITED)
# The run bounds everything, by its own deadlines; what it gives up it closes here.
_DEADLINES = Deadlines(rollout=_LONG, setup=_LONG, model_call=_LONG, tool=_LONG, verify=_LONG, waiting=_LONG)


def validate(request: Mapping[str, Any]) -> dict[str, Any]:
    """`problems` with the options that are given, else `options` as JSON without secrets, and `secrets`.

    The component is made, too: it may refuse what its options allow. Raises as that does.
    """
    loaded = _loaded(request)
    try:
        options = loaded.component.Options.model_validate(request["options"])
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        return {"problems": [{"type": one["type"], "loc": list(one["loc"]), "message": one["msg"]} for one in problems]}
    component = construct(loaded, options, ComponentContext(name=loaded.plugin.name))
    secret = {name for name, info in type(options).model_fields.items() if is_secret_field(info)}
    return {"options": options.model_dump(mode="json", exclude=secret), "secrets": list(component.secrets)}


def _loaded(request: Mapping[str, Any]) -> Loaded:
    # it was not switched off where it was asked for
    manager = PluginManager(environ={**os.environ, "GYM_DISABLE_PLUGINS": ""})
    return manager.load(Kind(request["kind"]), request["reference"])


async def serve(request: Mapping[str, Any], answer: Callable[[Mapping[str, Any]], None], watch: Watching) -> None:
    """Serve a component until the parent lets go.

    `answer` is called with the URL once it can be asked, `watch` with what to call when the parent is gone. Raises what
    keeps the component from opening.
    """
    from gym_http.serve.listener import Listener
    from gym_http.serve.settings import ServeSettings

    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def end() -> None:
        loop.call_soon_threadsafe(ended.set)

    watch(end)
    loaded = _loaded(request)
    options = loaded.component.Options.model_validate(request["options"])
    component = construct(loaded, options, ComponentContext(**request["context"]))
    settings = ServeSettings(
        token=request["token"],
        max_sessions=_UNLIMITED,
        session_life=_UNLIMITED,
        session_idle=_UNLIMITED,
        max_body=_UNLIMITED,
        drain=_DRAIN_SECONDS,
        deadlines=_DEADLINES,
    )
    redactor = Redactor((*secret_values(options), *component.secrets))
    about = {
        "name": loaded.plugin.name,
        "distribution": loaded.plugin.distribution,
        "version": loaded.plugin.version,
    }
    async with AsyncExitStack() as stack:
        await enter(stack, component, loaded.plugin.kind, loaded.plugin.distribution)
        redactor.add(*component.secrets)
        app = await _APPLICATIONS[loaded.plugin.kind](component, settings, stack, about, redactor)
        listener = Listener(app, uds=request.get("uds"), host=request.get("host") or "127.0.0.1", grace=_DRAIN_SECONDS)
        await stack.enter_async_context(listener)
        answer({"url": listener.url, "secrets": list(component.secrets)})
        await ended.wait()
    if request.get("uds"):
        with contextlib.suppress(OSError):  # the parent removes it, unless it was killed
            os.rmdir(os.path.dirname(request["uds"]))


async def _environment(
    server: ResourceServer, settings: ServeSettings, stack: AsyncExitStack, about: Mapping[str, Any], redactor: Redactor
) -> Application:
    from gym_http.serve.environment.opening import open_environment

    return await open_environment(server, settings, stack, describe=about, redactor=redactor)


async def _model(
    backend: ModelBackend, settings: ServeSettings, stack: AsyncExitStack, about: Mapping[str, Any], redactor: Redactor
) -> Application:
    from gym_http.serve.application import build
    from gym_http.serve.model.routes import ServedModel, routes

    capabilities = {
        "model_id": backend.model_id,
        "max_inflight": backend.max_inflight,
        "sends_seed": backend.sends_seed,
        "streaming": False,
    }
    return build(
        "model",
        routes(ServedModel(backend, deadlines=settings.deadlines), redactor=redactor),
        settings=settings,
        describe={**about, "capabilities": capabilities},
        redactor=redactor,
    )


async def _agent(
    agent: Agent, settings: ServeSettings, stack: AsyncExitStack, about: Mapping[str, Any], redactor: Redactor
) -> Application:
    from gym_http.serve.agent.episodes import Episodes
    from gym_http.serve.application import build

    episodes = await stack.enter_async_context(Episodes(agent, callbacks=settings.callbacks))
    return build("agent", episodes.routes, settings=settings, describe={**about, "capabilities": {}}, redactor=redactor)


_APPLICATIONS: Mapping[Kind, Callable[..., Awaitable[Application]]] = {
    Kind.RESOURCE_SERVER: _environment,
    Kind.MODEL: _model,
    Kind.AGENT: _agent,
}
