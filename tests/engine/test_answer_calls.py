"""Sessions that see a whole response before its tool calls run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gym_core import Done, ResourceServer, Response, Session, Status, Trajectory, tool
from gym_testing import Served
from tests.support.agents import LoopAgent
from tests.support.envs import ask, env
from tests.support.models import ScriptedModel, call
from tests.support.running import config, execute, rollout


class Stepping(Session[Any]):
    """Answers moves all at once, and lets looks run."""

    def setup(self) -> None:
        self.seen: list[list[str]] = []

    def answer_calls(self, response: Response) -> Sequence[Any] | None:
        names = [one["name"] for one in response.function_calls]
        self.seen.append(names)
        if "look" in names:
            return None
        if self.task.get("short"):
            return ["one"]
        total = len(names)
        return [Done("home") if name == "stop" else {"moved": total} for name in names]

    @tool
    def move(self, by: int) -> str:
        """Move."""
        raise AssertionError("a step has answered it")

    @tool
    def look(self) -> str:
        """Look."""
        return f"seen {len(self.seen)}"

    @tool
    def stop(self) -> str:
        """Stop."""
        raise AssertionError("a step has answered it")

    def verify(self, trajectory: Trajectory) -> float:
        return len(self.seen) / 10


MOVES = [call("move", {"by": 1}, "a"), call("move", {"by": 1}, "a")]


def outputs(items: Sequence[Any]) -> list[str]:
    return [item["output"] for item in items if item["type"] == "function_call_output"]


def test_it_answers_all_calls_of_a_response_or_lets_them_run() -> None:
    ended = rollout(ScriptedModel(MOVES, [call("look", {})], [call("stop", {})], "done"), Stepping)
    assert ended.error is None
    assert outputs(ended.response.output) == ['{"moved":2}', '{"moved":2}', "seen 2", "home"]
    assert ended.reward == 0.3
    assert ended.row["rollout"]["tools"] == {"calls": 4, "errors": {}}
    assert ended.row["rollout"]["stop_reason"] == "session_done"


def test_calls_that_are_not_run_are_not_seen() -> None:
    class Leaving(LoopAgent):
        async def run(self, episode: Any) -> Any:
            response = await episode.respond(episode.request.input)
            return type(self).stop(response)

        @staticmethod
        def stop(response: Response) -> Any:
            from gym_core import Stop

            return Stop(response.stop_reason)

    ended = rollout(ScriptedModel(MOVES), Stepping, Leaving())
    assert ended.reward == 0.0
    assert [one.output for one in ended.trajectory.tool_calls] == [None, None]


def test_answers_of_another_number_are_the_failure_of_the_environment() -> None:
    ended = rollout(ScriptedModel(MOVES), Stepping, task=ask(short=True))
    assert ended.status is Status.ENV_ERROR
    assert "`answer_calls` returned 1 answers for 2 calls" in (ended.error or {})["message"]


def test_it_is_the_same_over_http() -> None:
    async def main() -> None:
        script = MOVES, [call("look", {})], [call("stop", {})], "done"
        async with Served(env(Stepping)) as server, server.remote() as there:
            ended = (await execute(config(ScriptedModel(*script), there, tasks=[ask()]))).rollouts[0]
        assert outputs(ended.response.output) == ['{"moved":2}', '{"moved":2}', "seen 2", "home"]
        assert (ended.reward, ended.row["rollout"]["stop_reason"]) == (0.3, "session_done")

    asyncio.run(main())


def test_it_is_verified_again(tmp_path: Path) -> None:
    from gym_results.rescoring import open_rescore

    class Server(ResourceServer):
        """Steps."""

        session_type = Stepping

        def tasks(self) -> Any:
            return [ask()]

    async def main() -> list[Any]:
        file = tmp_path / "x.jsonl"
        again: list[Any] = []
        await execute(config(ScriptedModel(MOVES, [call("look", {})], "done"), Server(), output=file))
        async with open_rescore(file, env=Server()) as run:
            await run.execute(again.append)
        return again

    (ended,) = asyncio.run(main())
    assert ended.error is None
    assert ended.reward == 0.2
