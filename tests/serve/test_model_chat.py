"""A served model through OpenAI's client: Chat Completions, whole and streamed."""

from __future__ import annotations

from typing import Any

import pytest

from gym_chat import response_from_completion
from gym_core import Response
from gym_testing import answer, call, refuse, say, think
from tests.serve.serving import ModelServer, served_model
from tests.support.loop import asynchronous
from tests.support.models import ScriptedModel, response

MESSAGES: list[Any] = [{"role": "user", "content": "hello"}]
LOGPROBS = [{"token": "hi", "bytes": [104, 105], "logprob": -0.25, "top_logprobs": []}]
FOREIGN = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
UPSTREAM: dict[str, Any] = {
    "id": "chatcmpl-9",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "vllm",
    "system_fingerprint": "fp",
    "prompt_token_ids": [1, 2],
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "hi", "reasoning_content": "hm", "refusal": None},
            "logprobs": {"content": LOGPROBS, "refusal": None},
            "finish_reason": "stop",
            "token_ids": [7],
        },
        {
            "index": 1,
            "message": {"role": "assistant", "content": "hey", "refusal": None},
            "logprobs": None,
            "finish_reason": "length",
        },
    ],
    "usage": {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3},
}


async def chunks(server: ModelServer, **request: Any) -> list[Any]:
    """The chunks of a stream, each checked against the client's own type."""
    stream = await server.client.chat.completions.create(model="any", messages=MESSAGES, stream=True, **request)
    found = [chunk async for chunk in stream]
    for chunk in found:
        type(chunk).model_validate(chunk.model_dump(mode="json", exclude_unset=True))
    return found


def joined(found: list[Any], index: int = 0) -> dict[str, Any]:
    """What a client makes of the deltas of one choice."""
    message: dict[str, Any] = {}
    finish = None
    for chunk in found:
        for choice in chunk.choices:
            if choice.index != index:
                continue
            finish = choice.finish_reason or finish
            for name, value in choice.delta.model_dump(mode="json", exclude_unset=True).items():
                if name == "tool_calls":
                    message.setdefault(name, []).extend(value)
                elif name != "role" and isinstance(value, str):
                    message[name] = message.get(name, "") + value
    return {**message, "finish": finish}


@asynchronous
async def test_an_answer_comes_whole() -> None:
    backend = ScriptedModel(response(think("hm"), say("hello"), call("get_weather", city="Oslo"), model="smol"))
    async with served_model(backend) as server:
        found = await server.client.chat.completions.create(model="any", messages=MESSAGES)
        (choice,) = found.choices
        assert choice.finish_reason == "tool_calls"
        assert choice.message.content == "hello"
        assert choice.message.model_dump()["reasoning_content"] == "hm"
        assert choice.message.tool_calls is not None
        (asked,) = choice.message.tool_calls
        assert asked.type == "function"
        assert (asked.id, asked.function.name, asked.function.arguments) == ("call_1", "get_weather", '{"city":"Oslo"}')
        assert found.usage is not None
        assert (found.usage.prompt_tokens, found.usage.completion_tokens, found.usage.total_tokens) == (10, 2, 12)
        assert found.model == "smol"
        assert type(found).model_validate(found.model_dump(mode="json", exclude_unset=True))


