"""Served code that is cancelled and goes on: its request is answered in time, and the server goes down in time."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from gym_core import Episode, Trajectory, tool
from gym_core.spi import Deadlines, Limiters, ModelGate
from gym_http.serve.environment.sessions import CLOSING_AT_ONCE
from gym_testing import Served
from gym_testing.site import Site
from tests.serve.environments import serving
from tests.serve.serving import served_agent, served_model
from tests.support.agents import FunctionAgent
from tests.support.envs import PlainSession, env, row
from tests.support.loop import asynchronous
from tests.support.models import ScriptedModel

SHORT = 0.1


async def stubborn(*arguments: Any) -> Any:
    """Waits for ever, whoever cancels it."""
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()


def bounds(**seconds: float) -> Any:
    return {"deadlines": Deadlines(**seconds)}


class Stubborn(PlainSession):
    """Goes on where its task says."""

    async def setup(self) -> Any:
        return await stubborn() if self.task.get("where") == "setup" else None

    @tool
    async def wait(self) -> str:
        """Wait."""
        return str(await stubborn())

    async def reply(self, response: Any) -> Any:
        return await stubborn()

    async def verify(self, trajectory: Trajectory) -> float:
        return float(await stubborn())


@pytest.mark.parametrize("phase", ["setup", "tool", "reply", "verify"])
@asynchronous
async def test_a_call_of_a_session_is_answered_when_its_time_is_up(phase: str) -> None:
    bound = "setup" if phase == "reply" else phase
    async with Served(env(Stubborn), **bounds(**{bound: SHORT})) as server, httpx.AsyncClient(timeout=30) as http:
        opened = await http.post(f"{server.url}/v1/sessions", json={"task": {"row": row(where=phase)}})
        if phase != "setup":
            session, tokens = f"{server.url}/v1/sessions/{opened.json()['id']}", opened.json()
            path, body, token = {
                "tool": ("/tools/wait", {"arguments": {}}, "tool_token"),
                "reply": ("/reply", {"response": {"output": []}}, "token"),
                "verify": ("/verify", {"trajectory": {"input": [], "items": []}}, "token"),
            }[phase]
            headers = {"Authorization": f"Bearer {tokens[token]}"}
            opened = await http.post(session + path, json=body, headers=headers)
    assert opened.status_code == 504, opened.text
    assert f"{phase} did not end within {SHORT:g} s" in opened.text


@asynchronous
async def test_sessions_that_take_long_to_close_do_not_hold_the_others_when_the_server_goes_down(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Slow(PlainSession):
        """Closes once all have begun to."""

        async def close(self) -> None:
            closing.append(self.task.task_id)
            if len(closing) == number:
                together.set()
            await together.wait()

    closing: list[str] = []
    together = asyncio.Event()
    number = CLOSING_AT_ONCE + 3
    async with serving(env(Slow), **bounds(close=30)) as served:
        for _ in range(number):
            await served.open()
    assert len(closing) == number
    assert not [record for record in caplog.records if "failed to close" in record.getMessage()]


@pytest.mark.parametrize("where", ["verify", "agent"])
@asynchronous
async def test_a_rollout_is_answered_when_its_time_is_up(where: str) -> None:
    async def agent(episode: Episode) -> str:
        return str(await stubborn()) if where == "agent" else "completed"

    class Slow(PlainSession):
        async def verify(self, trajectory: Trajectory) -> float:
            return float(await stubborn())

    bound = "rollout" if where == "agent" else "verify"
    async with served_agent(None, env(Slow), FunctionAgent(agent), **bounds(**{bound: SHORT})) as server:
        status, answer = await server.post("/run", row())
        assert server.rollouts.running == 0
    assert status == 504
    assert answer["error"]["code"] == "timed_out"
    assert answer["row"]["rollout"]["error"]["phase"] == bound


@asynchronous
async def test_a_model_call_is_answered_when_its_time_is_up() -> None:
    model = ScriptedModel(stubborn, inflight=1)
    model.retries = 0
    async with served_model(model) as server:
        server.served.gate = ModelGate(
            "policy", model, limiters=Limiters(), clock=server.served.gate.clock,
            deadlines=Deadlines(model_call=SHORT),
        )  # fmt: skip
        status, answer = await server.post("/v1/responses", {"input": "Hello."})
        assert server.served.gate.limiters[0].inflight == 0
    assert status == 504, answer


ENV = """
import asyncio

from gym_core import ResourceServer, Session, Task, hookimpl, tool


class Stubborn(Session):
    @tool
    async def wait(self) -> str:
        \"\"\"Wait.\"\"\"
        print("waiting", flush=True)
        while True:
            try:
                await asyncio.Event().wait()
            except BaseException:
                pass

    def verify(self, trajectory):
        return 1.0

    def close(self):
        print("closed", flush=True)


class Env(ResourceServer):
    session_type = Stubborn


@hookimpl(contract=1)
def gym_resource_servers():
    return {"stubborn": Env}
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_a_server_goes_down_while_a_call_goes_on(tmp_path: Path) -> None:
    from tests.serve.test_command import serving

    site = Site(tmp_path / "site")
    site.add("gym-stubborn", ENV, group="gym.resource_servers", name="stubborn")
    with serving("--env", "stubborn", "--port", "0", "--drain", "0.5", path=site.path) as process:
        opened = httpx.post(f"{process.url}/v1/sessions", json={"task": {"row": row()}}, timeout=30).json()
        url = f"{process.url}/v1/sessions/{opened['id']}/tools/wait"
        call = (
            "import sys, httpx\n"
            "httpx.post(sys.argv[1], json={'arguments': {}}, headers={'Authorization': sys.argv[2]}, timeout=60)"
        )
        asking = subprocess.Popen(
            [sys.executable, "-c", call, url, f"Bearer {opened['tool_token']}"], stderr=subprocess.DEVNULL
        )
        assert process.next_line() == "waiting"
        status, out, err = process.end(signal.SIGTERM)
        asking.wait(30)
    assert status == 0, err
    assert out == "closed\n"
    assert "1 requests did not end within 0.5 s" in err
    assert "Traceback" not in err
