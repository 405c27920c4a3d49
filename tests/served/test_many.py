"""What is left of sessions that came and went."""

from __future__ import annotations

import gc
import sys
from typing import Any

import orjson
import pytest

from gym_http.serve.application import Application
from gym_http.serve.environment import sessions
from gym_testing import Served
from tests.served.environments import Anything
from tests.support.served_envs import in_loop

CYCLES = 8_000
WARM = 1_000
REMEMBERED = 500


class Caller:
    """Asks an application without a socket in between."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def ask(self, method: str, path: str, body: Any = None, token: str = "") -> tuple[int, Any]:
        """Status and JSON of an answer."""
        content = orjson.dumps(body) if body is not None else b""
        headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": headers,
            "client": None,
            "root_path": "",
        }
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        data = b"".join(message.get("body", b"") for message in sent[1:])
        return sent[0]["status"], orjson.loads(data) if data else None


async def cycle(caller: Caller, number: int) -> None:
    """One session from its opening to its end."""
    task = {"row": {"responses_create_params": {"input": "x"}}, "task_id": f"t{number}"}
    status, opened = await caller.ask("POST", "/v1/sessions", {"task": task})
    assert status == 201
    path = f"/v1/sessions/{opened['id']}"
    status, said = await caller.ask("POST", f"{path}/tools/say", {"arguments": {"text": "x"}}, opened["tool_token"])
    assert (status, said["output"]) == (200, "x")
    assert (await caller.ask("DELETE", path, token=opened["token"]))[0] == 204


@pytest.mark.slow
def test_nothing_is_left_of_sessions_that_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "REMEMBERED", REMEMBERED)

    async def main() -> int:
        async with Served(Anything, max_sessions=1) as server:
            caller = Caller(server.app)
            for number in range(WARM):
                await cycle(caller, number)
            gc.collect()
            before = sys.getallocatedblocks()
            for number in range(WARM, CYCLES):
                await cycle(caller, number)
            gc.collect()
            return sys.getallocatedblocks() - before

    assert in_loop(main, 240) < CYCLES / 20
