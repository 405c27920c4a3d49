"""Every stand-in has every member that its original has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from typing import Any

import pytest

from gym_core import (
    Agent,
    AgentInfo,
    CallContext,
    Component,
    Done,
    Episode,
    Item,
    ModelBackend,
    ModelInfo,
    Request,
    ResourceServer,
    ResourceServerInfo,
    Response,
    Rollout,
    Session,
    SessionContext,
    SessionInfo,
    Stop,
    StopReason,
    Task,
    Trajectory,
)
from gym_core.errors import AuthenticationError, UsageError
from gym_http.remote.agent import RemoteAgent
from gym_http.remote.environment import RemoteResourceServer
from gym_http.remote.model import RemoteModel
from gym_isolated.components import IsolatedAgent, IsolatedModel, IsolatedResourceServer
from gym_testing import Served
from gym_testing.checks.watched import WatchedServer
from gym_testing.conformance.bench import SpiedAgent
from gym_testing.conformance.over_http import AgentOverHTTP, ModelOverHTTP, ResourceServerOverHTTP
from gym_testing.conformance.spied_model import SpiedModel
from tests.support.models import ScriptedModel
from tests.support.running import config, execute
from tests.support.sandboxes import Memory

ENDPOINT = "https://api.seller.example/v1"


class Original(ModelBackend):
    """A model with a word on everything."""

    model_id = "odd-1"
    endpoint = ENDPOINT
    max_inflight = 3
    max_retries = 1
    sends_seed = True
    sampling = {"temperature": 0.5}
    refused = False

    async def respond(self, request: Request, context: CallContext) -> Response:
        return Response({"output": []})

    async def check(self) -> Sequence[str]:
        if self.refused:
            raise AuthenticationError("the key is wrong", status=401)
        return ["mind the gap"]

    async def list_models(self) -> Sequence[str]:
        return ["odd-1", "odd-2"]


class OriginalSession(Session[Any]):
    roles = ("judge", "user")
    optional_roles = ("critic",)
    open_tools = True
    concurrent_tools = True
    judges_trajectory = True

    def setup(self) -> list[Item]:
        return []

    def answer_calls(self, response: Response) -> None:
        return None

    def call_open_tool(self, name: str, arguments: Any) -> str:
        return name

    def reply(self, response: Response) -> Done:
        return Done()

    def verify(self, trajectory: Trajectory) -> float:
        return 1.0

    def close(self) -> None:
        return None


class OriginalServer(ResourceServer):
    """An environment with a word on everything."""

    session_type = OriginalSession
    preferred_agent = "odd_agent"

    def tasks(self) -> list[Task]:
        return [Task.ask("Well?")]

    def score_group(self, rollouts: Sequence[Rollout]) -> list[float]:
        return [1.0 / len(rollouts) for _ in rollouts]


class OriginalAgent(Agent):
    """An agent."""

    async def run(self, episode: Episode) -> Stop:
        return Stop(StopReason.COMPLETED)


@asynccontextmanager
async def behind_a_url(component: Component) -> AsyncIterator[Any]:
    async with Served(component) as server, server.remote() as there:
        yield there


@asynccontextmanager
async def around(stand_in: Any) -> AsyncIterator[Any]:
    async with stand_in as opened:
        yield opened


STAND_INS: list[tuple[Callable[[], Component], Callable[[Any], Any]]] = [
    (Original, behind_a_url),
    (Original, lambda model: around(ModelOverHTTP(model))),
    (Original, lambda model: around(SpiedModel(model))),
    (OriginalServer, behind_a_url),
    (OriginalServer, lambda server: around(ResourceServerOverHTTP(server))),
    (OriginalServer, lambda server: around(WatchedServer(server))),
    (OriginalAgent, behind_a_url),
    (OriginalAgent, lambda agent: around(AgentOverHTTP(agent))),
    (OriginalAgent, lambda agent: around(SpiedAgent(agent))),
]


def go(main: Callable[[], Awaitable[Any]]) -> Any:
    async def whole() -> Any:
        return await main()

    return asyncio.run(whole())


@pytest.mark.parametrize(("original", "stand_in"), STAND_INS)
def test_a_stand_in_says_what_its_original_says(original: Any, stand_in: Any) -> None:
    async def main() -> None:
        component = original()
        async with stand_in(component) as there:
            assert replace(there.describe(), component={}, calls_from=None) == component.describe()

    go(main)


def test_the_originals_say_nothing_that_would_be_said_anyway() -> None:
    assert_unusual(Original().describe(), ModelInfo(model_id="", endpoint=""))
    assert_unusual(OriginalServer().describe(), ResourceServerInfo())
    # what it overrides counts as overridden where nobody says so
    nothing = SessionInfo(sets_up=False, lists_tools=True, replies=False, closes=False)
    session = OriginalSession(Task.ask("x"), OriginalServer(), SessionContext())
    assert_unusual(session.describe(), nothing)


def assert_unusual(info: Any, usual: Any) -> None:
    same = {member.name for member in fields(info) if getattr(info, member.name) == getattr(usual, member.name)}
    assert same <= {"component", "calls_from", "sandbox_roles"}


class Quiet(Session[Any]):
    """Overrides nothing but what it must."""

    def verify(self, trajectory: Trajectory) -> float:
        return 1.0


@pytest.mark.parametrize("kind", [OriginalSession, Quiet])
def test_a_session_behind_a_url_says_what_its_original_says(kind: type[Session[Any]]) -> None:
    class Server(ResourceServer):
        session_type = kind

    async def main() -> None:
        models: Any = {role: Original() for role in kind.roles}
        async with (
            Served(Server(), models=models) as server,
            server.remote() as there,
            there.open_session(Task.ask("x"), SessionContext()) as session,
        ):
            original = kind(Task.ask("x"), Server(), SessionContext()).describe()
            # the server has the models, and the tools are no methods of the stand-in
            assert session.describe() == replace(original, roles=(), lists_tools=True)

    go(main)


class Boxed(Quiet):
    """Opens a sandbox, and looks into it."""

    sandbox_roles = ("main",)

    async def setup(self) -> None:
        sandbox = await self.open_sandbox()
        await sandbox.write("file", "there")

    async def verify(self, trajectory: Trajectory) -> float:  # type: ignore[override]
        return float(await self.sandboxes["main"].read("file") == b"there")


def test_the_sandboxes_of_what_is_behind_a_url_are_there() -> None:
    class Server(ResourceServer):
        session_type = Boxed

    async def main() -> None:
        provider = Memory()
        async with Served(Server(), sandbox=provider) as server, server.remote() as there:
            assert there.describe().sandbox_roles == ()
            async with there.open_session(Task.ask("x"), SessionContext()) as session:
                assert provider.log == ["opening", "open"]
                assert dict(session.sandboxes) == {}
                assert (await session.verify(Trajectory([], []))).reward == 1.0
            assert provider.log == ["opening", "open", "closed"]
        with pytest.raises(UsageError, match="runs commands in a sandbox"):
            async with Served(Server()):
                pass

    go(main)


class Critical(Quiet):
    """Asks a critic where there is one."""

    optional_roles = ("critic",)

    async def verify(self, trajectory: Trajectory) -> float:  # type: ignore[override]
        critic = self.models.get("critic")
        return 0.5 if critic is None else float((await critic.respond("?")).output_text)


def test_a_model_that_a_run_need_not_have_is_lent_where_it_has_one() -> None:
    class Server(ResourceServer):
        session_type = Critical

    async def main() -> None:
        critics: list[dict[str, ModelBackend]] = [{}, {"critic": ScriptedModel("0.25", "0.25")}]
        for critic, reward in zip(critics, (0.5, 0.25), strict=True):
            for remote in (False, True):
                for own in (False, True):
                    rollout = await critically(Server(), critic, remote=remote, own=own and remote)
                    assert rollout.reward == reward

    go(main)


async def critically(server: ResourceServer, critic: dict[str, ModelBackend], *, remote: bool, own: bool) -> Rollout:
    """A rollout with a critic, or without. `own`: the server has it."""
    everyone = {"policy": ScriptedModel("done")} | ({} if own else critic)
    if not remote:
        return (await execute(config(everyone, server, tasks=[Task.ask("x")]))).rollouts[0]
    async with Served(server, models=critic if own else {}) as served, served.remote() as there:
        return (await execute(config(everyone, there, tasks=[Task.ask("x")]))).rollouts[0]


def test_the_first_look_of_a_model_behind_a_url_is_its_originals() -> None:
    async def main() -> None:
        model = Original()
        async with behind_a_url(model) as there:
            assert await there.check() == ["mind the gap"]
            model.refused = True
            with pytest.raises(AuthenticationError, match="the key is wrong"):
                await there.check()

    go(main)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:8000/v1", "unix:/tmp/x", "local:policy"])
def test_what_an_endpoint_means_at_the_server_alone_is_no_endpoint_here(endpoint: str) -> None:
    class Near(Original):
        pass

    Near.endpoint = endpoint

    async def main() -> None:
        async with Served(Near()) as server, server.remote() as there:
            assert there.describe().endpoint == server.url

    go(main)


def test_what_is_no_description_is_refused() -> None:
    class Odd(Original):
        max_inflight = "many"  # type: ignore[assignment]

    async def main() -> None:
        async with behind_a_url(Odd()):
            pass

    with pytest.raises((UsageError, TypeError)):
        go(main)


DERIVED = {"model_id", "endpoint", "max_inflight", "max_retries", "sends_seed", "required_roles", "preferred_agent",
           "required_sandboxes", "sampling"}  # fmt: skip
OWN = {"Options", "choices", "secrets", "session_type", "endpoints"}  # who asks several endpoints places calls himself


@pytest.mark.parametrize(
    ("contract", "stand_in"),
    [
        *[(ModelBackend, kind) for kind in (RemoteModel, IsolatedModel, ModelOverHTTP, SpiedModel)],
        *[
            (ResourceServer, kind)
            for kind in (RemoteResourceServer, IsolatedResourceServer, ResourceServerOverHTTP, WatchedServer)
        ],
        *[(Agent, kind) for kind in (RemoteAgent, IsolatedAgent, AgentOverHTTP, SpiedAgent)],
    ],
    ids=lambda kind: kind.__name__,
)  # fmt: skip
def test_a_stand_in_forwards_every_method(contract: type[Any], stand_in: type[Any]) -> None:
    own = {name for cls in stand_in.__mro__ if cls not in (*contract.__mro__,) for name in vars(cls)}
    methods = {name for name in vars(contract) if not name.startswith("_")} - DERIVED - OWN
    assert methods <= own
    assert not own & DERIVED, "what `describe` is derived from is not what a stand-in is asked for"


def test_an_agent_behind_a_url_is_an_agent() -> None:
    async def main() -> None:
        async with behind_a_url(OriginalAgent()) as there:
            assert replace(there.describe(), component={}, calls_from=None) == AgentInfo()

    go(main)
