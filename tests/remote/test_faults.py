"""Servers that are killed, restarted, full, silent or gone while a run works with them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from gym_core import Episode, Rollout, UsageError
from gym_core.errors import RunStopped
from gym_core.spi import RunConfig, open_run
from gym_http.protocol.wire import PROTOCOL
from gym_http.serve.listener import Listener
from tests.support.agents import FunctionAgent, LoopAgent
from tests.support.envs import env, row
from tests.support.forks import KILL, gym_program
from tests.support.models import ScriptedModel, call, say
from tests.support.running import Ended, config, execute
from tests.support.served_envs import in_loop, served

FIRST = 8
"""So many rollouts go through; the first model call of all others waits."""


class Gate:
    """Where rollouts wait with an open session, until it is opened."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.waiting = 0
        self._passed = 0

    async def first_turn(self, request: Any, context: Any) -> Any:
        """The first answer of a rollout."""
        if self._passed == FIRST:
            self.waiting += 1
            await self.opened.wait()
        else:
            self._passed += 1
        return call("submit")


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that other tasks of this loop bring about."""
    while not condition():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.01)


class Observed:
    """A run in a task of its own. `finished`: its rollouts so far."""

    def __init__(self, wanted: RunConfig) -> None:
        self.finished: list[Rollout] = []
        self._wanted = wanted
        self._task = asyncio.create_task(self._execute())

    async def _execute(self) -> Ended:
        async with open_run(self._wanted) as run:
            summary = await run.execute(self.finished.append)
        return Ended(self.finished, summary, run.error, run.notices)

    async def when(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition, for as long as the run goes on."""
        await until(lambda: condition() or self._task.done())
        if self._task.done():
            await self._task

    async def ended(self) -> Ended:
        """Its end."""
        return await self._task


