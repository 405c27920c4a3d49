"""An OpenAI-compatible endpoint that follows a script, faults included."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar

from gym_testing.bodies import encode, listing
from gym_testing.faults import error, wrong_key
from gym_testing.http import Connection, Received
from gym_testing.replies import Item, Reply, answer

Turn: TypeAlias = "str | Item | Sequence[Item] | Reply"
"""What one call is answered with: a text, an item, several items, or a whole reply."""
Script: TypeAlias = "Turn | Callable[[Received], Turn | Awaitable[Turn]]"
"""A turn, or a function of the request that returns one; it may be `async` and take its time."""
Result = TypeVar("Result")

CALLS = ("/responses", "/chat/completions")


class FakeOpenAI:
    """Answers `POST /v1/responses`, `POST /v1/chat/completions` and `GET /v1/models` on a free port of loopback.

    The turns of the script are given in the order in which calls come, the last one again and again. With `async with`
    it lives in the running event loop; with `with` it has a thread and a loop of its own, for a client in another
    process or thread.

    `api_key`: the key that requests must bring; None takes any. `models`: what it lists. Both, and the script, may be
    changed at any time.

    What it saw: `received` (the model calls in order), `listed` (how often models were asked for), `in_flight` and
    `peak` (model calls open now and at most), `cancelled` (calls whose client left before the reply was complete) and
    `connections` (how many were opened).
    """

    def __init__(self, *script: Script, models: Sequence[str] = ("fake-model",), api_key: str | None = None) -> None:
        self.models = models
        self.models_reply: Reply | None = None
        """What `GET /v1/models` is answered with instead of the list."""
        self.api_key = api_key
        self.received: list[Received] = []
        self.listed = 0
        self.in_flight = 0
        self.peak = 0
        self.cancelled = 0
        self.connections = 0
        self.errors: list[BaseException] = []
        """What the functions of the script raised; leaving the `with` block raises the first of them."""
        self.script(*script)
        self._port = 0
        self._open: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._changed: asyncio.Event | None = None

    def script(self, *script: Script) -> None:
        """Begin another script; without a turn everything is answered with "done"."""
        self._script: list[Script] = list(script) or ["done"]

    @property
    def base_url(self) -> str:
        """Where it is, as clients want it: `http://127.0.0.1:PORT/v1`."""
        return f"http://127.0.0.1:{self._port}/v1"

    # Life

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stop()
        self._complain(error)

    def __enter__(self) -> Self:
        loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=loop.run_forever, name="fake-openai", daemon=True)
        self._thread.start()
        self._loop = loop
        self._in_thread(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._loop is not None
        assert self._thread is not None
        self._in_thread(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._complain(error)

    def _complain(self, error: BaseException | None) -> None:
        if error is None and self.errors:
            raise self.errors[0]

    def _in_thread(self, work: Coroutine[Any, Any, Result]) -> Result:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _start(self) -> None:
        loop = self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._server = await loop.create_server(self._connect, "127.0.0.1", self._port, backlog=4096)
        self._port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            server.close()
            for connection in list(self._open):
                connection.close()
            await server.wait_closed()
            await self._until(lambda: not self._open, 10.0, "its connections to end")

    async def go_down(self) -> None:
        """Close the port and all connections, as a server does that dies."""
        await self._across(self._stop())

    async def come_back(self) -> None:
        """Listen on the same port again."""
        await self._across(self._start())

    # Waiting for what clients do

    async def wait_received(self, calls: int, timeout: float = 10.0) -> None:
        """Wait until so many model calls have come. Raises `TimeoutError`."""
        await self.until(lambda: len(self.received) >= calls, timeout, f"{calls} calls")

    async def wait_cancelled(self, calls: int, timeout: float = 10.0) -> None:
        """Wait until so many model calls were closed by their clients. Raises `TimeoutError`."""
        await self.until(lambda: self.cancelled >= calls, timeout, f"{calls} closed calls")

    async def until(self, condition: Callable[[], bool], timeout: float = 10.0, what: str = "it") -> None:
        """Wait until a condition on what the endpoint saw holds; from any event loop. Raises `TimeoutError`."""
        await self._across(self._until(condition, timeout, what))

    async def _until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        assert self._changed is not None
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            seen = f"{len(self.received)} calls, {self.in_flight} in flight, {self.cancelled} closed by the client"
            raise TimeoutError(f"waited {seconds:g} s for {what}; seen: {seen}") from None

    async def _across(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do it in the endpoint's event loop."""
        assert self._loop is not None
        if asyncio.get_running_loop() is self._loop:
            return await work
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def _notify(self) -> None:
        if self._changed is not None:
            self._changed.set()

    # Answering

    def _connect(self) -> Connection:
        connection = Connection(self._answer, self._left)
        self._open.add(connection)
        self.connections += 1
        return connection

    def _left(self, connection: Connection, request: Received | None) -> None:
        self._open.discard(connection)
        if request is not None and request.path.partition("?")[0].endswith(CALLS):
            request.cancelled = True
            self.cancelled += 1
        self._notify()

    async def _answer(self, connection: Connection, request: Received) -> None:
        path = request.path.partition("?")[0]
        if self.api_key is not None and request.headers.get("authorization") != f"Bearer {self.api_key}":
            reply = wrong_key()
            await connection.send(reply, encode(reply, path, "", 0))
        elif request.method == "POST" and path.endswith(CALLS):
            await self._answer_call(connection, request, path)
        elif request.method == "GET" and path.endswith("/models"):
            self.listed += 1
            listed = self.models_reply or Reply(listing(self.models))
            await connection.send(listed, encode(listed, path, "", 0))
        else:
            reply = error(404, f"Invalid URL ({request.method} {path})")
            await connection.send(reply, encode(reply, path, "", 0))

    async def _answer_call(self, connection: Connection, request: Received, path: str) -> None:
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        request.number = len(self.received)
        request.in_flight = self.in_flight
        self.received.append(request)
        self._notify()
        try:
            reply = await self._reply(request)
            model = str(request.body.get("model", ""))
            content = encode(reply, path, model, request.number)
            await connection.send(reply, content)
        finally:
            self.in_flight -= 1
            self._notify()

    async def _reply(self, request: Received) -> Reply:
        turn: Any = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        try:
            if callable(turn):
                turn = turn(request)
            if inspect.isawaitable(turn):
                turn = await turn
        except Exception as raised:
            self.errors.append(raised)
            return error(500, f"the script raised {type(raised).__name__}", kind="server_error")
        if isinstance(turn, Reply):
            return turn
        return answer(*turn) if isinstance(turn, list | tuple) else answer(turn)
