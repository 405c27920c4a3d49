"""`Served`, its fixture, and the check of the suites that a component is the same over HTTP."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import httpx
import pytest

from gym_core import (
    Agent,
    CallContext,
    Episode,
    ModelBackend,
    Request,
    ResourceServer,
    Response,
    Session,
    Stop,
    Task,
    Trajectory,
    UsageError,
    tool,
)
from gym_http.protocol.errors import RemoteError
from gym_testing import (
    AgentConformance,
    LoopAgent,
    ModelBackendConformance,
    ResourceServerConformance,
    RunRollout,
    ScriptedModel,
    Served,
    call,
    rehearse,
    say,
)
from tests.served.environments import Anything
from tests.support.loop import asynchronous

# Served


def test_a_client_that_blocks_is_answered(served: type[Served]) -> None:
    with served(Anything) as server:
        about = httpx.get(f"{server.url}/v1/component", trust_env=False).json()
    assert (about["kind"], about["capabilities"]["open_tools"]) == ("resource_server", True)


def test_rollouts_run_over_the_port(served: type[Served], run_rollout: RunRollout) -> None:
    with served("simple_weather") as server:
        rollout = run_rollout(server.remote(), call("get_weather", city="Paris"), "Sunny, 21 °C.", task="paris")
    assert rollout.reward == 1.0


@asynchronous
async def test_an_instance_a_class_and_a_reference() -> None:
    for component, kind in ((ScriptedModel("Hello."), "env"), (LoopAgent, "env"), ("simple_agent", "agent")):
        async with Served(component, kind=kind) as server, server.remote() as remote:
            assert isinstance(remote, ModelBackend | Agent)
            if isinstance(remote, ModelBackend):
                said = await remote.respond(Request.ask("Hi."), CallContext(("t", 0)))
                assert said.output_text == "Hello."
            else:
                assert (await rehearse(Anything, "Hi.", "Bye.", agent=remote)).status.has_verdict


@asynchronous
async def test_the_settings_are_those_of_the_server() -> None:
    async with Served(Anything, token="a-token", max_sessions=1) as server:
        async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
            assert (await client.get("/v1/tools")).status_code == 401
        async with server.remote(wait=0) as remote:
            rollout = await rehearse(remote, "Hi.", agent=LoopAgent())
            assert rollout.status.has_verdict


@asynchronous
async def test_a_clock_of_the_tests_own_expires_sessions() -> None:
    now = [0.0]
    async with Served(Anything, time=lambda: now[0], session_idle=10.0) as server, server.remote() as remote:

        def late(request: Any, context: Any) -> Any:
            now[0] += 11.0
            return call("say", text="too late")

        rollout = await rehearse(remote, late)
    assert rollout.status.value == "env_error"
    assert "expired" in (rollout.error or {})["message"]


@asynchronous
async def test_the_same_port_again() -> None:
    async with Served(Anything) as server, server.remote(wait=0) as remote:
        await server.__aexit__(None, None, None)
        with pytest.raises(RemoteError):
            await remote.connection.ask("GET", "/v1/tools")
        async with Served(Anything, port=int(server.url.rpartition(":")[2])) as again:
            assert again.url == server.url
            await remote.connection.ask("GET", "/v1/tools")


def test_what_fails_to_open_is_raised(served: type[Served]) -> None:
    class Closed(Anything):
        """Does not open."""

        async def __aenter__(self) -> Any:
            raise UsageError("not today")

    with pytest.raises(UsageError, match="not today"), served(Closed):
        pass


# The suites


class Environment(ResourceServerConformance):
    reference = "it"

    def __init__(self, server: type[ResourceServer]) -> None:
        self.server = server

    def component(self) -> type[Any]:
        return self.server


class Worker(AgentConformance):
    reference = "it"

    def __init__(self, agent: type[Agent]) -> None:
        self.agent = agent

    def component(self) -> type[Any]:
        return self.agent


class Backend(ModelBackendConformance):
    reference = "it"

    def __init__(self, backend: type[ModelBackend]) -> None:
        self.backend = backend

    def component(self) -> type[Any]:
        return self.backend


class Polite(ModelBackend):
    """Says hello."""

    async def respond(self, request: Request, context: CallContext) -> Response:
        return Response(self.body())

    def body(self) -> dict[str, Any]:
        return {"output": [say("Hello.")]}


@pytest.mark.parametrize(
    "suite", [Environment(Anything), Worker(LoopAgent), Backend(Polite)], ids=lambda suite: type(suite).__name__
)
@pytest.mark.parametrize("over_http", [False, True])
def test_a_sound_component_is_the_same(suite: Any, over_http: bool) -> None:
    suite.over_http = over_http
    suite.test_served_is_the_same()


_heard: ContextVar[int] = ContextVar("heard", default=0)


class Ambient(ResourceServer):
    """Counts in a context variable, which holds within one task only."""

    class Sessions(Session["Ambient"]):
        """Sessions."""

        @tool
        def count(self) -> int:
            """Count on."""
            _heard.set(_heard.get() + 1)
            return _heard.get()

        def setup(self) -> None:
            _heard.set(10)

        def verify(self, trajectory: Trajectory) -> float:
            return 0.0

    session_type = Sessions

    def tasks(self) -> Iterator[Task]:
        yield Task.ask("Count.", task_id="count")


class Looking(LoopAgent):
    """Looks at what it is given, and not only at what that says."""

    async def run(self, episode: Episode) -> Stop:
        items = [*episode.request.input, {"role": "user", "content": type(episode).__name__}]
        return Stop((await episode.respond(items)).stop_reason)


class Numbering(Polite):
    """Answers with keys that are no JSON."""

    def body(self) -> dict[str, Any]:
        return {**super().body(), "scores": {1: 0.5}}


@pytest.mark.parametrize(
    ("suite", "words"),
    [
        (Environment(Ambient), "another row in process than over HTTP"),
        (Worker(Looking), r"asks the model something else|another row"),
        (Backend(Numbering), r"`the answer.scores.1` is None and not 0.5"),
    ],
    ids=["environment", "agent", "model"],
)
def test_what_holds_in_process_only_is_found(suite: Any, words: str) -> None:
    if isinstance(suite, Worker):
        suite.calls_tools = suite.converses = False
    with pytest.raises(AssertionError, match=words):
        suite.test_served_is_the_same()


@pytest.mark.slow
def test_the_fixture_costs_nothing_until_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import sys\n"
        "def test_without():\n"
        "    assert not {'starlette', 'uvicorn', 'aiohttp', 'pydantic'} & set(sys.modules)\n"
        "def test_with(served, run_rollout):\n"
        "    with served('simple_weather') as server:\n"
        "        assert run_rollout(server.remote(), 'No idea.').status.has_verdict\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            "-p",
            "no:schemathesis",
            ".",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert "2 passed" in done.stdout, done.stdout