class Process:
    """`gym serve --env` in a process of its own, on a socket file."""

    def __init__(self, socket: Path, reference: str) -> None:
        self._command = [str(gym_program()), "serve", "--uds", str(socket), "--env", reference]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and wait until it takes requests."""
        self._process = await asyncio.create_subprocess_exec(*self._command, stdout=asyncio.subprocess.PIPE)
        assert self._process.stdout is not None
        assert b"unix:" in await self._process.stdout.readline()

    async def kill(self) -> None:
        """End it as a crash does."""
        if self._process is not None:
            self._process.send_signal(KILL)
            await self._process.communicate()
            self._process = None


@asynccontextmanager
async def process(socket: Path) -> AsyncIterator[Process]:
    """A served environment of forty tasks with a tool `submit`."""
    made = Process(socket, "stateful_counter")
    try:
        await made.start()
        yield made
    finally:
        await made.kill()


def counted(ended: Ended) -> dict[str, int]:
    """How many rollouts ended how."""
    return {status: ended.statuses().count(status) for status in sorted(set(ended.statuses()))}


def settings(folder: Path, **more: Any) -> dict[str, Any]:
    return {"output": folder / "out.jsonl", "concurrency": FIRST, **more}


@pytest.mark.slow
def test_a_server_that_is_killed_and_restarted_costs_the_rollouts_that_it_held(short_folder: Path) -> None:
    async def main() -> None:
        socket = short_folder / "s"
        async with process(socket) as server:
            gate = Gate()
            model = ScriptedModel(gate.first_turn, say("Done."))
            run = Observed(config(model, f"unix:{socket}", LoopAgent(), **settings(short_folder)))
            await run.when(lambda: gate.waiting == FIRST)
            await server.kill()
            await server.start()
            gate.opened.set()
            ended = await run.ended()
            assert ended.error is None
            assert counted(ended) == {"completed": 32, "env_error": FIRST}
            lost = [rollout.error or {} for rollout in ended.rollouts if rollout.status == "env_error"]
            assert {error["class"] for error in lost} == {"RemoteError"}
            assert {error["phase"] for error in lost} == {"tool"}
            assert all("restarted" in error["message"] for error in lost)
            again = settings(short_folder, mode="resume", retry_failed=True)
            ended = await execute(config(ScriptedModel(say("Done.")), f"unix:{socket}", LoopAgent(), **again))
            assert counted(ended) == {"completed": FIRST}

    in_loop(main, 240)


@pytest.mark.slow
def test_a_server_that_is_gone_stops_the_run_which_can_be_resumed(short_folder: Path) -> None:
    async def main() -> None:
        socket = short_folder / "s"
        async with process(socket) as server:
            gate = Gate()
            model = ScriptedModel(gate.first_turn, say("Done."))
            options = {"env_options": {"wait": 0.2}}
            run = Observed(config(model, f"unix:{socket}", LoopAgent(), **settings(short_folder, **options)))
            await run.when(lambda: gate.waiting == FIRST)
            await server.kill()
            gate.opened.set()
            ended = await run.ended()
            assert isinstance(ended.error, RunStopped)
            assert "the environment is gone" in ended.error.message
            assert "--resume" in ended.error.hint
            ends = counted(ended)
            assert (ends["completed"], ends["env_error"]) == (FIRST, FIRST)
            assert sum(ends.values()) < 40, "the rest is left alone"
            await server.start()
            again = settings(short_folder, mode="resume", retry_failed=True, **options)
            ended = await execute(config(ScriptedModel(say("Done.")), f"unix:{socket}", LoopAgent(), **again))
            assert counted(ended) == {"completed": 40 - FIRST}

    in_loop(main, 240)


def test_openings_wait_for_a_server_that_comes_back(short_folder: Path) -> None:
    async def main() -> Ended:
        socket = str(short_folder / "s")
        gate = Gate()
        model = ScriptedModel(gate.first_turn, say("Done."))
        async with served("stateful_counter", uds=socket) as url:
            run = Observed(config(model, url, LoopAgent(), limit=24, concurrency=FIRST))
            await run.when(lambda: gate.waiting == FIRST)
        gate.opened.set()
        await run.when(lambda: len(run.finished) == 2 * FIRST)
        async with served("stateful_counter", uds=socket):
            return await run.ended()

    assert counted(in_loop(main)) == {"completed": 2 * FIRST, "env_error": FIRST}


def collect(url: str, *turns: Any, **more: Any) -> Awaitable[Ended]:
    return execute(config(ScriptedModel(*(turns or (say("Done."),))), url, LoopAgent(), **more))


def test_a_full_server_is_waited_for() -> None:
    async def main() -> Ended:
        async with served(env(tasks=4), max_sessions=3) as url:
            return await collect(url, concurrency=4)

    assert counted(in_loop(main)) == {"completed": 4}


def test_a_session_that_has_expired_is_an_error_of_the_environment() -> None:
    async def main() -> Ended:
        async with served("stateful_counter", session_life=1e-6) as url:
            return await collect(url, call("submit"), limit=1)

    ended = in_loop(main)
    error = ended.rollouts[0].error or {}
    assert (ended.statuses(), error["phase"]) == (["env_error"], "tool")
    assert "expired" in error["message"]


def test_a_verifier_that_cannot_be_reached_is_not_blamed() -> None:
    async def main() -> Ended:
        async with served(env(), session_life=1e-6) as url:
            answering = FunctionAgent(answer)
            return await execute(config(ScriptedModel(), url, answering))

    async def answer(episode: Episode) -> str:
        return (await episode.respond(episode.request.input)).stop_reason

    ended = in_loop(main)
    assert (ended.statuses(), (ended.rollouts[0].error or {})["phase"]) == (["env_error"], "verify")


class StandIn:
    """A server with one tool that answers a session's requests as a test wants."""

    def __init__(self, **answers: Callable[[], Awaitable[Response]]) -> None:
        self._answers = answers
        self.left = asyncio.Event()

    async def hang(self) -> Response:
        """Never answer."""
        await self.left.wait()
        return PlainTextResponse("too late")

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        about = {"protocol": PROTOCOL, "kind": "resource_server", "name": "stand-in", "capabilities": {}}
        answers: dict[str, Callable[[], Awaitable[Response]]] = {
            "component": lambda: _json(about),
            "open": lambda: _json(OPENED, 201),
            "tool": lambda: _json({"output": "fine"}),
            "reply": lambda: _json({"items": [], "done": {"reason": "session_done"}}),
            "verify": lambda: _json({"reward": 1.0}),
            "close": lambda: _json({}),
            "health": lambda: _json({}),
            **self._answers,
        }

        def route(path: str, name: str, method: str) -> Route:
            async def answer(request: Request) -> Response:
                return await answers[name]()

            return Route(path, answer, methods=[method])

        routes = [
            route("/v1/component", "component", "GET"),
            route("/v1/sessions", "open", "POST"),
            route("/v1/sessions/a/tools/submit", "tool", "POST"),
            route("/v1/sessions/a/reply", "reply", "POST"),
            route("/v1/sessions/a/verify", "verify", "POST"),
            route("/v1/sessions/a", "close", "DELETE"),
            route("/health", "health", "GET"),
        ]
        async with Listener(Starlette(routes=routes)) as listener:
            try:
                yield listener.url
            finally:
                self.left.set()


