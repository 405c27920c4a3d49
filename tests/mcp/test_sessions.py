"""MCP servers as environments: their tools are a session's tools."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import gym_core
from gym_core import ResourceServer, Rollout, Session, Status, Task, tool
from gym_mcp import HTTPServer, MCPResourceServer, MCPSession, StdioServer
from gym_testing import ScriptedModel, call
from tests.mcp.conftest import KEY, NEW, OLD, PRIVATE, Notes
from tests.mcp.notes_server import PIXEL, TOOLS
from tests.support.agents import LoopAgent

SCRIPT = Path(__file__).with_name("notes_server.py")
CHILD = StdioServer(sys.executable, [str(SCRIPT), "quiet"], env={"NOTES_KEY": "from the session"})
WAIT = "import sys; sys.stdin.read()"


class NotesSession(MCPSession):
    """Judged by the count that the server says it has."""

    where: Any = CHILD

    def mcp_server(self) -> Any:
        return self.where

    async def verify(self, trajectory: Any) -> float:
        return float(json.loads(await self.call_mcp_tool("state", {}))["count"])


class JudgedBlindly(NotesSession):
    async def verify(self, trajectory: Any) -> float:
        return 1.0


def environment(
    session: type[Session[Any]], base: type[ResourceServer] = ResourceServer, tasks: int = 1
) -> ResourceServer:
    class Notes(base):  # type: ignore[misc,valid-type]  # the base is the caller's
        session_type = session

        def tasks(self) -> Any:
            return [Task.ask(f"Task {number}.", task_id=f"t{number}") for number in range(tasks)]

        def mcp_server(self) -> Any:
            return session.where  # type: ignore[attr-defined]  # sessions of this file have it

    return Notes()


def collect(session: type[Session[Any]] | ResourceServer, *script: Any, **settings: Any) -> list[Rollout]:
    """The rollouts of a model that follows a script."""
    env = session if isinstance(session, ResourceServer) else environment(session)
    model = ScriptedModel(*script)

    async def main() -> list[Rollout]:
        found = gym_core.collect(model=model, env=env, agent=LoopAgent(), **settings)
        return [rollout async for rollout in found]

    return asyncio.run(asyncio.wait_for(main(), 240))


def outputs(rollout: Rollout) -> list[Any]:
    return [item["output"] for item in rollout.response.output if item["type"] == "function_call_output"]


def at(where: Any, base: type[MCPSession] = NotesSession, **settings: Any) -> type[MCPSession]:
    """A session class for a server at another place."""
    return type("There", (base,), {"where": where, **settings})


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


# A child process for each rollout


@pytest.mark.slow
def test_the_tools_of_a_server_are_the_tools_of_a_session() -> None:
    calls = [
        [call("add", by=2), call("add", by=3)],
        [call("show"), call("state"), call("whoami")],
        [call("refuse"), call("add", by="much"), call("deny"), call("odd_name"), call("nothing")],
        [call("add", by=1, id="c9") | {"arguments": "{"}, call("add") | {"arguments": "[]"}],
        "Done.",
    ]
    first, second = collect(NotesSession, *calls, repeats=2)
    for rollout in (first, second):
        assert (rollout.status, rollout.error) == (Status.COMPLETED, None)
        assert rollout.reward == 5  # each has a server of its own
        said = outputs(rollout)
        assert said[:2] == ["2", "5"]
        image = {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"}
        assert said[2] == [{"type": "input_text", "text": "5"}, image]
        assert json.loads(said[3]) == {"count": 5}
        assert said[4].endswith("['quiet'] from the session")
        errors = [json.loads(output)["error"] for output in said[5:]]
        assert errors[:4] == [
            "ToolError: refuse refused",
            "ToolError: `by` must be a number",
            "ToolError: no such note",
            "ToolError: odd.name refused",
        ]
        assert errors[4].startswith("there is no tool `nothing`; the tools are: add, show, state, ")
        assert rollout.row["rollout"]["tools"] == {
            "calls": 12,
            "errors": {"raised": 4, "unknown_tool": 1, "bad_json": 1, "bad_arguments": 1},
        }
    pids = {int(outputs(rollout)[4].split()[0]) for rollout in (first, second)}
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)


@pytest.mark.slow
def test_a_server_that_dies_fails_its_rollout_and_no_other() -> None:
    def turn(request: Any, context: Any) -> Any:
        return call("die") if context.key == ("t0", 0) else "Done."

    dead, alive = sorted(
        collect(environment(NotesSession, tasks=2), call("add", by=7), turn), key=lambda rollout: rollout.task_id
    )
    assert dead.status is Status.ENV_ERROR
    assert dead.error is not None
    assert dead.error["phase"] == "tool"
    assert "could not be asked for `die`" in dead.error["message"]
    assert "the disk is on fire" in dead.error["message"]
    assert (alive.status, alive.reward) == (Status.COMPLETED, 7)


@pytest.mark.slow
def test_a_server_that_never_answers_fails_its_rollout_in_time() -> None:
    (rollout,) = collect(at(CHILD, JudgedBlindly, call_timeout=0.5), call("stall"), "Done.")
    assert rollout.status is Status.ENV_ERROR
    assert rollout.error is not None
    assert "did not answer a call of `stall` within 0.5 s" in rollout.error["message"]


@pytest.mark.parametrize(
    ("server", "message"),
    [
        (StdioServer("no-such-program-of-mine"), "FileNotFoundError"),
        (StdioServer(sys.executable, ["-c", "raise SystemExit('no licence')"]), "it wrote: no licence"),
        (StdioServer(sys.executable, ["-c", WAIT]), "did not answer within 0.5 s"),
    ],
    ids=["missing", "ends", "silent"],
)
def test_a_server_that_does_not_start_is_an_error_of_the_environment(server: StdioServer, message: str) -> None:
    seconds = 0.5 if "within" in message else 60.0
    (rollout,) = collect(at(server, connect_timeout=seconds))
    assert rollout.status is Status.ENV_ERROR
    assert rollout.error is not None
    assert rollout.error["phase"] == "setup"
    assert message in rollout.error["message"]


# Which tools


class Chosen(NotesSession):
    """Two of the server's tools under other names, and one of its own."""

    tool_names = ("add", "odd.name")
    tool_prefix = "notes_"

    async def setup(self) -> Any:
        await super().setup()
        return [gym_core.user_message(f"The count is {await self.call_mcp_tool('add', {'by': 10})}.")]

    @tool
    def shout(self, text: str) -> str:
        """Say it louder."""
        return text.upper()


