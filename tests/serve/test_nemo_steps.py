"""A served environment that is played by `/reset` and `/step`, as NeMo Gym's `gymnasium_agent` does."""

from __future__ import annotations

from typing import Any

import pytest

from gym_core import Done, Trajectory, tool
from tests.serve.environments import Served, counter, serving
from tests.serve.test_nemo_routes import Rollout
from tests.support.envs import PlainSession, env, row
from tests.support.loop import asynchronous


def said(*items: Any, **fields: Any) -> dict[str, Any]:
    messages = [
        {"type": "message", "role": "assistant", "content": item} if isinstance(item, str) else item for item in items
    ]
    return {"response": {"output": messages, **fields}}


def calls(name: str, arguments: str = "{}", call_id: str = "c1") -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


class Player(Rollout):
    """A rollout of that agent."""

    @classmethod
    async def reset(cls, served: Served, task: dict[str, Any]) -> tuple[Player, dict[str, Any]]:
        answer = await served.ask("POST", "/reset", task)
        assert answer.status == 200, answer.body
        served.client.cookies.clear()
        return cls(served, task, answer.headers["set-cookie"].partition(";")[0].partition("=")[2]), answer.body

    async def step(self, *items: Any, **fields: Any) -> Any:
        answer = await self.post("/step", {**self.task, **said(*items, **fields)})
        assert answer.status == 200, answer.body
        return answer.body


@asynchronous
async def test_openings_and_replies_are_observations_and_the_verdict_comes_last() -> None:
    async with serving(counter()) as served:
        player, begun = await Player.reset(served, row(start=3, observed=True))
        assert begun == {"observation": "Begin.", "info": {"supports_explicit_close": True}}
        called = await player.step(calls("add", '{"by": 5}'), calls("add", "{by", "c2"))
        assert (called["reward"], called["terminated"], called["truncated"]) == (0.0, False, False)
        first, second = called["info"]["tool_outputs"]
        assert first == {"call_id": "c1", "output": "8"}
        assert "not valid JSON" in second["output"]
        assert (await player.step("hello"))["observation"] == "You said hello."
        over = await player.step("bye")
        assert (over["terminated"], over["truncated"], over["info"]["stop_reason"]) == (True, False, "bye")
        assert over["reward"] == 16.0, "8, and the eight items that it judges"
        assert (await player.post("/step", {**player.task, **said("again")})).status == 410
        assert (await player.post("/close", {})).status == 200


class Judging(PlainSession):
    """Rewards the number of items that it judges, and keeps why it ended."""

    def verify(self, trajectory: Trajectory) -> Any:
        return float(len(trajectory.items))

    @tool
    def reset(self) -> Done:
        """A tool with the name of a route."""
        return Done("over", "won")


@asynchronous
async def test_a_rollout_that_is_cut_is_judged_and_truncated() -> None:
    async with serving(env(Judging), max_steps=2) as served:
        player, begun = await Player.reset(served, row())
        assert begun["observation"] is None
        cut = await player.step("half", status="incomplete", incomplete_details={"reason": "max_output_tokens"})
        assert (cut["truncated"], cut["terminated"], cut["reward"]) == (True, False, 1.0)
        player, _ = await Player.reset(served, row())
        assert (await player.step(calls("nothing")))["info"]["tool_outputs"][0]["call_id"] == "c1"
        last = await player.step(calls("nothing"))
        assert (last["truncated"], last["reward"], last["info"]["stop_reason"]) == (True, 4.0, "max_turns")


@asynchronous
async def test_names_of_routes_are_tools_in_a_session_that_was_seeded() -> None:
    async with serving(env(Judging)) as served:
        seeded = await Rollout.seed(served, row())
        assert (await seeded.post("/reset", {})).body == "over"
        player, _ = await Player.reset(served, row())
        won = await player.step(calls("reset"))
        assert (won["terminated"], won["info"]["stop_reason"], won["reward"]) == (True, "won", 2.0)


class Unjudged(PlainSession):
    def verify(self, trajectory: Trajectory) -> float:
        raise RuntimeError("the judge is down")


class Showing(PlainSession):
    def setup(self) -> Any:
        return [{"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,AA=="}]}]


@pytest.mark.parametrize("masks", [False, True])
@asynchronous
async def test_what_cannot_be_said_there_is_an_error_and_never_a_reward_of_0(masks: bool) -> None:
    async with serving(env(Unjudged), masks_failures=masks) as served:
        player, _ = await Player.reset(served, row())
        failed = await player.post("/step", {**player.task, **said("bye")})
        assert failed.status == 500
        assert "reward" not in failed.body
        assert (await player.post("/step", {**player.task, "response": 1})).status == 422
        assert (await player.post("/close", {})).status == 200
        assert (await served.ask("POST", "/step", said("x"))).status == 401
    async with serving(env(Showing)) as served:
        assert (await served.ask("POST", "/reset", row())).status == 501