OPENED = {
    "id": "a",
    "token": "t",
    "tools": [{"type": "function", "name": "submit", "parameters": {}}],
    "capabilities": {"open_tools": False, "concurrent_tools": False, "judges_trajectory": False, "roles": []},
}


async def _json(body: Any, status: int = 200, **headers: str) -> Response:
    return JSONResponse(body, status, {name.replace("_", "-"): value for name, value in headers.items()})


def test_a_server_that_answers_nothing_any_more_has_stalled() -> None:
    async def main() -> Ended:
        silent = False

        async def tool() -> Response:
            nonlocal silent
            silent = True
            return await server.hang()

        async def health() -> Response:
            return await (server.hang() if silent else _json({}))

        server = StandIn(tool=tool, health=health)
        async with server.listening() as url:
            return await collect(url, call("submit"), tasks=[row()], env_options={"stall": 1.0})

    ended = in_loop(main)
    assert ended.statuses() == ["env_error"]
    assert (ended.rollouts[0].error or {})["phase"] == "tool"
    assert "has stalled" in (ended.rollouts[0].error or {})["message"]


def test_a_slow_tool_of_a_healthy_server_may_take_its_time() -> None:
    async def main() -> Ended:
        called, asked = asyncio.Event(), asyncio.Event()

        async def health() -> Response:
            if called.is_set():
                asked.set()
            return await _json({})

        async def tool() -> Response:
            called.set()
            await asked.wait()
            return await _json({"output": "at last"})

        async with StandIn(tool=tool, health=health).listening() as url:
            return await collect(url, call("submit"), say("Done."), tasks=[row()], env_options={"stall": 2.0})

    assert in_loop(main).statuses() == ["completed"]


def test_a_tool_call_is_sent_once() -> None:
    async def main() -> tuple[Ended, int]:
        calls = 0

        async def tool() -> Response:
            nonlocal calls
            calls += 1
            return await _json({"error": {"code": "draining", "message": "going down"}}, 503, Retry_After="0")

        async with StandIn(tool=tool).listening() as url:
            return await collect(url, call("submit"), tasks=[row()]), calls

    ended, calls = in_loop(main)
    assert (ended.statuses(), calls) == (["env_error"], 1)


async def full() -> Response:
    return await _json({"error": {"code": "too_many_sessions", "message": "full"}}, 429, Retry_After="0")


def test_an_opening_is_asked_for_again() -> None:
    async def main() -> Ended:
        refusals = iter(range(3))

        async def opening() -> Response:
            return await (_json(OPENED, 201) if next(refusals, None) is None else full())

        async with StandIn(open=opening).listening() as url:
            return await collect(url, tasks=[row()])

    assert in_loop(main).statuses() == ["completed"]