@asynchronous
async def test_the_backend_gets_a_responses_request() -> None:
    backend = ScriptedModel("done")
    async with served_model(backend) as server:
        await server.client.chat.completions.create(
            model="any",
            messages=[
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "hello"}]},
                {
                    "role": "assistant",
                    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                },
                {"role": "tool", "tool_call_id": "c", "content": "4"},
            ],
            tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}],
            max_completion_tokens=5,
            response_format={"type": "json_object"},
            seed=7,
            extra_body={"shoe_size": 43},
        )
        body = backend.requests[0].body
        assert [item.get("role") or item["type"] for item in body["input"]] == [
            "system",
            "user",
            "function_call",
            "function_call_output",
        ]
        assert body["tools"] == [{"type": "function", "name": "f", "parameters": {}}]
        assert body["max_output_tokens"] == 5
        assert body["text"] == {"format": {"type": "json_object"}}
        assert body["shoe_size"] == 43
        assert "model" not in body
        assert backend.contexts[0].seed == 7


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([say("hello")], {"content": "hello", "finish": "stop"}),
        ([refuse("no")], {"refusal": "no", "finish": "stop"}),
        ([think("hm"), say("hello")], {"content": "hello", "reasoning_content": "hm", "finish": "stop"}),
        ([say("one "), say("two")], {"content": "one two", "finish": "stop"}),
        ([], {"finish": "stop"}),
    ],
    ids=["text", "refusal", "reasoning", "two messages", "empty"],
)
@asynchronous
async def test_a_stream_says_the_same(items: list[dict[str, Any]], expected: dict[str, Any]) -> None:
    async with served_model(ScriptedModel(response(*items))) as server:
        found = await chunks(server)
        assert found[0].choices[0].delta.role == "assistant"
        assert joined(found) == expected
        assert all(chunk.usage is None for chunk in found)
        assert len({chunk.id for chunk in found}) == 1
        whole = await server.client.chat.completions.create(model="any", messages=MESSAGES)
        message = whole.choices[0].message
        assert (message.content, message.refusal) == (expected.get("content"), expected.get("refusal"))


@asynchronous
async def test_calls_are_numbered_in_a_stream() -> None:
    async with served_model(ScriptedModel([call("f", x=1), call("g", call_id="call_2")])) as server:
        found = await chunks(server)
        calls = joined(found)["tool_calls"]
        assert [(asked["index"], asked["id"], asked["function"]["name"]) for asked in calls] == [
            (0, "call_1", "f"),
            (1, "call_2", "g"),
        ]
        assert found[-1].choices[0].finish_reason == "tool_calls"


@asynchronous
async def test_usage_comes_last_where_it_is_wanted() -> None:
    async with served_model(ScriptedModel("hello")) as server:
        *others, last = await chunks(server, stream_options={"include_usage": True})
        assert last.choices == []
        assert last.usage.total_tokens == 12
        assert all(chunk.usage is None and chunk.choices for chunk in others)


@asynchronous
async def test_the_clients_own_stream_reader_agrees() -> None:
    async with (
        served_model(ScriptedModel([say("hello"), call("f", x=1)])) as server,
        server.client.chat.completions.stream(model="any", messages=MESSAGES) as stream,
    ):
        async for _ in stream:
            pass
        final = await stream.get_final_completion()
        assert final.choices[0].message.content == "hello"
        assert final.choices[0].message.tool_calls is not None
        assert final.choices[0].message.tool_calls[0].function.arguments == '{"x":1}'


@asynchronous
async def test_a_chat_servers_answer_passes_through() -> None:
    """What a server of chat completions sent, token ids and further choices included, comes out as it went in."""
    upstream = response_from_completion(UPSTREAM)
    async with served_model(ScriptedModel(Response(upstream))) as server:
        status, body = await server.post("/v1/chat/completions", {"messages": MESSAGES})
        assert status == 200
        usage = body.pop("usage")
        assert usage.items() >= UPSTREAM["usage"].items()
        for choice in body["choices"]:
            if choice["logprobs"]:
                choice["logprobs"].setdefault("refusal", None)
        assert body == {name: value for name, value in UPSTREAM.items() if name != "usage"}
        found = await chunks(server)
        assert joined(found) == {"content": "hi", "reasoning_content": "hm", "finish": "stop"}
        assert joined(found, 1) == {"content": "hey", "finish": "length"}
        assert found[0].model_dump()["prompt_token_ids"] == [1, 2]
        (measured,) = [choice for chunk in found for choice in chunk.choices if choice.logprobs]
        assert measured.logprobs.content[0].logprob == -0.25
        (last,) = [choice for chunk in found for choice in chunk.choices if choice.finish_reason == "stop"]
        assert last.model_dump()["token_ids"] == [7]


