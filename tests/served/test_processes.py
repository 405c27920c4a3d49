"""Servers in processes of their own: ended under load, killed at any moment, and what they write of it."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gym_core.spi import open_run, run_config
from gym_testing import LoopAgent, ScriptedModel, call
from gym_testing.site import Site
from tests.served.processes import Process, process
from tests.support.running import read_jsonl
from tests.support.served_envs import in_loop

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")

LOAD = 50
SECRETS = {
    "token": "serve-token-8Q2x",
    "option": "option-secret-7Lm4",
    "hidden": "hidden-answer-31337",
    "argument": "argument-words-5512",
    "answer": "model-words-9034",
}
ENV = '''
import asyncio

from pydantic import Field, SecretStr

import gym_core
from gym_core import ResourceServer, Session, Task, hookimpl, tool


class LeakySession(Session):
    @tool
    async def wait(self, text: str) -> str:
        """Wait for the end of the server."""
        print("waiting", flush=True)
        await self.server.ended.wait()
        return text

    @tool
    def fail(self, text: str) -> str:
        """Fail, and say all that is known."""
        raise ValueError(f"{text} {self.task['hidden']} {self.server.options.key.get_secret_value()}")

    def verify(self, trajectory):
        raise KeyError(f"{trajectory.output_text} {self.task['hidden']} {self.server.options.key.get_secret_value()}")

    def reply(self, response):
        raise RuntimeError(f"{response.output_text} {self.task['hidden']}")

    def close(self):
        print("closed", flush=True)


class LeakyOptions(gym_core.Options):
    key: SecretStr = Field(description="a key")


class Leaky(ResourceServer[LeakyOptions]):
    """Tells all that it knows when it fails."""

    session_type = LeakySession

    async def __aenter__(self):
        import signal

        self.ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self.ended.set)
        return self

    def tasks(self):
        raise OSError(f"no tasks: {self.options.key.get_secret_value()}")


@hookimpl(contract=1)
def gym_resource_servers():
    return {"leaky": Leaky}
'''


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """The environment of a process in which `leaky` is installed, with its secrets."""
    site = Site(tmp_path / "site")
    site.add("gym-leaky", ENV, group="gym.resource_servers", name="leaky")
    return {
        "PYTHONPATH": str(site.path),
        "PYTHONASYNCIODEBUG": "1",
        "GYM_SERVE_TOKEN": SECRETS["token"],
        "GYM_LEAKY_KEY": SECRETS["option"],
    }


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def opened(http: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    """A session, opened."""
    row = {"responses_create_params": {"input": "x"}, "hidden": SECRETS["hidden"]}
    async with http.post(f"{url}/v1/sessions", json={"task": {"row": row}}, headers=bearer(SECRETS["token"])) as reply:
        assert reply.status == 201, await reply.text()
        session: dict[str, Any] = await reply.json()
        return session


@pytest.mark.slow
def test_nothing_that_is_said_is_in_the_log(tmp_path: Path, variables: dict[str, str]) -> None:
    log = tmp_path / "log"

    async def main() -> tuple[list[str], list[str]]:
        bodies: list[str] = []
        async with (
            process("--env", "leaky", "--mcp", "-v", "--debug", log=log, **variables) as server,
            aiohttp.ClientSession(server.url) as http,
        ):
            session = await opened(http, server.url)
            path = f"/v1/sessions/{session['id']}"
            said = {"type": "message", "role": "assistant", "content": SECRETS["answer"]}
            judged = {"trajectory": {"input": [], "items": [said]}}
            owner, tool = bearer(session["token"]), bearer(session["tool_token"])
            asked: list[tuple[str, str, Any, dict[str, str]]] = [
                ("POST", f"{path}/tools/fail", {"arguments": {"text": SECRETS["argument"]}}, tool),
                ("POST", f"{path}/tools/{SECRETS['argument']}", {"arguments": {}}, tool),
                ("POST", f"{path}/tools/fail", {SECRETS["argument"]: 1}, tool),
                ("POST", f"{path}/reply", {"response": {"output": [said]}}, tool),
                ("POST", f"{path}/verify", judged, owner),
                ("POST", f"{path}/verify", judged, tool),
                ("POST", f"{path}/verify", judged, bearer(SECRETS["option"])),
                ("POST", f"{path}/verify", {"trajectory": SECRETS["answer"]}, owner),
                ("GET", "/v1/tasks", None, bearer(SECRETS["token"])),
                ("GET", f"/v1/tasks?limit={SECRETS['argument']}", None, bearer(SECRETS["token"])),
                ("GET", f"/{SECRETS['argument']}", None, bearer(SECRETS["token"])),
                ("GET", "/v1/component", None, bearer(SECRETS["token"])),
                ("POST", "/seed_session", {"hidden": SECRETS["hidden"]}, bearer(SECRETS["token"])),
                ("GET", "/v1/component", None, bearer(SECRETS["token"] + "x")),
            ]
            for method_asked, parameters in (
                ("tools/call", {"name": "fail", "arguments": {"text": SECRETS["argument"]}}),
                ("tools/call", {"name": "fail", "arguments": [SECRETS["argument"]]}),
                ("tools/call", {"name": [SECRETS["argument"]]}),
                (SECRETS["argument"], SECRETS["argument"]),
            ):
                message = {"jsonrpc": "2.0", "id": 1, "method": method_asked, "params": parameters}
                accepting = {**tool, "Accept": "application/json, text/event-stream"}
                asked.append(("POST", f"/mcp/{session['id']}", message, accepting))
            for method, place, body, headers in asked:
                async with http.request(method, place, json=body, headers=headers) as reply:
                    bodies.append(await reply.text())
            async with http.post(f"{path}/reply", data=SECRETS["answer"].encode(), headers=tool) as reply:
                bodies.append(await reply.text())
            status, _ = await server.end()
            assert status == 0
            return bodies, [session["token"], session["tool_token"]]

    bodies, tokens = in_loop(main)
    written = log.read_text(encoding="utf-8")
    assert "verify answered 500: KeyError" in written
    for words in (*SECRETS.values(), *tokens):
        assert words not in written
    for words in (SECRETS["token"], SECRETS["option"], *tokens):
        assert words not in "".join(bodies)


@pytest.mark.slow
def test_a_server_that_is_ended_under_load_answers_what_is_under_way(tmp_path: Path, variables: dict[str, str]) -> None:
    async def main() -> None:
        async with (
            process("--env", "leaky", log=tmp_path / "log", **variables) as server,
            aiohttp.ClientSession(server.url, connector=aiohttp.TCPConnector(limit=0)) as http,
        ):
            sessions = [await opened(http, server.url) for _ in range(LOAD)]

            async def work(number: int, session: dict[str, Any]) -> tuple[int, Any]:
                path = f"/v1/sessions/{session['id']}/tools/wait"
                body = {"arguments": {"text": str(number)}}
                async with http.post(path, json=body, headers=bearer(session["tool_token"])) as reply:
                    return reply.status, (await reply.json()).get("output")

            working = [asyncio.create_task(work(number, session)) for number, session in enumerate(sessions)]
            for _ in range(LOAD):
                assert await server.line() == "waiting"
            server.signal(signal.SIGTERM)
            while True:  # until it drains
                async with http.get("/ready") as reply:
                    if reply.status == 503:
                        break
            refused = {"task": {"row": {"responses_create_params": {"input": "x"}}}}
            async with http.post("/v1/sessions", json=refused, headers=bearer(SECRETS["token"])) as reply:
                assert (reply.status, (await reply.json())["error"]["code"]) == (503, "draining")
            server.signal(signal.SIGUSR1)
            assert await asyncio.gather(*working) == [(200, str(number)) for number in range(LOAD)]
            status, printed = await server.ended()
            assert status == 0
            assert printed.split() == ["closed"] * LOAD

    in_loop(main, 120)


@pytest.mark.slow
@pytest.mark.parametrize("moment", [3, 11])
def test_a_server_that_is_killed_at_any_moment_costs_what_it_held(tmp_path: Path, moment: int) -> None:
    async def main() -> None:
        async with process("--env", "stateful_counter", log=tmp_path / "log") as server:
            ends = 0
            due = asyncio.Event()

            def ended(rollout: Any) -> None:
                nonlocal ends
                ends += 1
                if ends == moment:
                    due.set()

            async def restart(server: Process) -> None:
                await due.wait()
                await server.kill()
                await server.start()

            model = ScriptedModel(call("add", amount=1), call("submit"), "Done.")
            wanted = run_config(
                models={"policy": model},
                env=server.url,
                agent=LoopAgent(),
                repeats=2,
                concurrency=8,
                output=tmp_path / "x.jsonl",
            )
            async with open_run(wanted) as run, asyncio.TaskGroup() as group:
                group.create_task(restart(server))
                await run.execute(ended)
            assert run.error is None

    in_loop(main, 240)
    rows, failures = read_jsonl(tmp_path / "x.jsonl"), read_jsonl(tmp_path / "x.failures.jsonl")
    keys = [(row["task_id"], row["rollout"]["repeat"]) for row in [*rows, *failures]]
    assert len(keys) == len(set(keys)) == 80
    assert {row["rollout"]["status"] for row in failures} <= {"env_error"}
    assert len(failures) <= 8
