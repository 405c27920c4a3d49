"""What an agent can do with an episode, and what its failures become."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import pytest

from gym_core import Agent, Done, Episode, Status, Stop, StopReason, Task, tool, user_message
from gym_core.errors import (
    BackendError,
    BadRequestError,
    BrokenReplyError,
    ContextLengthError,
    EpisodeOver,
    PolicyError,
)
from tests.support.agents import FunctionAgent
from tests.support.envs import PlainSession
from tests.support.models import ScriptedModel, call, response, say
from tests.support.running import rollout, shown


def worked(function: Any, model: Any = None, session: Any = PlainSession, **settings: Any) -> Any:
    return rollout(model, session, FunctionAgent(function), **settings)


def test_an_agent_that_raises_fails_its_rollout_with_what_was_recorded() -> None:
    async def agent(episode: Episode) -> str:
        await episode.respond(episode.request.input)
        raise KeyError("lost") from ValueError("the cause")

    ended = worked(agent)
    assert ended.status is Status.AGENT_ERROR
    assert ended.reward is None
    assert ended.error == {
        "class": "KeyError",
        "message": "'lost'",
        "phase": "agent",
        "retryable": False,
        "causes": ["ValueError: the cause"],
    }
    assert ended.response.output == [say("done")]
    assert len(ended.model_calls) == 1


@pytest.mark.parametrize("wrong", [None, 3, ["completed"], "completed", StopReason.COMPLETED])
def test_what_is_no_stop_is_the_agents_failure(wrong: Any) -> None:
    class Wrong(Agent):
        async def run(self, episode: Episode) -> Any:
            return wrong

    ended: Any = rollout(agent=Wrong())
    assert ended.status is Status.AGENT_ERROR
    assert ended.error["phase"] == "agent"
    assert ended.error["message"] == (
        f"the agent returned {wrong!r} and no Stop: `run` ends with `return Stop(StopReason.COMPLETED)`, or another of "
        f"{', '.join(StopReason)}"
    )


@pytest.mark.parametrize(("reason", "status"), [("completed", Status.COMPLETED), ("max_turns", Status.TRUNCATED)])
def test_what_an_agent_says_of_its_stop_is_kept(reason: str, status: Status) -> None:
    async def agent(episode: Episode) -> Stop:
        return Stop(StopReason(reason), "bored \ud800")

    ended = worked(agent)
    assert (ended.status, ended.stop_reason, ended.stop_detail) == (status, reason, "bored \ufffd")
    assert (type(ended.stop_reason), ended.reward) == (str, 1.0)


def test_a_misspelt_stop_reason_is_the_agents_failure_and_names_those_there_are() -> None:
    async def agent(episode: Episode) -> Stop:
        return Stop("max_turn")  # type: ignore[arg-type]

    error = worked(agent).error
    assert (error["class"], error["phase"]) == ("ValueError", "agent")
    assert error["message"] == (
        "'max_turn' is no stop reason (did you mean max_turns?); there are completed, incomplete, empty, "
        "reasoning_only, refusal, content_filter, max_output_tokens, max_turns, context_length, max_rollout_tokens"
    )


@pytest.mark.parametrize("detail", [5, b"bored", ["bored"]], ids=["number", "bytes", "list"])
def test_a_detail_that_is_no_text_is_the_agents_failure(detail: Any) -> None:
    async def agent(episode: Episode) -> Stop:
        return Stop(StopReason.COMPLETED, detail)

    assert "the detail of Stop must be text" in worked(agent).error["message"]


@pytest.mark.parametrize("reason", ["max_turns", "max_output_tokens", "context_length"])
def test_a_rollout_that_was_cut_is_truncated_and_verified(reason: str) -> None:
    async def agent(episode: Episode) -> str:
        return reason

    ended = worked(agent)
    assert (ended.status, ended.reward) == (Status.TRUNCATED, 1.0)


def test_an_agent_that_swallows_the_environments_error_does_not_undo_it() -> None:
    class Broken(PlainSession):
        def reply(self, response: Any) -> Any:
            raise RuntimeError("the world fell apart")

    asked_again: list[str] = []

    async def agent(episode: Episode) -> str:
        answer = await episode.respond(episode.request.input)
        with contextlib.suppress(Exception):
            await episode.reply(answer)
        try:
            await episode.respond(episode.request.input)
        except Exception as error:
            asked_again.append(str(error))
        return "completed"

    ended = worked(agent, session=Broken)
    assert ended.status is Status.ENV_ERROR
    assert ended.error["phase"] == "reply"
    assert ended.error["message"] == "the world fell apart"
    assert asked_again == ["the world fell apart"]


def test_a_model_error_that_the_agent_handles_is_no_failure() -> None:
    async def agent(episode: Episode) -> str:
        try:
            await episode.respond(episode.request.input)
        except BadRequestError:
            await episode.respond(episode.request.input, temperature=1)
        return "completed"

    ended = worked(agent, ScriptedModel(BadRequestError("no temperature"), "fine"))
    assert (ended.status, ended.reward, len(ended.model_calls)) == (Status.COMPLETED, 1.0, 1)


def test_after_the_session_has_ended_the_model_is_not_asked() -> None:
    class Ending(PlainSession):
        @tool
        def finish(self) -> Done:
            """Finish."""
            return Done()

    seen: list[BaseException] = []

    async def agent(episode: Episode) -> str:
        answer = await episode.respond(episode.request.input)
        await episode.call_tools(answer.function_calls)
        try:
            await episode.respond(episode.request.input)
        except EpisodeOver as over:
            seen.append(over)
        return "my own reason"

    model = ScriptedModel(call("finish"))
    ended = worked(agent, model, Ending)
    assert (ended.status, ended.stop_reason) == (Status.COMPLETED, "session_done")
    assert len(seen) == 1
    assert len(model.requests) == 1


def test_call_tool_runs_one_call() -> None:
    class Adding(PlainSession):
        @tool
        def add(self, a: int) -> int:
            """Add one."""
            return a + 1

    async def agent(episode: Episode) -> Stop:
        output = await episode.call_tool(call("add", {"a": 1}))
        return Stop(StopReason.COMPLETED, str(output["output"]))

    assert worked(agent, session=Adding).stop_detail == "2"


def test_neither_the_hidden_fields_nor_the_verifier_are_in_sight() -> None:
    async def agent(episode: Episode) -> str:
        names = [name for name in dir(episode) if not name.startswith("_")]
        assert names == [
            "actor", "call_tool", "call_tools", "endpoint", "name", "reply", "request", "respond", "role", "sandboxes",
            "tools",
        ]  # fmt: skip
        assert "answer" not in repr(episode.request)
        return "completed"

    ended = worked(agent, task=Task.ask("Hi.", answer="hidden"))
    assert ended.status is Status.COMPLETED, ended.error


def test_parameters_of_one_turn_go_over_the_rows_and_are_recorded() -> None:
    async def agent(episode: Episode) -> str:
        await episode.actor("planner").respond(episode.request.input, temperature=0.5)
        await episode.respond(episode.request.input)
        return "completed"

    model = ScriptedModel()
    ended = worked(agent, model, task=Task.ask("Hi.", params={"temperature": 1, "top_p": 0.9}))
    assert [request.body["temperature"] for request in model.requests] == [0.5, 1]
    assert model.requests[0].body["top_p"] == 0.9
    assert [(one["actor"], one.get("sampling")) for one in ended.model_calls] == [
        ("planner", {"temperature": 0.5}),
        ("policy", None),
    ]


def test_a_parameter_that_there_is_not_is_the_agents_failure_and_asks_nothing() -> None:
    async def agent(episode: Episode) -> str:
        await episode.respond(episode.request.input, extra={"top_k": 20})
        await episode.respond(episode.request.input, temprature=0.5)  # type: ignore[call-arg]
        return "completed"

    model = ScriptedModel()
    ended = worked(agent, model)
    assert ended.error["message"].startswith("there is no sampling parameter `temprature`; did you mean `temperature`?")
    assert (ended.status, ended.error["class"]) == (Status.AGENT_ERROR, "TypeError")
    assert [request.body["top_k"] for request in model.requests] == [20]


def test_changing_the_requests_list_does_not_change_the_recorded_conversation() -> None:
    async def agent(episode: Episode) -> str:
        items = episode.request.input
        await episode.respond(items)
        items.clear()
        items.append(user_message("another"))
        await episode.respond(items)
        return "completed"

    model = ScriptedModel()
    ended = worked(agent, model)
    assert shown(ended, 0)[0]["content"] == "Task 0."
    assert shown(ended, 1) == [user_message("another")]


def test_an_agent_that_copies_the_history_records_it_once() -> None:
    async def agent(episode: Episode) -> str:
        items = list(episode.request.input)
        for _ in range(3):
            answer = await episode.respond(copy.deepcopy(items))
            items += copy.deepcopy(answer.output)
        return "completed"

    ended = worked(agent, ScriptedModel("1", "2", "3"))
    assert ended.response.output == [say("1"), say("2"), say("3")]
    assert [(one["kept"], one["shown"]) for one in ended.model_calls] == [(0, [[0, 1]]), (2, []), (3, [])]


def test_context_length_truncates_and_verifies() -> None:
    ended = rollout(ScriptedModel(ContextLengthError("too long")))
    assert (ended.status, ended.stop_reason, ended.reward) == (Status.TRUNCATED, "context_length", 1.0)
    assert ended.error is None


def test_the_endpoints_content_policy_ends_the_rollout_with_its_stop_reason() -> None:
    ended = rollout(ScriptedModel(PolicyError("refused")))
    assert (ended.status, ended.stop_reason, ended.reward) == (Status.COMPLETED, "content_filter", 1.0)


@pytest.mark.parametrize(
    ("turn", "reason", "status"),
    [
        (response(), "empty", Status.COMPLETED),
        (response({"type": "reasoning", "summary": []}), "reasoning_only", Status.COMPLETED),
        (response(say("x"), status="incomplete"), "max_output_tokens", Status.TRUNCATED),
        (response(say("x"), status="incomplete", incomplete_details={"reason": "content_filter"}), "content_filter",
         Status.COMPLETED),
        (response({"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}),
         "refusal", Status.COMPLETED),
    ],
    ids=["empty", "reasoning", "cut", "filtered", "refusal"],
)  # fmt: skip
def test_the_models_stop_reason_reaches_the_row(turn: Any, reason: str, status: Status) -> None:
    ended = rollout(ScriptedModel(turn))
    assert (ended.stop_reason, ended.status) == (reason, status)


def test_a_refused_request_is_the_models_failure_with_its_http_status() -> None:
    ended = rollout(ScriptedModel(BadRequestError("temperature is not supported", status=400)))
    assert ended.status is Status.MODEL_ERROR
    assert ended.error == {
        "class": "BadRequestError",
        "message": "temperature is not supported",
        "phase": "model",
        "retryable": False,
        "http_status": 400,
    }


def test_a_retryable_error_says_so_when_its_attempts_are_used_up() -> None:
    ended = rollout(ScriptedModel(BrokenReplyError("no output")))
    assert ended.error is not None
    assert (ended.error["class"], ended.error["retryable"]) == ("BrokenReplyError", True)


@pytest.mark.parametrize("defect", [ZeroDivisionError("oops"), lambda request, context: None], ids=["raises", "none"])
def test_a_defect_of_the_backend_is_named_as_one(defect: Any) -> None:
    async def nothing(request: Any, context: Any) -> Any:
        return None

    class Bad(ScriptedModel):
        async def respond(self, request: Any, context: Any) -> Any:
            if isinstance(defect, Exception):
                raise defect
            return None

    ended = rollout(Bad(name="shaky"))
    assert ended.status is Status.MODEL_ERROR
    assert ended.error is not None
    assert ended.error["class"] == BackendError.__name__
    assert "shaky" in ended.error["message"]


@pytest.mark.parametrize("body", [{}, {"output": None}, {"output": "text"}, {"output": ["text"]}], ids=repr)
def test_a_response_without_items_is_not_blamed_on_the_agent(body: Any) -> None:
    from gym_core import Response

    ended = rollout(ScriptedModel(Response(body)))
    assert ended.status is Status.MODEL_ERROR


def test_unknown_items_and_fields_survive_to_the_row_and_the_next_request() -> None:
    odd = {"type": "hologram", "data": {"x": [1, None]}, "extra": True}

    class Talk(PlainSession):
        @tool
        def it(self) -> str:
            """It."""
            return "ok"

    model = ScriptedModel([odd, {**call("it"), "status": "completed", "vendor": 1}], "done")
    ended = rollout(model, Talk)
    assert model.requests[1].input[1] == odd
    assert model.requests[1].input[2]["vendor"] == 1
    assert ended.response.output[:1] == [odd]
