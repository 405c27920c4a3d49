"""A run whose agent is behind a URL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gym_core import (
    Agent,
    Done,
    Episode,
    Item,
    ModelBackend,
    ResourceServer,
    Response,
    Session,
    Stop,
    StopReason,
    Trajectory,
    UsageError,
    tool,
)
from gym_core.errors import AuthenticationError, BadRequestError, ContextLengthError, EpisodeOver, PolicyError
from gym_core.spi import Deadlines
from gym_http.protocol.errors import RemoteError
from gym_http.remote.agent import RemoteAgent
from tests.support.agents import FunctionAgent, LoopAgent
from tests.support.envs import ask, env
from tests.support.models import ScriptedModel, call, say
from tests.support.running import Ended, config, execute
from tests.support.served_agents import remote, served_agent, timeless

Result = TypeVar("Result")


def go(main: Coroutine[Any, Any, Result]) -> Result:
    return asyncio.run(asyncio.wait_for(main, 60))


class Desk(Session[Any]):
    """Tools that work, fail and end; an opening, and one reply."""

    concurrent_tools = True

    def setup(self) -> list[Item]:
        self.count = 0
        return [{"type": "message", "role": "user", "content": "Begin."}]

    @tool
    async def slow(self, by: int) -> int:
        """Add to the counter, the larger the later."""
        for _ in range(by):
            await asyncio.sleep(0)
        self.count += by
        return self.count

    @tool
    def fails(self) -> str:
        """Fail."""
        raise ValueError("out of order")

    @tool
    def end(self) -> Done:
        """End it."""
        return Done("bye", reason="ended")

    def reply(self, response: Response) -> list[Item] | Done:
        if self.count < 100:
            self.count = 100
            return [{"type": "message", "role": "user", "content": "Go on."}]
        return Done()

    def verify(self, trajectory: Trajectory) -> float:
        return self.count / 1000


async def both(
    model: Any, agent: Agent, session: type[Session[Any]] = Desk, tasks: int = 2, **settings: Any
) -> tuple[Ended, Ended]:
    """The same run with its agent in process, and behind a URL."""
    here = await execute(config(model(), env(session, tasks), agent, **settings))
    async with served_agent(agent) as server:
        there = await execute(config(model(), env(session, tasks), remote(server.url), **settings))
        assert server.episodes.running == 0
    return here, there


def rows(ended: Ended) -> list[dict[str, Any]]:
    return sorted(
        (timeless(rollout.row) for rollout in ended.rollouts),
        key=lambda row: (row["task_id"], row["rollout"]["repeat"]),
    )


REASONING: Item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}


def talkative() -> ModelBackend:
    return ScriptedModel(
        [REASONING, call("slow", {"by": 5}, "a"), call("slow", {"by": 1}, "b"), call("slow", "{", "c")],
        [call("fails", {}, "d"), call("what/ever?#", {}, "e")],
        "well",
        [say("so"), call("slow", {"by": 2}, "f")],
        "done",
    )


class Forgetful(LoopAgent):
    """Leaves items out, puts them in another order, adds its own, and names its actors and parameters."""

    async def run(self, episode: Episode) -> Stop:
        items = list(episode.request.input)
        first = await episode.actor("planner").respond(items, temperature=0.5)
        answers = await episode.call_tools(first.function_calls)
        kept = [item for item in first.output if item["type"] != "reasoning"]
        note = {"type": "message", "role": "user", "content": "A note of my own: ä €"}
        second = await episode.actor("worker ä").respond([items[-1], *kept, *answers, note], tools=[])
        third = await episode.respond([note, *items, *kept, *answers, note, *second.output])
        return Stop(third.stop_reason)


@pytest.mark.parametrize("agent", [LoopAgent, Forgetful])
def test_rows_are_those_of_a_run_in_process(agent: type[Agent]) -> None:
    async def main() -> None:
        here, there = await both(talkative, agent(), concurrency=4, repeats=2, seed=3)
        assert rows(there) == rows(here)
        assert there.statuses() == ["completed"] * 4

    go(main())


def failing(error: BaseException) -> Any:
    return lambda: ScriptedModel(call("slow", {"by": 1}), error)


@pytest.mark.parametrize(
    "error",
    [
        ContextLengthError("too long", status=400),
        PolicyError("not that", status=400),
        BadRequestError("what?", status=400),
        RuntimeError("a defect"),
    ],
)
def test_errors_of_the_model_keep_their_class(error: Exception) -> None:
    async def main() -> None:
        here, there = await both(failing(error), LoopAgent())
        assert rows(there) == rows(here)

    go(main())


def test_a_fatal_error_of_the_model_stops_the_run() -> None:
    async def main() -> None:
        here, there = await both(failing(AuthenticationError("no key", status=401)), LoopAgent(), tasks=20)
        assert here.error is not None
        assert type(there.error) is type(here.error)
        assert str(there.error) == str(here.error)
        assert set(there.statuses()) == {"cancelled"}

    go(main())


def test_a_session_that_ends_the_episode_ends_it() -> None:
    over: list[str] = []

    class Stubborn(LoopAgent):
        async def run(self, episode: Episode) -> Stop:
            first = await episode.respond(episode.request.input)
            await episode.call_tool(first.function_calls[0])
            try:
                await episode.respond(episode.request.input)
            except EpisodeOver as error:
                over.append(str(error))
                raise
            return Stop(StopReason.COMPLETED, "never")

    async def main() -> None:
        here, there = await both(lambda: ScriptedModel(call("end")), Stubborn())
        assert rows(there) == rows(here)
        assert {rollout.stop_reason for rollout in there.rollouts} == {"ended"}
        assert len(over) == 4

    go(main())


def test_the_failures_of_the_session_are_its_own() -> None:
    class Broken(Desk):
        def reply(self, response: Response) -> Any:
            raise KeyError("nothing there")

    async def main() -> None:
        here, there = await both(lambda: ScriptedModel("hm"), LoopAgent(), Broken)
        assert rows(there) == rows(here)
        assert there.statuses() == ["env_error"] * 2

    go(main())


def test_an_environment_that_is_lost_meanwhile_is_not_blamed_on_the_agent() -> None:
    class Lost(Desk):
        @tool
        def ask(self) -> str:
            """Ask a server that is gone."""
            raise RemoteError("nobody answers", code="unreachable")

    async def main() -> None:
        here, there = await both(lambda: ScriptedModel(call("ask")), LoopAgent(), Lost)
        assert rows(there) == rows(here)
        assert there.statuses() == ["env_error"] * 2

    go(main())


def test_an_agent_that_fails_is_an_agent_error_and_others_go_on() -> None:
    async def fail_some(episode: Episode) -> Stop:
        response = await episode.respond(episode.request.input)
        if "Task 1." in str(episode.request.input):
            raise ZeroDivisionError("a defect of the agent")
        return Stop(response.stop_reason)

    async def main() -> None:
        async with served_agent(FunctionAgent(fail_some)) as server:
            ended = await execute(config(None, env(tasks=3), remote(server.url)))
        failed = [rollout for rollout in ended.rollouts if rollout.reward is None]
        assert sorted(ended.statuses()) == ["agent_error", "completed", "completed"]
        (only,) = failed
        assert only.error is not None
        assert "ZeroDivisionError: a defect of the agent" in only.error["message"]
        assert only.error["phase"] == "agent"
        assert only.model_calls  # what was recorded until then

    go(main())


def test_cancelling_a_rollout_cancels_the_agent_and_its_model_call() -> None:
    async def main() -> None:
        asked, model_cancelled, agent_ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def never(request: Any, context: Any) -> str:
            asked.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                model_cancelled.set()
                raise
            return "never"

        async def wait(episode: Episode) -> Stop:
            try:
                await episode.respond(episode.request.input)
                await asyncio.Event().wait()
            finally:
                agent_ended.set()
            return Stop(StopReason.COMPLETED, "never")

        async with served_agent(FunctionAgent(wait)) as server:
            running = asyncio.create_task(execute(config(ScriptedModel(never), env(), remote(server.url))))
            await asked.wait()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            await model_cancelled.wait()
            await agent_ended.wait()

    go(main())


def test_a_rollout_deadline_ends_the_agent_too() -> None:
    async def main() -> None:
        cancelled = asyncio.Event()

        async def hang(episode: Episode) -> Stop:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
            return Stop(StopReason.COMPLETED, "never")

        async with served_agent(FunctionAgent(hang)) as server:
            wanted = config(None, env(), remote(server.url), deadlines=Deadlines(rollout=0.2))
            ended = await execute(wanted)
            await cancelled.wait()
        assert ended.statuses() == ["timed_out"]

    go(main())


def test_a_tool_that_takes_too_long_is_the_same() -> None:
    class Hanging(Desk):
        @tool
        async def hang(self) -> str:
            """Hang."""
            await asyncio.Event().wait()
            return ""

    async def main() -> None:
        here, there = await both(
            lambda: ScriptedModel(call("hang")), LoopAgent(), Hanging, deadlines=Deadlines(tool=0.1)
        )
        assert rows(there) == rows(here)
        assert there.statuses() == ["timed_out"] * 2

    go(main())


def test_a_budget_stops_the_run_as_ever() -> None:
    async def main() -> None:
        model = partial(ScriptedModel, call("slow", {"by": 1}), "x", "y")
        here, there = await both(model, LoopAgent(), tasks=6, max_tokens=1, concurrency=1)
        assert type(there.error) is type(here.error)
        assert there.statuses() == here.statuses()
        assert [rollout.stop_reason for rollout in there.rollouts] == ["budget"]

    go(main())


def test_work_that_outlives_the_answer_is_ended() -> None:
    """An agent that answers while a call of its own is under way leaves nothing behind."""

    async def main() -> None:
        asked, cancelled = asyncio.Event(), asyncio.Event()

        async def never(request: Any, context: Any) -> str:
            asked.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
            return "never"

        orphans: list[asyncio.Task[Any]] = []

        async def leave(episode: Episode) -> Stop:
            orphans.append(asyncio.create_task(episode.respond(episode.request.input)))
            await asked.wait()
            return Stop(StopReason.COMPLETED)

        async with served_agent(FunctionAgent(leave)) as server:
            ended = await execute(config(ScriptedModel(never), env(), remote(server.url)))
            assert ended.statuses() == ["completed"]
            assert cancelled.is_set()
            (orphan,) = orphans
            with pytest.raises(Exception, match=r"over|broke"):
                await orphan

    go(main())


def test_a_server_that_goes_away_hits_the_rollouts_it_had() -> None:
    async def main() -> None:
        begun, all_begun = [], asyncio.Event()

        async def stay(episode: Episode) -> Stop:
            begun.append(episode)
            if len(begun) == 3:
                all_begun.set()
            await asyncio.Event().wait()
            return Stop(StopReason.COMPLETED, "never")

        async with served_agent(FunctionAgent(stay)) as server:
            wanted = config(None, env(tasks=3), remote(server.url, wait=0.0), concurrency=3)
            running = asyncio.create_task(execute(wanted))
            await all_begun.wait()
        ended = await running
        assert ended.statuses() == ["agent_error"] * 3
        assert ended.error is None
        assert all(rollout.error and rollout.error["class"] == "RemoteError" for rollout in ended.rollouts)

    go(main())


@asynccontextmanager
async def known(folder: Path, **options: Any) -> AsyncIterator[RemoteAgent]:
    """An open agent whose server has gone since."""
    async with AsyncExitStack() as stack:
        async with served_agent(LoopAgent(), uds=f"{folder}/a"):
            agent = await stack.enter_async_context(remote(f"unix:{folder}/a", **options))
        yield agent


def test_a_server_that_is_gone_for_good_stops_the_run(short_folder: Path) -> None:
    async def main() -> None:
        async with known(short_folder, wait=0.0) as agent:
            ended = await execute(config(None, env(tasks=50), FunctionAgent(agent.run), concurrency=2))
        assert ended.error is not None
        assert "the agent is gone" in str(ended.error)
        assert set(ended.statuses()) == {"cancelled"}  # and so they run again when the run is resumed
        assert len(ended.rollouts) < 10

    go(main())


def test_a_server_that_comes_back_in_time_gets_the_rollouts(short_folder: Path) -> None:
    async def main() -> None:
        async with known(short_folder) as agent:
            running = asyncio.create_task(execute(config(None, env(tasks=3), FunctionAgent(agent.run))))
            await asyncio.sleep(0)
            async with served_agent(LoopAgent(), uds=f"{short_folder}/a"):
                ended = await running
        assert ended.statuses() == ["completed"] * 3

    go(main())


def test_a_socket_file_and_a_token(short_folder: Path) -> None:
    async def main() -> None:
        async with served_agent(LoopAgent(), uds=f"{short_folder}/a", token="s3cret") as server:
            ended = await execute(config(None, env(), remote(server.url, token="s3cret")))
            assert ended.statuses() == ["completed"]
            with pytest.raises(UsageError, match="token"):
                await execute(config(None, env(), remote(server.url)))

    go(main())


@pytest.mark.slow
def test_many_episodes_at_once() -> None:
    async def main() -> None:
        async with served_agent(LoopAgent()) as server:
            ended = await execute(
                config(
                    ScriptedModel(call("slow", {"by": 1}), "x", "y"),
                    env(Desk, 300),
                    remote(server.url),
                    concurrency=300,
                )
            )
        assert ended.statuses() == ["completed"] * 300

    go(main())


def test_the_model_and_the_environment_are_still_wanted() -> None:
    from gym_core.spi import run_config

    async def main() -> None:
        async with served_agent(LoopAgent()) as server:
            with pytest.raises(UsageError, match="a run needs a model"):
                await execute(run_config(agent=remote(server.url), tasks=[ask()]))
            server_env: ResourceServer = env()
            with pytest.raises(UsageError, match="a run needs a model"):
                await execute(run_config(agent=remote(server.url), env=server_env))

    go(main())


def test_something_else_than_an_agent_is_said() -> None:
    from gym_http.serve.application import build
    from gym_http.serve.listener import Listener
    from gym_http.serve.settings import ServeSettings

    async def main() -> None:
        about = {"name": "m", "gym_core": "0", "capabilities": {}}
        async with Listener(build("model", [], settings=ServeSettings(), describe=about)) as listener:
            with pytest.raises(UsageError, match="serves a model"):
                async with remote(listener.url):
                    pass

    go(main())