@asynchronous
async def test_an_answer_that_was_cut_says_so() -> None:
    async with served_model(ScriptedModel(answer("hel", incomplete="max_output_tokens"))) as server:
        found = await server.client.chat.completions.create(model="any", messages=MESSAGES)
        assert found.choices[0].finish_reason == "length"
        assert joined(await chunks(server))["finish"] == "length"


@asynchronous
async def test_what_chat_cannot_say_is_refused() -> None:
    import openai

    async with served_model(ScriptedModel([FOREIGN])) as server:
        with pytest.raises(openai.UnprocessableEntityError, match="ask POST /v1/responses"):
            await server.client.chat.completions.create(model="any", messages=MESSAGES)
        found = await server.client.responses.create(model="any", input="hello")
        assert found.output[0].type == "web_search_call"


@asynchronous
async def test_the_words_for_an_end_are_openais() -> None:
    for word, finish in (("MAX_TOKENS", "length"), ("SAFETY", "content_filter"), ("end_turn", "stop")):
        body = {**UPSTREAM, "choices": [{**UPSTREAM["choices"][0], "finish_reason": word}]}
        async with served_model(ScriptedModel(Response(response_from_completion(body)))) as server:
            found = await server.client.chat.completions.create(model="any", messages=MESSAGES)
            assert found.choices[0].finish_reason == finish
            whole = await server.client.responses.create(model="any", input="hello")
            reason = whole.incomplete_details.reason if whole.incomplete_details else None
            assert reason == {"length": "max_output_tokens", "stop": None}.get(finish, finish)


@asynchronous
async def test_an_answer_that_broke_off_is_an_error_that_may_be_tried_again() -> None:
    body = {**UPSTREAM, "choices": [{**UPSTREAM["choices"][0], "finish_reason": "abort"}]}
    async with served_model(ScriptedModel(Response(response_from_completion(body)))) as server:
        for path in ("/v1/chat/completions", "/v1/responses"):
            request = {"messages": MESSAGES, "input": "hello", "model": "any"}
            status, failed = await server.post(path, request, headers={"Gym-Retries": "none"})
            assert status >= 500
            assert failed["error"]["retryable"] is True


@asynchronous
async def test_a_conversation_with_bad_calls_and_no_ids_reaches_the_model_whole() -> None:
    made = [{"type": "function", "function": {"name": "f", "arguments": text}} for text in ("{", "", "[1]")]
    history = [
        *MESSAGES,
        {"role": "assistant", "content": None, "tool_calls": made},
        *({"role": "tool", "content": str(number)} for number in range(3)),
    ]
    backend = ScriptedModel("done")
    async with served_model(backend) as server:
        status, _ = await server.post("/v1/chat/completions", {"model": "any", "messages": history})
    assert status == 200
    items = backend.requests[0].input
    calls = [item for item in items if item["type"] == "function_call"]
    outputs = [item for item in items if item["type"] == "function_call_output"]
    assert [item["arguments"] for item in calls] == ["{}", "{}", "{}"]
    assert [item["call_id"] for item in calls] == [item["call_id"] for item in outputs]
    assert len({item["call_id"] for item in calls}) == 3


@asynchronous
async def test_tools_in_the_form_of_chat_are_understood_on_either_route() -> None:
    backend = ScriptedModel("done")
    nested = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    async with served_model(backend) as server:
        for path in ("/v1/responses", "/v1/chat/completions"):
            status, _ = await server.post(path, {"input": "x", "messages": MESSAGES, "tools": nested})
            assert status == 200
    assert [request.tools for request in backend.requests] == [[{"type": "function", **nested[0]["function"]}]] * 2  # type: ignore[dict-item]