def test_an_opening_is_given_up_in_the_end() -> None:
    async def main() -> Ended:
        async with StandIn(open=full).listening() as url:
            return await collect(url, tasks=[row()], env_options={"wait": 0})

    ended = in_loop(main)
    assert ended.statuses() == ["env_error"]
    assert "--max-sessions" in (ended.rollouts[0].error or {})["message"]


@pytest.mark.parametrize(
    ("name", "body", "phase"),
    [
        ("open", {"id": "a"}, "setup"),
        ("open", ["a"], "setup"),
        ("tool", "text", "tool"),
        ("reply", {"items": "none"}, "reply"),
        ("verify", {"reward": "high"}, "verify"),
        ("verify", {}, "verify"),
    ],
)
def test_an_answer_that_is_none_fails_its_rollout_and_says_whose_it_was(name: str, body: Any, phase: str) -> None:
    async def main() -> Ended:
        async with StandIn(**{name: lambda: _json(body)}).listening() as url:
            return await collect(url, call("submit"), say("Done."), tasks=[row()])

    ended = in_loop(main)
    error = ended.rollouts[0].error or {}
    assert ended.statuses() == ["verifier_error" if phase == "verify" else "env_error"]
    assert (error["class"], error["phase"]) == ("RemoteError", phase)
    assert "127.0.0.1" in error["message"]


@pytest.mark.parametrize(
    ("about", "message", "hint"),
    [
        ({"protocol": PROTOCOL, "kind": "model", "name": "gpt"}, "serves a model, `gpt`", "--model http"),
        ({"protocol": PROTOCOL, "kind": "agent", "name": "loop"}, "serves an agent, `loop`", "--agent http"),
        ({"protocol": 99, "kind": "resource_server"}, "version 99", "both ends"),
        ({"hello": "world"}, "neither a server of gym nor one of NeMo Gym", "gym serve"),
        ("no JSON", "neither a server of gym nor one of NeMo Gym", "gym serve"),
    ],
)
def test_what_is_no_environment_is_said_to_be_what_it_is(about: Any, message: str, hint: str) -> None:
    async def main() -> None:
        async def component() -> Response:
            return PlainTextResponse(about) if isinstance(about, str) else await _json(about)

        async with StandIn(component=component).listening() as url:
            await collect(url, tasks=[row()])

    with pytest.raises(UsageError, match=message) as caught:
        in_loop(main)
    assert hint in caught.value.hint


@pytest.mark.parametrize(("status", "hint"), [(302, ""), (407, "HTTP_PROXY"), (500, ""), (511, "")])
def test_what_stands_before_an_environment_is_not_taken_for_it(status: int, hint: str) -> None:
    async def main() -> None:
        async def component() -> Response:
            return PlainTextResponse("Log in first.", status)

        async with StandIn(component=component).listening() as url:
            await collect(url, tasks=[row()])

    with pytest.raises(UsageError, match=f"answered {status}: Log in first") as caught:
        in_loop(main)
    assert hint in caught.value.hint


def test_an_agent_or_a_model_of_nemo_gym_is_recognised_by_its_routes() -> None:
    async def main(path: str) -> None:
        async def openapi(request: Request) -> Response:
            return JSONResponse({"paths": {path: {}}})

        async with Listener(Starlette(routes=[Route("/openapi.json", openapi)])) as listener:
            await collect(listener.url, tasks=[row()])

    for path, word in (("/run", "an agent of NeMo Gym"), ("/v1/responses", "a model of NeMo Gym")):
        with pytest.raises(UsageError, match=word):
            in_loop(lambda path=path: main(path))  # type: ignore[misc]


def test_nobody_at_the_url_is_said_before_anything_starts(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gym_http.remote.detect._FIRST_WAIT", 0.2)
    with pytest.raises(UsageError, match="nobody answers at unix:") as caught:
        in_loop(lambda: collect(f"unix:{short_folder / 'none'}", tasks=[row()]))
    assert "check that the server runs" in caught.value.hint
