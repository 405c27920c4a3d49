"""A component behind a real port, in the process of the test: what `gym serve` makes of it, and the way back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

from gym_core import Agent, Component, ComponentContext, ModelBackend, ResourceServer, SandboxProvider
from gym_core.spi import Kind
from gym_testing.clock import FakeClock
from gym_testing.rehearsal import make

if TYPE_CHECKING:
    from gym_http.remote.agent import RemoteAgent
    from gym_http.remote.environment import RemoteResourceServer
    from gym_http.remote.model import RemoteModel
    from gym_http.serve.application import Application


class Served:
    """A component served on a port of loopback, a free one by default, as `gym serve` does.

        async with Served(MyEnv, options={"size": 20}) as server:
            async with server.remote() as env: ...   # what `--env http://...` makes of server.url

    `component`: an instance, a class, or a reference, which is one of an environment unless `kind` says `model` or
    `agent`. `options` are for a class or a reference. `models`: backends by role, for an environment whose sessions ask
    some. `sandbox`: what makes their sandboxes. `time`: the clock by which sessions expire. Further settings are those
    of the server: `token`, `max_sessions`, `session_life`, `session_idle`, `max_body`, `deadlines`. With `async with`
    it lives in the running event loop; with `with` it has a thread and a loop of its own. A retry of a served model
    takes no time.

    Entering raises `UsageError` where the packages that serving needs are missing, and what opening the component
    raises.
    """

    def __init__(
        self,
        component: Any,
        *,
        kind: str = Kind.RESOURCE_SERVER,
        options: Mapping[str, Any] | None = None,
        models: Mapping[str, ModelBackend] | None = None,
        sandbox: str | SandboxProvider | None = None,
        time: Callable[[], float] | None = None,
        port: int = 0,
        **settings: Any,
    ) -> None:
        self.component: Component = make(Kind.parse(kind), component, options)
        self.app: Application
        """The application, once it is served."""
        self.url = ""
        """Where it is: `http://127.0.0.1:PORT`."""
        self._models = models or {}
        self._sandbox = sandbox
        self._time = time
        self._port = port
        self._settings = settings
        self._stack = AsyncExitStack()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None

    def remote(self, **options: Any) -> Any:
        """The component that uses the server, not yet opened: a `RemoteResourceServer`, `RemoteModel` or `RemoteAgent`.

        `options`: its own, besides `url` and `token`.
        """
        given = {"url": self.url, **({"token": self._settings["token"]} if self._settings.get("token") else {})}
        cls = self._remote_class()
        return cls(cls.Options(**given, **options), ComponentContext(name="remote"))

    def _remote_class(self) -> type[RemoteResourceServer] | type[RemoteModel] | type[RemoteAgent]:
        if isinstance(self.component, ModelBackend):
            from gym_http.remote.model import RemoteModel

            return RemoteModel
        if isinstance(self.component, Agent):
            from gym_http.remote.agent import RemoteAgent

            return RemoteAgent
        from gym_http.remote.environment import RemoteResourceServer

        return RemoteResourceServer

    # Life

    async def __aenter__(self) -> Self:
        from gym_http.serve.listener import Listener

        async with AsyncExitStack() as stack:
            self.app = await stack.enter_async_context(_application(self))
            listener = await stack.enter_async_context(
                Listener(self.app, port=self._port, grace=1.0, limits=self.app.settings.connections)
            )
            self.url = listener.url
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    def __enter__(self) -> Self:
        up: Future[None] = Future()
        # A daemon: a component that does not close must not keep the test run from ending.
        self._thread = threading.Thread(target=asyncio.run, args=(self._live(up),), name="served", daemon=True)
        self._thread.start()
        up.result()
        return self

    def __exit__(self, *error: object) -> None:
        assert self._thread is not None
        assert self._loop is not None
        assert self._end is not None
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    async def _live(self, up: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        try:
            await self.__aenter__()
        except BaseException as error:
            up.set_exception(error)
            return
        up.set_result(None)
        await self._end.wait()
        await self.__aexit__(None, None, None)


@asynccontextmanager
async def _application(served: Served) -> AsyncIterator[Application]:
    """The component's application; the component is open while it is."""
    from gym_core.spi import Assembler, Redactor
    from gym_http.serve.settings import ServeSettings

    given = served._settings
    settings = ServeSettings(**{"local": not given.get("token"), **given})
    redactor = Redactor()
    parts = Assembler(redactor, concurrency=served.component.context.concurrency)
    async with AsyncExitStack() as stack:
        if isinstance(served.component, ModelBackend):
            yield await _model(served.component, settings, stack, parts, redactor)
        elif isinstance(served.component, Agent):
            yield await _agent(served.component, settings, stack, parts, redactor)
        else:
            assert isinstance(served.component, ResourceServer)
            yield await _environment(served, served.component, settings, stack, parts, redactor)


async def _environment(
    served: Served, component: ResourceServer, settings: Any, stack: AsyncExitStack, parts: Any, redactor: Any
) -> Application:
    from gym_core.spi import run_config
    from gym_http.serve.environment.opening import open_environment
    from gym_http.serve.parts import describe

    config = run_config(models=served._models, env=component, sandbox=served._sandbox)
    opened = await parts.open_all(parts.make_all(config, agent=False, complete=False), stack)
    return await open_environment(
        opened.server,
        settings,
        stack,
        describe=describe(opened.server, parts, "env"),
        models=opened.models,
        sandboxes=opened.sandboxes,
        redactor=redactor,
        time=served._time,
        lend=parts.gateway.offer_model,
    )


async def _model(
    component: ModelBackend, settings: Any, stack: AsyncExitStack, parts: Any, redactor: Any
) -> Application:
    from gym_core.spi import Kind
    from gym_http.serve.application import build
    from gym_http.serve.model import openapi as model_openapi
    from gym_http.serve.model import routes as model
    from gym_http.serve.parts import describe

    backend = await parts.open(stack, Kind.MODEL, component, {})
    served = model.ServedModel(backend, deadlines=settings.deadlines, clock=FakeClock().clock)
    return build(
        "model",
        model.routes(served),
        settings=settings,
        describe={**describe(backend, parts, "policy"), "capabilities": served.capabilities()},
        openapi=[model_openapi.openapi()],
        redactor=redactor,
    )


async def _agent(component: Agent, settings: Any, stack: AsyncExitStack, parts: Any, redactor: Any) -> Application:
    from gym_http.serve.agent.episodes import OPENAPI, Episodes
    from gym_http.serve.application import build
    from gym_http.serve.parts import describe

    agent = await stack.enter_async_context(component)
    episodes = await stack.enter_async_context(Episodes(agent, callbacks=settings.callbacks))
    return build(
        "agent",
        episodes.routes,
        settings=settings,
        describe=describe(agent, parts, "agent"),
        openapi=[OPENAPI],
        redactor=redactor,
    )