def test_a_session_chooses_among_the_tools_and_adds_its_own(notes_url: str) -> None:
    model = ScriptedModel(call("notes_add", by=1), call("shout", text="hi"), call("add", by=1), "Done.")

    async def main() -> list[Rollout]:
        env = environment(at(notes_url + NEW, Chosen))
        return [rollout async for rollout in gym_core.collect(model=model, env=env, agent=LoopAgent())]

    (rollout,) = asyncio.run(asyncio.wait_for(main(), 240))
    tools = model.requests[0].body["tools"]
    assert [tool["name"] for tool in tools] == ["notes_add", "notes_odd_name", "shout"]
    assert tools[0]["description"] == TOOLS["add"][0]
    assert tools[0]["parameters"] == TOOLS["add"][1]
    assert model.requests[0].input[-1]["content"].startswith("The count is ")
    assert outputs(rollout)[1] == "HI"
    assert "there is no tool `add`" in outputs(rollout)[2]


class Doubled(NotesSession):
    @tool
    def add(self) -> str:
        """Add."""
        return ""


@pytest.mark.parametrize(
    ("base", "names", "message"),
    [
        (NotesSession, ("add", "subtract"), "the MCP server has no tool `subtract`"),
        (Doubled, None, "have a tool `add`"),
    ],
    ids=["lacking", "double"],
)
def test_a_choice_that_cannot_be_made_is_an_error(
    notes_url: str, base: type[MCPSession], names: Any, message: str
) -> None:
    (rollout,) = collect(at(notes_url + NEW, base, tool_names=names))
    assert rollout.status is Status.ENV_ERROR
    assert message in str(rollout.error)


