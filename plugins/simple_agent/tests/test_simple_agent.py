"""The loop, driven by an episode whose model follows a script."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Unpack

import pytest
from pydantic import ValidationError

from gym_core import (
    Actor,
    Endpoint,
    Episode,
    FunctionCallOutput,
    Item,
    Request,
    Response,
    Sampling,
    Sandbox,
    Stop,
    StopReason,
    errors,
    responses,
)
from gym_simple_agent import gym_agents

SimpleAgent = gym_agents()["simple_agent"]


class ScriptedEpisode:
    """Answers with the responses it was given, and writes down what it was asked."""

    name = role = "policy"

    def __init__(self, *script: Response | Exception, replies: Sequence[Sequence[Item]] = ()) -> None:
        self.script = iter(script)
        self.replies = iter(replies)
        self.asked: list[list[Item]] = []
        self.batches: list[list[str]] = []
        self.replied_to: list[Response] = []
        self.request = Request.ask("Add it up.")
        self.tools: Sequence[Mapping[str, Any]] = ()

    async def respond(self, items: Sequence[Item], **sampling: Unpack[Sampling]) -> Response:
        self.asked.append(list(items))
        answer = next(self.script)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def call_tool(self, call: Mapping[str, Any]) -> FunctionCallOutput:
        return (await self.call_tools([call]))[0]

    async def call_tools(self, calls: Sequence[Mapping[str, Any]]) -> list[FunctionCallOutput]:
        self.batches.append([call["call_id"] for call in calls])
        return [responses.function_call_output(call["call_id"], "done") for call in calls]

    async def reply(self, response: Response) -> Sequence[Item]:
        self.replied_to.append(response)
        return next(self.replies, ())

    @property
    def sandboxes(self) -> Mapping[str, Sandbox]:
        return {}

    def actor(self, name: str, role: str = "policy") -> Actor:
        raise AssertionError("it has no others")

    def endpoint(self, actor: str = "policy") -> AbstractAsyncContextManager[Endpoint]:
        raise AssertionError("it starts no program")


def call(call_id: str, **arguments: Any) -> Item:
    return {"type": "function_call", "call_id": call_id, "name": "add", "arguments": json.dumps(arguments)}


def message(text: str) -> Item:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}


def response(*output: Item, **fields: Any) -> Response:
    return Response({"status": "completed", "output": list(output), **fields})


def cut(*output: Item, reason: str = "max_output_tokens") -> Response:
    return response(*output, status="incomplete", incomplete_details={"reason": reason})


def run(episode: ScriptedEpisode, **options: Any) -> Stop:
    as_episode: Episode = episode
    agent = SimpleAgent(SimpleAgent.Options(**options))
    return asyncio.run(agent.run(as_episode))


def test_an_answer_ends_the_rollout() -> None:
    episode = ScriptedEpisode(response(message("42")))
    assert run(episode).reason == "completed"
    assert episode.asked == [[responses.user_message("Add it up.")]]
    assert not episode.batches


def test_calls_are_run_together_and_the_model_sees_everything() -> None:
    thought: Item = {"type": "reasoning", "summary": [], "encrypted_content": "x"}
    first = response(thought, call("a", x=1), call("b", x=2))
    episode = ScriptedEpisode(first, response(call("c", x=3)), response(message("6")))
    assert run(episode).reason == "completed"
    assert episode.batches == [["a", "b"], ["c"]]
    assert episode.asked[2] == [
        *episode.request.input,
        *first.output,
        responses.function_call_output("a", "done"),
        responses.function_call_output("b", "done"),
        call("c", x=3),
        responses.function_call_output("c", "done"),
    ]


def test_a_reply_of_the_environment_goes_on() -> None:
    replies = [[responses.user_message("And now?")]]
    episode = ScriptedEpisode(response(message("1")), response(message("2")), replies=replies)
    assert run(episode).reason == "completed"
    assert episode.asked[1][1:] == [message("1"), responses.user_message("And now?")]


def test_a_response_with_calls_is_not_replied_to() -> None:
    episode = ScriptedEpisode(response(message("Let me see."), call("a")), response(message("1")))
    run(episode)
    assert [spoken.output_text for spoken in episode.replied_to] == ["1"]


@pytest.mark.parametrize(
    ("last", "stop_reason"),
    [
        (response(), "empty"),
        (response(message("")), "empty"),
        (response({"type": "reasoning", "summary": []}), "reasoning_only"),
        (cut(message("The answer is")), "max_output_tokens"),
        (cut(message("The"), reason="content_filter"), "content_filter"),
    ],
)
def test_what_is_no_answer_ends_with_its_own_stop_reason(last: Response, stop_reason: str) -> None:
    episode = ScriptedEpisode(last, replies=[[responses.user_message("Go on.")]])
    assert run(episode).reason == stop_reason
    assert not episode.replied_to


def test_no_call_of_a_cut_response_is_run() -> None:
    half: Item = {**call("b"), "arguments": '{"x": 1', "status": "incomplete"}
    episode = ScriptedEpisode(cut(call("a", x=1), half))
    assert run(episode).reason == "max_output_tokens"
    assert not episode.batches
    assert "max_output_tokens" in responses.TRUNCATING


def test_a_refusal_is_an_answer() -> None:
    refusal: Item = {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
    episode = ScriptedEpisode(response(refusal))
    assert run(episode).reason == "refusal"
    assert episode.replied_to


def test_the_number_of_turns_is_bounded() -> None:
    episode = ScriptedEpisode(*(response(call(str(turn))) for turn in range(9)))
    assert run(episode, max_turns=3).reason == "max_turns"
    assert len(episode.asked) == 3
    assert episode.batches == [["0"], ["1"], ["2"]]


def test_the_end_of_the_episode_passes_through() -> None:
    episode = ScriptedEpisode(response(call("a")), errors.EpisodeOver("done"))
    with pytest.raises(errors.EpisodeOver):
        run(episode)


def test_the_conversation_of_the_task_is_left_alone() -> None:
    episode = ScriptedEpisode(response(call("a")), response(message("1")))
    run(episode)
    assert episode.request.input == [responses.user_message("Add it up.")]


@pytest.mark.parametrize("bad", [0, -1, "many"])
def test_a_wrong_number_of_turns_is_refused(bad: object) -> None:
    with pytest.raises(ValidationError, match="max_turns"):
        SimpleAgent.Options.model_validate({"max_turns": bad})


def test_twenty_turns_and_tools_that_are_run_by_default() -> None:
    assert SimpleAgent.Options().model_dump() == {"max_turns": 20, "run_tools": True}


def test_calls_that_are_not_to_be_run_are_the_answer() -> None:
    episode = ScriptedEpisode(Response({"output": [call("a", x=1), call("b", x=2)], "status": "completed"}))
    agent = SimpleAgent(SimpleAgent.Options.model_validate({"run_tools": False}))
    assert asyncio.run(agent.run(episode)) == Stop(StopReason.COMPLETED, "2 tool calls were left unexecuted")
    assert (episode.batches, episode.replied_to) == ([], [])
