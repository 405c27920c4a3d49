"""What a model call sends and returns."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gym_core import CallContext, Request

from .scripted import TRANSPORTS, Caller, Endpoint, completion, response, text_reply

QUESTION = {"type": "message", "role": "user", "content": "Weather in Oslo?"}
TOOL = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}, "strict": True}
CALL = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'}}
CALL_ITEM = {
    "type": "function_call",
    "id": "fc",
    "call_id": "c1",
    "name": "get_weather",
    "arguments": '{"city":"Oslo"}',
    "status": "completed",
}


def test_a_plain_answer(call: Caller) -> None:
    call.endpoint.script(text_reply(call.dialect, "Sunny."))
    found = call("Weather?")
    assert found.output_text == "Sunny."
    assert found.stop_reason == "completed"
    assert (found.usage.input_tokens, found.usage.output_tokens) == (5, 2)
    field = "messages" if call.dialect == "chat" else "input"
    assert call.endpoint.sent["model"] == "some-model"
    assert call.endpoint.sent[field][0]["content"] == "Weather?"
    path = "/chat/completions" if call.dialect == "chat" else "/responses"
    assert call.endpoint.seen[-1].path == "/v1" + path


def test_a_tool_call_and_the_turn_after_it(call: Caller) -> None:
    first = completion({"role": "assistant", "content": None, "tool_calls": [CALL]}, "tool_calls")
    if call.dialect == "responses":
        first = response(CALL_ITEM)
    call.endpoint.script(first)
    request = Request({"input": [QUESTION], "tools": [TOOL], "instructions": "Be brief."})
    found = call(request)
    [function_call] = found.function_calls
    assert (function_call.name, function_call.call_id) == ("get_weather", "c1")
    assert function_call.arguments == '{"city":"Oslo"}'

    call.endpoint.script(text_reply(call.dialect, "Cold."))
    answer = {"type": "function_call_output", "call_id": "c1", "output": "-3"}
    assert call(request.with_input([QUESTION, *found.output, answer])).output_text == "Cold."
    if call.dialect == "chat":
        assert call.endpoint.sent["messages"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Weather in Oslo?"},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": "-3"},
        ]
        assert call.endpoint.sent["tools"][0]["function"]["name"] == "get_weather"
    else:
        assert call.endpoint.sent["input"] == [QUESTION, CALL_ITEM, answer]
        assert call.endpoint.sent["tools"] == [TOOL]


def test_reasoning_goes_back_as_it_came(call: Caller) -> None:
    if call.dialect == "chat":
        call.endpoint.script(
            completion({"role": "assistant", "content": None, "reasoning_content": "Hm.", "tool_calls": [CALL]})
        )
    else:
        thought: dict[str, Any] = {
            "type": "reasoning",
            "id": "rs",
            "summary": [],
            "content": None,
            "encrypted_content": "xyz",
        }
        call.endpoint.script(response(thought, CALL_ITEM))
    found = call("Weather?")
    assert found.output[0]["type"] == "reasoning"

    call.endpoint.script(text_reply(call.dialect))
    call(Request({"input": found.output}))
    if call.dialect == "chat":
        assert call.endpoint.sent["messages"][0]["reasoning_content"] == "Hm."
    else:
        assert call.endpoint.sent["input"][0] == {
            "type": "reasoning",
            "id": "rs",
            "summary": [],
            "encrypted_content": "xyz",
        }
    call(Request({"input": found.output}), drop_reasoning=True)
    assert "easoning" not in str(call.endpoint.sent)


def test_nulls_are_not_echoed(call: Caller) -> None:
    call.endpoint.script(text_reply(call.dialect, id=None))
    found = call("Hi")
    call(Request({"input": found.output}))
    items = call.endpoint.sent["messages" if call.dialect == "chat" else "input"]
    assert "id" not in items[0]
    assert "None" not in str(items)


@pytest.mark.parametrize(
    ("chat_message", "finish_reason", "items", "fields", "stop_reason"),
    [
        (
            {"content": None, "refusal": "No."},
            "stop",
            [{"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}],
            {},
            "refusal",
        ),
        (
            {"content": ""},
            "content_filter",
            [],
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            "content_filter",
        ),
        (
            {"content": "Sun"},
            "length",
            [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Sun"}]}],
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            "max_output_tokens",
        ),
        ({"content": None}, "stop", [], {}, "empty"),
        ({"content": "", "reasoning": "Hm."}, "stop", [{"type": "reasoning", "summary": []}], {}, "reasoning_only"),
    ],
    ids=["refusal", "filter", "length", "empty", "reasoning"],
)
def test_stop_reasons(
    call: Caller,
    chat_message: dict[str, Any],
    finish_reason: str,
    items: list[dict[str, Any]],
    fields: dict[str, Any],
    stop_reason: str,
) -> None:
    if call.dialect == "chat":
        call.endpoint.script(completion({"role": "assistant", **chat_message}, finish_reason))
    else:
        call.endpoint.script(response(*items, **fields))
    assert call("Hi").stop_reason == stop_reason


def test_what_nobody_knows_survives(call: Caller) -> None:
    if call.dialect == "chat":
        call.endpoint.script({**completion({"role": "assistant", "content": "Hi", "x_field": {"a": [1]}}), "x_top": 1})
        found = call("Hi")
        assert found.body["chat_completion"]["x_top"] == 1
        call(Request({"input": found.output, "x_param": 2}))
        assert call.endpoint.sent["messages"][0]["x_field"] == {"a": [1]}
    else:
        unknown = {"type": "x_item", "id": "x", "x_field": {"a": [1, None]}}
        call.endpoint.script(response(unknown, x_top=1))
        found = call("Hi")
        assert found.body["x_top"] == 1
        call(Request({"input": found.output, "x_param": 2}))
        assert call.endpoint.sent["input"] == [unknown]
    assert call.endpoint.sent["x_param"] == 2


def test_log_probabilities(call: Caller) -> None:
    entry = {"token": "Hi", "logprob": -0.25, "bytes": [72, 105], "top_logprobs": []}
    if call.dialect == "chat":
        call.endpoint.script(completion({"role": "assistant", "content": "Hi"}, logprobs={"content": [entry]}))
    else:
        call.endpoint.script(
            text_reply("responses", content=[{"type": "output_text", "text": "Hi", "logprobs": [entry]}])
        )
    [item] = call("Hi", logprobs=True, top_logprobs=2).output
    assert item["content"][0]["logprobs"] == [entry]
    assert call.endpoint.sent["top_logprobs"] == 2
    if call.dialect == "chat":
        assert call.endpoint.sent["logprobs"] is True
    else:
        assert call.endpoint.sent["include"] == ["message.output_text.logprobs"]


def test_what_is_given_is_not_changed(call: Caller) -> None:
    call.endpoint.script(text_reply(call.dialect))
    item = {"type": "message", "id": None, "role": "user", "content": [{"type": "input_text", "text": "Hi", "x": None}]}
    request = Request({"input": [item], "include": ["x"], "reasoning": {"summary": "auto"}, "stream": True})
    before = repr(request)
    call(request, reasoning_effort="low", logprobs=True)
    assert repr(request) == before
    assert "stream" not in call.endpoint.sent


def test_a_hundred_calls_at_once(endpoint: Endpoint, transport: str) -> None:
    from gym_openai_model.backend import OpenAIModel

    call = Caller(endpoint, "chat", transport)
    endpoint.script(text_reply("chat", "Sunny."))

    async def main() -> list[str]:
        async with OpenAIModel(call.options()) as model:
            calls = [model.respond(Request.ask(str(number)), CallContext()) for number in range(100)]
            return [found.output_text for found in await asyncio.gather(*calls)]

    assert asyncio.run(main()) == ["Sunny."] * 100


def test_every_transport_carries_the_same(endpoint: Endpoint, dialect: str) -> None:
    items = [QUESTION, {"type": "message", "role": "assistant", "content": "Grüß Gott, 你好"}, QUESTION]
    request = Request({"input": items, "tools": [TOOL], "temperature": 0.5})
    endpoint.script(text_reply(dialect, "Ça va"))
    found = [Caller(endpoint, dialect, transport)(request) for transport in TRANSPORTS]
    assert found[0].body == found[1].body == found[2].body
    sent = [seen.body for seen in endpoint.seen]
    assert sent[0] == sent[1] == sent[2]