def test_a_setup_that_does_not_connect_is_told_so() -> None:
    class Forgetful(NotesSession):
        async def setup(self) -> None:
            return None

    (rollout,) = collect(Forgetful)
    assert "starts with super().setup()" in str(rollout.error)


# Over HTTP


@pytest.mark.parametrize("path", [OLD, NEW])
def test_a_server_over_http_is_used_by_either_protocol(notes: Notes, notes_url: str, path: str) -> None:
    before = len(notes.seen)
    rollouts = collect(at(notes_url + path, JudgedBlindly), call("add", by=1), call("show"), "Done.", repeats=3)
    assert [rollout.reward for rollout in rollouts] == [1.0] * 3
    assert all(len(outputs(rollout)[1]) == 2 for rollout in rollouts)
    farewells = notes.seen[before:].count(("DELETE", path))
    assert farewells == (3 if path == OLD else 0)  # a server that keeps a session is told that it is over


def test_headers_are_sent_and_a_refusal_is_passed_on(notes_url: str) -> None:
    (known,) = collect(
        at(HTTPServer(notes_url + PRIVATE, {"Authorization": KEY}), JudgedBlindly), call("show"), "Done."
    )
    assert known.reward == 1.0
    (unknown,) = collect(at(notes_url + PRIVATE))
    assert unknown.status is Status.ENV_ERROR
    assert "HTTP 401 who are you?" in str(unknown.error)


def test_nobody_listens(notes_url: str) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        (rollout,) = collect(at(f"http://user:hidden@127.0.0.1:{bound.getsockname()[1]}/mcp?key=hidden"))
    assert rollout.status is Status.ENV_ERROR
    assert "ConnectError" in str(rollout.error)
    assert "hidden" not in str(rollout.row)


def test_a_tool_that_runs_out_of_the_runs_time_is_cancelled(notes_url: str) -> None:
    from gym_core.spi import Deadlines

    for where in (notes_url + OLD, notes_url + NEW):
        (rollout,) = collect(at(where), call("stall"), "Done.", deadlines=Deadlines(tool=0.3))
        assert rollout.status is Status.TIMED_OUT


# One connection for all


@pytest.mark.slow
def test_an_environment_may_share_one_connection() -> None:
    def turn(request: Any, context: Any) -> Any:
        return call("die") if context.key == ("t2", 0) else "Done."

    session = at(CHILD, JudgedBlindly)
    rollouts = collect(environment(session, MCPResourceServer, tasks=4), call("whoami"), turn, concurrency=1)
    pids = [int(outputs(rollout)[0].split()[0]) for rollout in rollouts]
    assert [rollout.status.value for rollout in rollouts] == ["completed", "completed", "env_error", "completed"]
    assert pids[0] == pids[1] == pids[2] != pids[3]  # opened again after it broke
    assert all(gone(pid) for pid in pids)


def test_sessions_at_once_share_a_connection(notes_url: str) -> None:
    session = at(notes_url + OLD, JudgedBlindly)
    env = environment(session, MCPResourceServer, tasks=40)
    rollouts = collect(env, [call("add", by=1)] * 3, "Done.", concurrency=40)
    assert [rollout.status for rollout in rollouts] == [Status.COMPLETED] * 40
    assert len({output for rollout in rollouts for output in outputs(rollout)}) == 120


# Imports


def test_importing_the_classes_imports_no_client() -> None:
    code = "import sys, gym_mcp as m; [getattr(m, n) for n in m.__all__]; print({'mcp', 'httpx2'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "set()"
