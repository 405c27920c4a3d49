"""A component behind a real port, in the process of the test: what `gym serve` makes of it, and the way back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

from gym_core import Agent, Component, ComponentContext, ModelBackend, ResourceServer, Runner, SandboxProvider
from gym_core.spi import Kind, Redactor
from gym_testing.clock import FakeClock
from gym_testing.rehearsal import make

if TYPE_CHECKING:
    from gym_http.remote.agent import RemoteAgent
    from gym_http.remote.environment import RemoteResourceServer
    from gym_http.remote.model import RemoteModel
    from gym_http.serve.application import Application
    from gym_http.serve.opening import Wanted


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

    def _wanted(self) -> Wanted:
        from gym_http.serve.opening import POLICY, Wanted

        concurrency = self.component.context.concurrency
        if isinstance(self.component, ModelBackend):
            return Wanted(models={POLICY: self.component}, concurrency=concurrency)
        if isinstance(self.component, ResourceServer):
            return Wanted(env=self.component, models=self._models, sandbox=self._sandbox, concurrency=concurrency)
        assert isinstance(self.component, Agent | Runner)
        return Wanted(agent=self.component, concurrency=concurrency)

    # Life

    async def __aenter__(self) -> Self:
        from gym_http.serve.listener import Listener
        from gym_http.serve.opening import open_application
        from gym_http.serve.settings import ServeSettings

        async with AsyncExitStack() as stack:
            given = {"local": not self._settings.get("token"), **self._settings}
            self.app, _ = await open_application(
                self._wanted(), ServeSettings(**given), stack, Redactor(), clock=FakeClock().clock, time=self._time
            )
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
