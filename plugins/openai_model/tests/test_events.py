"""Replies that are streams of events, although none was asked for."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gym_core import errors
from gym_openai_model.events import BrokenStream, assembled, is_stream

from .scripted import Caller, Endpoint, Reply, response, text_reply

EVENTS = {"Content-Type": "text/event-stream"}


def stream(*events: Any, done: bool = True, end: str = "\n") -> bytes:
    texts = [event if isinstance(event, str) else json.dumps(event) for event in events]
    return "".join(f"data: {text}{end}{end}" for text in [*texts, *(["[DONE]"] if done else [])]).encode()


def chunk(finish: str | None = None, index: int = 0, /, **delta: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def call_part(index: int | None, identity: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments} if name else {"arguments": arguments}
    part = {"index": index, "id": identity, "type": "function" if identity else None, "function": function}
    return {key: value for key, value in part.items() if value is not None}


@pytest.fixture
def chat(endpoint: Endpoint) -> Caller:
    return Caller(endpoint, "chat")


def test_a_streamed_completion_is_read(chat: Caller) -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    body = stream(
        chunk(role="assistant", content=""),
        chunk(reasoning_content="H"),
        chunk(reasoning_content="m."),
        chunk(content="Sun"),
        chunk(content="ny."),
        chunk("stop"),
        {**chunk(), "choices": [], "usage": usage},
    )
    chat.endpoint.script(Reply(b": keep-alive\n\n" + body, headers=EVENTS))
    found = chat("Hi")
    assert (found.output_text, found.stop_reason) == ("Sunny.", "completed")
    assert (found.usage.input_tokens, found.usage.output_tokens) == (5, 2)
    assert found.output[0]["type"] == "reasoning"
    assert len(chat.endpoint.seen) == 1


@pytest.mark.parametrize(
    "parts",
    [
        [
            [call_part(0, "a", "add", ""), call_part(1, "b", "add", '{"x"')],
            [call_part(0, None, None, '{"x": 1}')],
            [call_part(1, None, None, ": 2}")],
        ],
        [[call_part(0, "a", "add", '{"x": 1}')], [call_part(0, "b", "add", '{"x": 2}')]],
        [
            [call_part(None, "a", "add", '{"x": 1}')],
            [call_part(None, "b", "add", '{"x"'), call_part(None, None, None, ": 2}")],
        ],
        [
            [call_part(0, "a", "add", '{"x":')],
            [call_part(0, "a", "add", " 1}")],
            [call_part(1, "b", "add", '{"x": 2}')],
        ],
    ],
    ids=["by number", "all numbered 0", "without numbers", "named again"],
)
def test_streamed_tool_calls_are_put_together(chat: Caller, parts: list[list[dict[str, Any]]]) -> None:
    chat.endpoint.script(stream(*(chunk(tool_calls=part) for part in parts), chunk("tool_calls")))
    found = [(call.call_id, call.name, call.arguments) for call in chat("Hi").function_calls]
    assert found == [("a", "add", '{"x": 1}'), ("b", "add", '{"x": 2}')]


@pytest.mark.parametrize(
    "parts",
    [
        [[call_part(0, "", "add", '{"x": 1}'), call_part(0, "", "add", '{"x": 2}')]],
        [
            [call_part(None, None, "add", '{"x"')],
            [call_part(None, None, "add", ": 1}")],
            [call_part(0, "", "add", "{}")],
        ],
        [[call_part(None, None, "add", "")], [call_part(None, None, "sub", "{}")]],
    ],
    ids=["numbered 0", "named again", "without arguments"],
)
def test_streamed_tool_calls_without_ids_are_told_apart(chat: Caller, parts: list[list[dict[str, Any]]]) -> None:
    chat.endpoint.script(stream(*(chunk(tool_calls=part) for part in parts), chunk("tool_calls")))
    found = chat("Hi").function_calls
    assert len(found) == 2
    assert all(json.loads(call.arguments or "{}") is not None for call in found)


def test_thoughts_that_are_streamed_as_parts_and_words_as_text(chat: Caller) -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    chat.endpoint.script(stream(chunk(content=[thought]), chunk(content="Sun"), chunk(content="ny."), chunk("stop")))
    assert chat("Hi").output_text == "Sunny."
    chat.endpoint.script(stream(chunk(content="Sun"), chunk(content=[{"type": "text", "text": "ny."}]), chunk("stop")))
    assert chat("Hi").output_text == "Sunny."


@pytest.mark.parametrize(
    "more",
    ["data: \n\n", "data:\n\n", "event: ping\ndata: now\n\n", "id: 1\n\n", "retry: 10\n\n"],
)
def test_what_keeps_a_stream_alive_is_passed_over(chat: Caller, more: str) -> None:
    chat.endpoint.script(more.encode() + stream(chunk(content="Sunny."), chunk("stop"), done=False) + more.encode())
    assert chat("Hi").output_text == "Sunny."


def test_events_without_an_empty_line_between_them(chat: Caller) -> None:
    chat.endpoint.script(stream(chunk(content="Sun"), chunk("stop", content="ny.")).replace(b"\n\n", b"\n"))
    assert chat("Hi").output_text == "Sunny."


def test_streamed_log_probabilities_and_choices() -> None:
    first, second = chunk(content="a"), chunk("stop", content="b")
    first["choices"][0] |= {"logprobs": {"content": [{"token": "a"}]}, "token_ids": [1]}
    second["choices"][0] |= {"logprobs": {"content": [{"token": "b"}]}, "token_ids": [2]}
    found = assembled(stream(first, chunk("stop", 1, content="other"), second))
    assert found["object"] == "chat.completion"
    assert [choice["message"]["content"] for choice in found["choices"]] == ["ab", "other"]
    assert found["choices"][0]["logprobs"] == {"content": [{"token": "a"}, {"token": "b"}]}
    assert found["choices"][0]["token_ids"] == [1, 2]


@pytest.mark.parametrize(("end", "name"), [("\n", "completed"), ("\r\n", "completed"), ("\r", "done")])
def test_a_streamed_response_is_its_last_event(endpoint: Endpoint, end: str, name: str) -> None:
    call = Caller(endpoint, "responses")
    last = {"type": f"response.{name}", "response": text_reply("responses", "Sunny.")}
    call.endpoint.script(stream({"type": "response.created", "response": response()}, last, done=False, end=end))
    assert call("Hi").output_text == "Sunny."


@pytest.mark.parametrize("end", [{"output": []}, {}, {"output": None}])
def test_a_streamed_response_whose_last_event_lacks_its_items(endpoint: Endpoint, end: dict[str, Any]) -> None:
    call = Caller(endpoint, "responses")
    thought = {"type": "reasoning", "summary": []}
    said = text_reply("responses", "Sunny.")["output"][0]
    items = [{"type": "response.output_item.done", "output_index": place, "item": item}
             for place, item in ((1, said), (0, thought))]  # fmt: skip
    call.endpoint.script(
        stream(*items, {"type": "response.completed", "response": {"status": "completed", **end}}, done=False)
    )
    assert call("Hi").output == [thought, said]


def test_a_whole_reply_as_one_event(endpoint: Endpoint) -> None:
    for dialect in ("chat", "responses"):
        call = Caller(endpoint, dialect)
        call.endpoint.script(stream(text_reply(dialect, "Sunny."), done=False).rstrip())
        assert call("Hi").output_text == "Sunny."


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (stream(chunk(content="Sun"), done=False), errors.BrokenReplyError, "cut off"),
        (stream({"type": "response.created", "response": {}}, done=False), errors.BrokenReplyError, "cut off"),
        (stream("{", done=False), errors.BrokenReplyError, "an event of its stream"),
        (stream(), errors.BrokenReplyError, "without a response"),
        (stream(chunk(content="a"), {"error": {"code": 429, "message": "slow"}}), errors.RateLimitError, "slow"),
        (stream({"error": {"message": "no", "code": "insufficient_quota"}}), errors.QuotaError, "no"),
        (
            b'event: error\ndata: {"type": "error", "code": "server_error", "message": "gone"}\n\n',
            errors.ServerError,
            "gone",
        ),
        (b'event: error\ndata: {"code": "rate_limit_exceeded", "message": "slow"}\n\n', errors.RateLimitError, "slow"),
        (b"event: error\ndata: the engine died\n\n", errors.ServerError, "the engine died"),
        (
            stream(chunk(content="a"), {"object": "error", "message": "no such thing", "code": 400}),
            errors.BadRequestError,
            "no such thing",
        ),
        (stream({"detail": "the engine died"}), errors.ServerError, "the engine died"),
        (stream({"choices": [{"index": 0, "text": "a", "finish_reason": "stop"}]}), errors.BrokenReplyError, "message"),
    ],
)
def test_a_stream_that_is_no_reply_is_told(chat: Caller, body: bytes, kind: type[Exception], words: str) -> None:
    chat.endpoint.script(body)
    with pytest.raises(kind, match=words):
        chat("Hi")


def test_an_error_with_a_status_may_be_an_event(chat: Caller) -> None:
    chat.endpoint.script(Reply(stream({"error": {"message": "try again in 2s", "type": "busy"}}), 503, EVENTS))
    with pytest.raises(errors.OverloadedError) as caught:
        chat("Hi")
    assert caught.value.retry_after == 2


@given(st.lists(st.sampled_from([b"data:", b"\n", b"\r\n", b"\r", b"{}", b"[DONE]", b":", b'{"choices":[{}]}', b" "])))
def test_whatever_a_stream_holds_it_is_read_or_refused(parts: list[bytes]) -> None:
    body = b"".join(parts)
    is_stream(body)
    with suppress(BrokenStream):
        assert isinstance(assembled(body), dict)
