"""What strict endpoints refuse is not sent, and what odd ones reply is read."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

import gym_core
from gym_core import Request, ResourceServer, Session, Task, Trajectory, errors, tool
from gym_openai_model.dialects import make_dialect
from gym_openai_model.endpoint import parse_endpoint
from gym_openai_model.options import OpenAIOptions

from .scripted import Caller, Endpoint, Reply, completion, response, text_reply

TOOL_FIELDS = ("tools", "tool_choice", "parallel_tool_calls")


@pytest.mark.parametrize(
    "lone",
    [
        {"tools": []},
        {"tools": [], "tool_choice": "none"},
        {"tools": None, "tool_choice": {"type": "function"}},
        {"parallel_tool_calls": True},
        {"tool_choice": "auto"},
    ],
)
def test_without_tools_nothing_speaks_of_them(call: Caller, lone: dict[str, Any]) -> None:
    call.endpoint.script(text_reply(call.dialect))
    request = Request.ask("Hi", **lone)
    call(request)
    assert call.endpoint.sent.keys().isdisjoint(TOOL_FIELDS)
    assert all(request.body[name] == value for name, value in lone.items()), "the request is the engine's"


def test_with_tools_all_of_it_is_sent(call: Caller) -> None:
    call.endpoint.script(text_reply(call.dialect))
    call(Request.ask("Hi", tools=[{"type": "function", "name": "f"}], tool_choice="auto", parallel_tool_calls=False))
    assert call.endpoint.sent.keys() >= set(TOOL_FIELDS)


@pytest.mark.parametrize(
    ("url", "strict", "sent"),
    [
        ("https://api.cerebras.ai/v1", [True, False], [False, False]),
        ("https://api.cerebras.ai/v1", [True, None], [False, False]),
        ("https://api.cerebras.ai/v1", [True, True], [True, True]),
        ("http://localhost:8000/v1", [True, False], [True, False]),
    ],
)
def test_tools_are_evenly_strict_where_the_host_wants_it(url: str, strict: list[Any], sent: list[Any]) -> None:
    tools = [{"type": "function", "name": f"f{place}", "strict": value} for place, value in enumerate(strict)]
    body = make_dialect(OpenAIOptions.model_validate({}), parse_endpoint(url), "m").encode(
        Request.ask("Hi", tools=tools), None
    )
    assert [made["function"]["strict"] for made in json.loads(body)["tools"]] == sent


@pytest.mark.parametrize("status", [201, 202, 203, 206])
def test_a_reply_of_any_good_status_is_read(call: Caller, status: int) -> None:
    call.endpoint.script(Reply(text_reply(call.dialect, "Sunny."), status))
    assert call().output_text == "Sunny."


@pytest.mark.parametrize("body", [b"", b'{"id": 1', b"<p>hello", b"[" * 100_000, b"\x1f\x8b\x08\x00 packed"])
def test_a_good_status_without_an_answer_is_broken(call: Caller, body: bytes) -> None:
    call.endpoint.script(Reply(body, 202))
    with pytest.raises(errors.BrokenReplyError):
        call()


def test_integers_of_any_size_and_odd_text_are_sent_whole(call: Caller) -> None:
    call.endpoint.script(text_reply(call.dialect))
    large = 2**70 + 1
    call(Request.ask("half \ud83d of a pair", extra={"n": large}))
    assert call.endpoint.sent["n"] == large
    field = "messages" if call.dialect == "chat" else "input"
    assert call.endpoint.sent[field][0]["content"] == "half \ufffd of a pair"


def test_replies_keep_integers_and_read_what_is_meant(call: Caller) -> None:
    large = 2**65 + 3
    body = json.dumps({**text_reply(call.dialect, "X"), "x_large": large, "x_nan": float("nan")})
    call.endpoint.script(Reply(b"\xef\xbb\xbf" + body.encode().replace(b'"X"', b'"a\xffb\\ud83d"')))
    found = call()
    assert found.output_text == "a\ufffdb\ufffd"
    kept = found.body["chat_completion"] if call.dialect == "chat" else found.body
    assert kept["x_large"] == large


@pytest.mark.parametrize("word", ["abort", "network_error", "CANCELLED", "OTHER"])
def test_an_answer_that_was_broken_off_may_be_asked_for_again(endpoint: Endpoint, dialect: str, word: str) -> None:
    call = Caller(endpoint, dialect)
    half = completion({"role": "assistant", "content": "half"}, word)
    if dialect == "responses":
        half = {**text_reply(dialect, "half"), "status": "incomplete", "incomplete_details": {"reason": word}}
    endpoint.script(half)
    with pytest.raises(errors.ModelError, match=word) as failed:
        call()
    assert failed.value.retryable


@pytest.mark.parametrize("message", [None, "absent", ""])
@pytest.mark.parametrize(("word", "stop_reason"), [("SAFETY", "content_filter"), ("MAX_TOKENS", "max_output_tokens")])
def test_what_ended_before_its_first_word_has_no_message(
    endpoint: Endpoint, message: Any, word: str, stop_reason: str
) -> None:
    choice = {"index": 0, "finish_reason": word, **({} if message == "absent" else {"message": message})}
    endpoint.script({"id": "c", "object": "chat.completion", "choices": [choice]})
    assert Caller(endpoint, "chat")().stop_reason == stop_reason


class Echo(ResourceServer):
    """An environment of one tool."""

    class session_type(Session[Any]):
        @tool
        def echo(self, text: str = "nothing") -> str:
            """Say it again."""
            return f"echo {text}"

        def verify(self, trajectory: Trajectory) -> float:
            return float([made.output for made in trajectory.tool_calls] == ["echo a"])


NESTED = {
    "type": "function",
    "function": {"name": "echo", "parameters": {"type": "object", "properties": {"text": {"type": "string"}}}},
}


def test_a_rows_tools_in_the_form_of_chat_are_offered_by_either_dialect(call: Caller) -> None:
    made = {"id": "c1", "type": "function", "function": {"name": "echo", "arguments": '{"text": "a"}'}}
    first = completion({"role": "assistant", "content": None, "tool_calls": [made]}, "tool_calls")
    if call.dialect == "responses":
        first = response({"type": "function_call", "call_id": "c1", "name": "echo", "arguments": '{"text": "a"}'})
    call.endpoint.script(first, text_reply(call.dialect))
    choice = {"type": "function", "function": {"name": "echo"}}
    task = Task.ask("Say a.", params={"tools": [NESTED], "tool_choice": choice})

    async def main() -> list[Any]:
        options = call.options().model_dump(exclude_unset=True)
        rollouts = gym_core.collect(
            model="openai", model_options={"policy": options}, env=Echo(), tasks=[task], agent="simple_agent"
        )
        return [rollout async for rollout in rollouts]

    (ended,) = asyncio.run(main())
    assert ended.reward == 1.0, ended.error
    sent = call.endpoint.seen[-1].body
    flat = {"type": "function", **NESTED["function"]}  # type: ignore[dict-item]
    assert sent["tools"] == ([NESTED] if call.dialect == "chat" else [flat])
    wanted = choice if call.dialect == "chat" else {"type": "function", "name": "echo"}
    assert sent["tool_choice"] == wanted


@pytest.mark.parametrize("tools", [{}, {"tools": [{"name": "echo", "parameters": {"type": "object"}}]}])
def test_a_choice_in_the_form_of_chat_and_tools_without_a_type_are_understood(tools: dict[str, Any]) -> None:
    request = Task.ask(
        "Hi", params={"tool_choice": {"type": "function", "function": {"name": "echo"}}, **tools}
    ).request
    assert request.body["tool_choice"] == {"type": "function", "name": "echo"}
    assert [made["type"] for made in request.tools] == ["function"] * len(request.tools)
