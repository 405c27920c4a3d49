"""A server of OpenEnv's protocol that does what the real one does not: it breaks, lies, hangs up and starts again."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

ACTION = {
    "type": "object",
    "title": "Add",
    "description": "Add to the number.",
    "properties": {"metadata": {"type": "object"}, "by": {"type": "integer", "description": "How much."}},
    "required": ["by"],
}


@dataclass
class SmallServer:
    """Count to ten: each step adds `by`, and earns a tenth of it.

    `most`: sessions at once. `full`: how many connections are told that it is full though it is not. `dropped`: how
    many are broken before their reset is answered. `breaks`: the step in which the connection breaks. `says`: the text
    that answers a step. `reward`: what each step gives instead; `reset_reward`: what the reset gives. `sessions`: those
    that were begun; `peak`: how many there were at once.
    """

    most: int = 100
    full: int = 0
    dropped: int = 0
    breaks: int = 0
    says: str = ""
    reward: Any = ...
    reset_reward: Any = None
    slow: float = 0.0
    action: dict[str, Any] = field(default_factory=lambda: ACTION)
    schema_status: int = 200
    sessions: int = 0
    open: int = 0
    peak: int = 0
    resets: list[dict[str, Any]] = field(default_factory=list)
    authorization: set[str] = field(default_factory=set)
    url: str = ""

    async def schema(self, request: web.Request) -> web.Response:
        return web.json_response({"action": self.action}, status=self.schema_status)

    async def metadata(self, request: web.Request) -> web.Response:
        return web.json_response({"name": "ten", "description": "Count to ten."})

    async def session(self, request: web.Request) -> web.WebSocketResponse:
        self.authorization.add(request.headers.get("Authorization", ""))
        socket = web.WebSocketResponse(heartbeat=0.4)
        await socket.prepare(request)
        if self.full or self.open >= self.most:
            self.full = max(0, self.full - 1)
            data = {"message": "Server at capacity", "code": "CAPACITY_REACHED", "max_sessions": self.most}
            await socket.send_json({"type": "error", "data": data})
            return socket
        self.open += 1
        self.peak = max(self.peak, self.open)
        try:
            await self._serve(socket)
        finally:
            self.open -= 1
        return socket

    async def _serve(self, socket: web.WebSocketResponse) -> None:
        total = steps = 0
        async for message in socket:
            asked = json.loads(message.data)
            kind = asked["type"]
            if kind == "close":
                return
            if kind == "reset":
                self.resets.append(asked["data"])
                if self.dropped:
                    self.dropped -= 1
                    return
                self.sessions += 1
                data = {"observation": {"total": 0}, "reward": self.reset_reward, "done": False}
            elif not isinstance(by := asked["data"].get("by"), int):
                data = {"message": "Invalid message", "code": "VALIDATION_ERROR",
                        "errors": [{"loc": ["by"], "msg": "Input should be a valid integer"}]}  # fmt: skip
                await socket.send_json({"type": "error", "data": data})
                continue
            else:
                steps += 1
                total += by
                if steps == self.breaks:
                    return
                await asyncio.sleep(self.slow)
                if self.says:
                    await socket.send_str(self.says)
                    continue
                reward = by / 10 if self.reward is ... else self.reward
                data = {"observation": {"total": total}, "reward": reward, "done": total >= 10}
            await socket.send_json({"type": "observation", "data": data})

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Its URL, while it runs."""
        app = web.Application()
        app.add_routes(
            [web.get("/schema", self.schema), web.get("/metadata", self.metadata), web.get("/ws", self.session)]
        )
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self.url
        finally:
            await runner.cleanup()


@contextmanager
def serving(server: SmallServer) -> Iterator[str]:
    """The URL of a server that runs in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def there(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    running = server.running()
    try:
        yield there(running.__aenter__())
        there(running.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
