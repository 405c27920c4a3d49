"""Actors: sub-agents, opponents and users, with conversations and tool calls of their own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gym_core import (
    Actor,
    Done,
    Episode,
    Item,
    Response,
    Status,
    Task,
    Trajectory,
    UsageError,
    Verdict,
    tool,
    user_message,
)
from gym_core.errors import EpisodeOver
from tests.support.agents import FunctionAgent
from tests.support.envs import PlainSession, env
from tests.support.models import ScriptedModel, call, say
from tests.support.rescoring import again, rescore
from tests.support.running import gave, items_of, rollout, run, shown


class Notes(PlainSession):
    """Keeps notes, and counts who took them."""

    @tool
    def note(self, text: str) -> str:
        """Take a note."""
        return f"noted {text}"

    def verify(self, trajectory: Trajectory) -> Any:
        told = [[made.actor, made.name, made.output] for made in trajectory.tool_calls]
        helper = trajectory.of("helper")
        return Verdict(1.0, info={"calls": told, "helper": helper.output_text, "main": trajectory.output_text})


async def delegating(episode: Episode) -> str:
    """Has a helper look first, in a conversation of its own."""
    helper = episode.actor("helper")
    asked: list[Item] = [user_message("Look for me.")]
    for _ in range(2):
        answer = await helper.respond(asked)
        asked += [*answer.output, *await helper.call_tools(answer.function_calls)]
    items = [*episode.request.input, user_message(f"It was found: {answer.output_text}")]
    for _ in range(2):
        answer = await episode.respond(items)
        items += [*answer.output, *await episode.call_tools(answer.function_calls)]
    return "completed"


def delegated() -> ScriptedModel:
    return ScriptedModel(call("note", {"text": "a"}, "c1"), "helped", call("note", {"text": "b"}, "c1"), "done")


def test_a_sub_agent_has_a_conversation_and_tool_calls_of_its_own() -> None:
    ended = rollout(delegated(), Notes, FunctionAgent(delegating))
    assert [made["actor"] for made in ended.model_calls] == ["helper", "helper", "policy", "policy"]
    assert [made["continues"] for made in ended.model_calls] == [None, 0, None, 2]
    assert ended.info["calls"] == [["helper", "note", "noted a"], ["policy", "note", "noted b"]]
    assert (ended.info["helper"], ended.info["main"]) == ("helped", "done")
    assert [item.get("output") for item in ended.response.output] == [None, "noted b", None]
    others = ended.row["rollout"]["items"]
    assert [item["type"] for item in others] == [
        "message", "function_call", "function_call_output", "message", "message",
    ]  # fmt: skip
    helper = ended.trajectory.of("helper")
    assert helper.input == [user_message("Look for me.")]
    assert [item["type"] for item in helper.items] == ["function_call", "function_call_output", "message"]
    assert [made.output for made in helper.tool_calls] == ["noted a"]
    assert ended.trajectory.of("nobody").items == []


def test_what_a_sub_agent_did_is_done_again_before_a_new_verdict(tmp_path: Path) -> None:
    class Stateful(Notes):
        count = 0

        @tool
        def note(self, text: str) -> str:
            """Take a note."""
            self.count += 1
            return f"{self.count} {text}"

        def verify(self, trajectory: Trajectory) -> float:
            return float(self.count)

    run(delegated(), env(Stateful), FunctionAgent(delegating), output=tmp_path / "x.jsonl")
    rescore(tmp_path / "x.jsonl", Stateful)
    (row,) = again(tmp_path / "x.jsonl")
    assert row["reward"] == row["rollout"]["rescored"]["from"] == 2.0


def test_an_actor_of_the_policy_has_the_tasks_sampling_and_tools_alone() -> None:
    async def agent(episode: Episode) -> str:
        await episode.actor("helper").respond([user_message("Hi.")], top_p=0.5)
        await episode.actor("critic", "judge").respond([user_message("Good?")])
        assert episode.actor("helper").tools == episode.tools
        assert (episode.actor("critic", "judge").tools, episode.actor("critic", "judge").role) == ([], "judge")
        assert episode.actor("policy").name == episode.name == "policy"
        return "completed"

    policy, judge = ScriptedModel(), ScriptedModel()
    task = Task.ask("Hi.", instructions="Be brief.", params={"temperature": 0.25})
    ended = rollout({"policy": policy, "judge": judge}, Notes, FunctionAgent(agent), task=task)
    assert ended.error is None
    (body,) = [request.body for request in policy.requests]
    assert (body["temperature"], body["top_p"], len(body["tools"])) == (0.25, 0.5, 1)
    assert "instructions" not in body
    assert judge.requests[0].body == {"input": [user_message("Good?")]}
    assert [made.get("sampling") for made in ended.model_calls] == [{"top_p": 0.5}, None]
    assert [made["role"] for made in ended.model_calls] == ["policy", "judge"]


@pytest.mark.parametrize(
    ("name", "role", "words"), [("helper", "judge", "asks the model of the role `policy`"), ("x", "user", "user=REF")]
)
def test_an_actor_that_there_cannot_be(name: str, role: str, words: str) -> None:
    async def agent(episode: Episode) -> str:
        episode.actor("helper")
        with pytest.raises(UsageError, match=words):
            episode.actor(name, role)
        return "completed"

    ended = rollout({"policy": ScriptedModel(), "judge": ScriptedModel()}, agent=FunctionAgent(agent))
    assert ended.error is None


def test_an_actor_asks_nothing_after_the_end() -> None:
    kept: list[Actor] = []

    async def agent(episode: Episode) -> str:
        kept.append(episode.actor("helper"))
        return "completed"

    model = ScriptedModel()

    class Late(PlainSession):
        async def verify(self, trajectory: Trajectory) -> float:
            with pytest.raises(EpisodeOver):
                await kept[0].respond([user_message("One more?")])
            with pytest.raises(EpisodeOver):
                await kept[0].call_tools([call("note")])
            return 1.0

    assert rollout(model, Late, FunctionAgent(agent)).error is None
    assert not model.requests


def test_a_model_plays_the_user_in_a_few_lines() -> None:
    class Talk(PlainSession):
        roles = ("user",)

        async def reply(self, response: Response) -> list[Item] | Done:
            answer = await self.models["user"].respond(response.output_text, instructions="You want soup.")
            if "bye" in answer.output_text:
                return Done()
            return [user_message(answer.output_text)]

    ended = rollout({"policy": ScriptedModel("What?", "Soup."), "user": ScriptedModel("Soup!", "bye")}, Talk)
    assert [made["actor"] for made in ended.model_calls] == ["policy", "user", "policy", "user"]
    assert [reply["gave"] for reply in ended.row["rollout"]["replies"]] == [[[2, 3]], []]
    assert [item["content"] for item in ended.response.output if item["role"] == "user"] == ["Soup!"]


class Against(PlainSession):
    """The policy plays against itself."""

    async def reply(self, response: Response) -> list[Item] | Done:
        opponent = self.actor("opponent")
        answer = await opponent.respond([user_message(f"They say {response.output_text}.")], instructions="Win.")
        return Done() if answer.output_text == "7" else [user_message(answer.output_text)]

    def verify(self, trajectory: Trajectory) -> Verdict:
        return Verdict(0.25, rewards={"policy": 0.25, "opponent": 0.75})


def test_a_session_has_actors_of_its_own_and_rewards_for_them(tmp_path: Path) -> None:
    model = ScriptedModel("3", "5", "4", "7")
    ended = rollout(model, Against, task=Task.ask("Go.", params={"temperature": 0.5}))
    assert (ended.reward, ended.rewards) == (0.25, {"policy": 0.25, "opponent": 0.75})
    assert [made["actor"] for made in ended.model_calls] == ["policy", "opponent", "policy", "opponent"]
    assert [request.body["temperature"] for request in model.requests] == [0.5] * 4
    assert ended.model_calls[1]["sampling"] == {"instructions": "Win."}
    run(ScriptedModel("3", "5", "4", "7"), env(Against), output=tmp_path / "x.jsonl")
    rescore(tmp_path / "x.jsonl", Against)
    assert again(tmp_path / "x.jsonl")[0]["rollout"]["rewards"] == {"policy": 0.25, "opponent": 0.75}


@pytest.mark.parametrize(("name", "role"), [("policy", "policy"), ("", "policy"), ("x", "judge")])
def test_an_actor_that_a_session_cannot_have(name: str, role: str) -> None:
    class Asking(PlainSession):
        def verify(self, trajectory: Trajectory) -> float:
            with pytest.raises(UsageError):
                self.actor(name, role)
            return 1.0

    assert rollout(session=Asking).error is None


def test_a_session_carries_out_tool_calls_itself() -> None:
    class Calling(Notes):
        async def verify(self, trajectory: Trajectory) -> float:
            with pytest.raises(UsageError, match="are carried out by the session"):
                await self.actor("x").call_tools([call("note")])
            return 1.0

    assert rollout(session=Calling).error is None


@pytest.mark.parametrize("rewards", [{"a": "much"}, {1: 1.0}, [1.0]])
def test_rewards_are_numbers_by_actor(rewards: Any) -> None:
    class Odd(PlainSession):
        def verify(self, trajectory: Trajectory) -> Verdict:
            return Verdict(1.0, rewards=rewards)

    assert rollout(session=Odd).status is Status.VERIFIER_ERROR


def test_a_rollout_that_is_cut_off_keeps_its_tree() -> None:
    async def agent(episode: Episode) -> str:
        items = list(episode.request.input)
        first = await episode.respond(items)
        await episode.actor("helper").respond(items)
        await episode.respond([*items, *first.output, user_message("More.")])
        await asyncio.sleep(60)
        return "completed"

    ended = rollout(ScriptedModel("1", "2", "3"), agent=FunctionAgent(agent), rollout=0.1)
    assert ended.status is Status.TIMED_OUT
    assert [made["actor"] for made in ended.model_calls] == ["policy", "helper", "policy"]
    assert shown(ended, 2) == [*ended.trajectory.input, say("1"), user_message("More.")]
    assert gave(ended, 1) == [say("2")]
    assert len(items_of(ended)) == 5


def test_a_call_that_the_agent_made_up_is_an_item_of_its_own() -> None:
    async def agent(episode: Episode) -> str:
        answer = await episode.respond(episode.request.input)
        fixed = {**answer.function_calls[0], "arguments": '{"text": "fixed"}'}
        await episode.call_tools([fixed])
        return "completed"

    ended = rollout(ScriptedModel(call("note", "{", "c1")), Notes, FunctionAgent(agent))
    (made,) = ended.tool_calls
    items = items_of(ended)
    assert (items[made["call"]]["arguments"], items[made["output"]]["output"]) == ('{"text": "fixed"}', "noted fixed")
    assert ended.info["calls"] == [["policy", "note", None], ["policy", "note", "noted fixed"]]
    assert [item["call_id"] for item in ended.trajectory.unique_items] == ["c1", "c1"]
