"""The conversion between the two APIs, case by case."""

from __future__ import annotations

from typing import Any

import pytest

from gym_chat import chat_request, completion_from_response, response_from_completion, responses_request
from gym_core import Response

TOOL = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}, "strict": True}


def messages(*items: dict[str, Any], **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = chat_request({"input": list(items)}, **params)["messages"]
    return found


def call(call_id: str, name: str = "get_weather", arguments: str = "{}") -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


def completion(message: dict[str, Any], finish_reason: str = "stop", **fields: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}
    return {"id": "c1", "object": "chat.completion", "created": 7, "model": "m", "choices": [choice], **fields}


def test_instructions_and_a_string_become_messages() -> None:
    body = chat_request({"instructions": "Be brief.", "input": "Hi"})
    assert body == {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    }


def test_a_response_with_reasoning_text_and_calls_is_one_message() -> None:
    found = messages(
        {"role": "user", "content": "Weather in Oslo and Rome?"},
        {"type": "reasoning", "id": "rs", "summary": [], "content": [{"type": "reasoning_text", "text": "Two."}]},
        {
            "type": "message",
            "id": "m",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Looking.", "annotations": [], "logprobs": None}],
        },
        call("a", arguments='{"city":"Oslo"}'),
        call("b", arguments='{"city":"Rome"}'),
        {"type": "function_call_output", "call_id": "a", "output": "cold"},
        {"type": "function_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "warm"}]},
    )
    assert found[1:] == [
        {
            "role": "assistant",
            "content": "Looking.",
            "reasoning_content": "Two.",
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'}},
                {"id": "b", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Rome"}'}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "cold"},
        {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "warm"}]},
    ]


def test_text_after_a_call_stays_before_the_tools_answer() -> None:
    found = messages(
        {"role": "assistant", "content": "One."},
        call("a"),
        {"role": "assistant", "content": "Two."},
        {"type": "function_call_output", "call_id": "a", "output": "x"},
    )
    assert [message["role"] for message in found] == ["assistant", "tool"]
    assert found[0]["content"] == [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}]


def test_two_answers_in_a_row_stay_two_messages() -> None:
    found = messages({"role": "assistant", "content": "One."}, {"role": "assistant", "content": "Two."})
    assert [message["content"] for message in found] == ["One.", "Two."]


def test_content_parts() -> None:
    parts = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "low"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA"},
        {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
        {"type": "video_url", "video_url": {"url": "http://v"}},
    ]
    [message] = messages({"role": "user", "content": parts})
    assert message["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "low"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA"}},
        {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
        {"type": "video_url", "video_url": {"url": "http://v"}},
    ]
    [item] = responses_request({"messages": [message]})["input"]
    assert item["content"] == parts


def test_tools_choice_format_and_limits() -> None:
    body = {
        "model": "m",
        "input": "Hi",
        "tools": [
            TOOL,
            {"type": "custom", "name": "sql", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
        ],
        "tool_choice": {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "function", "name": "get_weather"}],
        },
        "parallel_tool_calls": False,
        "max_output_tokens": 50,
        "text": {"format": {"type": "json_schema", "name": "s", "schema": {}, "strict": True}, "verbosity": "low"},
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["message.output_text.logprobs", "reasoning.encrypted_content"],
        "top_logprobs": 3,
        "seed": 5,
        "stop": ["\n"],
        "top_k": 40,
        "temperature": None,
    }
    found = chat_request(body)
    assert found == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [
            {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}, "strict": True}},
            {
                "type": "custom",
                "custom": {
                    "name": "sql",
                    "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}},
                },
            },
        ],
        "tool_choice": {
            "type": "allowed_tools",
            "allowed_tools": {
                "mode": "auto",
                "tools": [{"type": "function", "function": {"name": "get_weather"}}],
            },
        },
        "parallel_tool_calls": False,
        "max_completion_tokens": 50,
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {}, "strict": True}},
        "verbosity": "low",
        "reasoning_effort": "low",
        "reasoning": {"summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "logprobs": True,
        "top_logprobs": 3,
        "seed": 5,
        "stop": ["\n"],
        "top_k": 40,
    }
    back = responses_request(found)
    expected = {name: value for name, value in body.items() if value is not None}
    expected["input"] = [{"type": "message", "role": "user", "content": "Hi"}]
    assert sorted(back.pop("include")) == sorted(expected.pop("include"))  # type: ignore[call-overload]
    assert back == expected
    assert chat_request(body, max_tokens_field="max_tokens")["max_tokens"] == 50


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"input": [{"type": "item_reference", "id": "x"}]}, "item_reference"),
        ({"input": [{"type": "web_search_call", "id": "x"}]}, "web_search_call"),
        ({"input": "x", "previous_response_id": "r"}, "previous_response_id"),
        ({"input": "x", "background": True}, "background"),
        ({"input": "x", "tools": [{"type": "web_search"}]}, "web_search"),
        ({"input": "x", "tools": [{"name": "f"}], "tool_choice": {"type": "file_search"}}, "file_search"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "u"}]}]}, "file_url"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "u"}]}]}, "file_id"),
        ({"input": [{"role": "user", "content": [{"type": "computer_screenshot"}]}]}, "computer_screenshot"),
        ({"input": [{"type": "reasoning", "summary": [], "encrypted_content": "x"}]}, "encrypted"),
        ({"input": [{"role": "user", "content": 3}]}, "int"),
        ({"input": 3}, "input"),
    ],
)
def test_what_chat_cannot_say_is_named(body: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        chat_request(body)


def test_reasoning_can_be_left_out() -> None:
    items: list[dict[str, Any]] = [
        {"type": "reasoning", "summary": [], "encrypted_content": "x"},
        {"type": "message", "role": "assistant", "content": "Hi"},
    ]
    assert messages(*items, drop={"reasoning"}) == [{"role": "assistant", "content": "Hi"}]


def test_an_item_that_says_nothing_makes_no_message() -> None:
    nothing: dict[str, Any] = {"type": "reasoning", "id": "rs_1", "summary": [], "content": None}
    assert messages(nothing, {"role": "user", "content": "Hi"}) == [{"role": "user", "content": "Hi"}]
    assert messages(nothing, call("a"))[0]["tool_calls"][0]["id"] == "a"


def test_audio_is_referred_to() -> None:
    spoken = {"type": "message", "role": "assistant", "content": "Hi", "audio": {"id": "a1", "data": "AAAA"}}
    assert messages(spoken) == [{"role": "assistant", "content": "Hi", "audio": {"id": "a1"}}]


def test_deprecated_function_messages_are_refused() -> None:
    with pytest.raises(ValueError, match="deprecated"):
        responses_request({"messages": [{"role": "function", "name": "f", "content": "x"}]})


def test_custom_tools_are_answered_as_such() -> None:
    body = {
        "messages": [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "sql", "input": "select 1"}}],
            },
            {"role": "tool", "tool_call_id": "c", "content": "1"},
        ]
    }
    request = responses_request(body)
    assert [item["type"] for item in request["input"]] == ["custom_tool_call", "custom_tool_call_output"]
    assert chat_request(request) == body


def test_a_plain_completion() -> None:
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 3,
        "total_tokens": 12,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 1},
        "cost": 0.5,
    }
    reply = completion(
        {"content": "Sunny.", "refusal": None}, usage=usage, system_fingerprint="fp", service_tier="flex"
    )
    body = response_from_completion(reply)
    assert body == {
        "id": "c1",
        "object": "response",
        "status": "completed",
        "output": [
            {
                "id": "msg_c1",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "Sunny.", "annotations": []}],
            }
        ],
        "created_at": 7,
        "model": "m",
        "service_tier": "flex",
        "usage": {
            "input_tokens": 9,
            "output_tokens": 3,
            "total_tokens": 12,
            "input_tokens_details": {"cached_tokens": 4},
            "output_tokens_details": {"reasoning_tokens": 1},
            "cost": 0.5,
        },
        "chat_completion": {
            "object": "chat.completion",
            "system_fingerprint": "fp",
            "choices": [{"index": 0, "finish_reason": "stop"}],
        },
    }
    assert Response(body).usage.cached_tokens == 4


@pytest.mark.parametrize(
    ("message", "finish_reason", "stop_reason"),
    [
        ({"content": "Hi"}, "stop", "completed"),
        (
            {"content": None, "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]},
            "tool_calls",
            "completed",
        ),
        ({"content": "Hi"}, "length", "max_output_tokens"),
        ({"content": ""}, "content_filter", "content_filter"),
        ({"content": None, "refusal": "No."}, "stop", "refusal"),
        ({"content": ""}, "stop", "empty"),
        ({"content": None}, "stop", "empty"),
        ({"content": "", "reasoning_content": "Hm."}, "stop", "reasoning_only"),
        ({"content": None, "reasoning": "Hm."}, "stop", "reasoning_only"),
    ],
)
def test_stop_reasons(message: dict[str, Any], finish_reason: str, stop_reason: str) -> None:
    body = response_from_completion(completion(message, finish_reason))
    assert Response(body).stop_reason == stop_reason


def test_an_error_as_finish_reason_is_a_failed_response() -> None:
    reply = completion({"content": ""}, "error")
    reply["choices"][0]["error"] = {"code": 502, "message": "upstream"}
    body = response_from_completion(reply)
    assert body["status"] == "failed"
    assert body["error"]["message"] == "upstream"


def test_calls_without_ids_or_with_objects_as_arguments() -> None:
    calls = [{"function": {"name": "f", "arguments": {"a": 1}}}, {"id": "", "function": {"name": "g"}}]
    output = response_from_completion(completion({"tool_calls": calls}))["output"]
    assert [item["arguments"] for item in output] == ['{"a":1}', ""]
    assert all(item["call_id"] for item in output)
    assert output[0]["call_id"] != output[1]["call_id"]


def test_what_only_the_server_knows_goes_back_to_it() -> None:
    message = {
        "role": "assistant",
        "content": None,
        "reasoning": "Hm.",
        "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}],
        "tool_calls": [
            {
                "id": "a",
                "type": "function",
                "function": {"name": "f", "arguments": "{}"},
                "extra_content": {"google": {"thought_signature": "s"}},
            }
        ],
    }
    body = response_from_completion(completion(message, "tool_calls"))
    assert messages(*body["output"]) == [message]


def test_several_choices_are_kept() -> None:
    reply = completion({"content": "A"})
    reply["choices"].append({"index": 1, "message": {"role": "assistant", "content": "B"}, "finish_reason": "stop"})
    body = response_from_completion(reply)
    assert Response(body).output_text == "A"
    assert completion_from_response(body) == reply


@pytest.mark.parametrize("reply", [{}, {"choices": []}, {"choices": ["x"]}, {"choices": [{"text": "x"}]}])
def test_what_is_no_completion_is_refused(reply: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="choices"):
        response_from_completion(reply)


def test_token_ids_are_on_no_item_and_not_lost() -> None:
    """Backends take them before; what nobody took passes through."""
    entry = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}
    reply = completion({"content": "Hi"}, prompt_token_ids=[1, 2])
    reply["choices"][0] |= {"logprobs": {"content": [entry]}, "token_ids": [3]}
    body = response_from_completion(reply)
    [item] = body["output"]
    assert not {"prompt_token_ids", "generation_token_ids", "generation_log_probs"} & item.keys()
    assert item["content"][0]["logprobs"] == [entry]
    assert completion_from_response(body) == reply
    assert messages(item) == [{"role": "assistant", "content": "Hi"}]


def test_citations() -> None:
    note = {"type": "url_citation", "url_citation": {"start_index": 0, "end_index": 2, "url": "http://a", "title": "A"}}
    reply = completion({"content": "Hi", "annotations": [note]})
    body = response_from_completion(reply)
    assert body["output"][0]["content"][0]["annotations"][0]["url"] == "http://a"
    assert completion_from_response(body) == reply


def test_a_failed_response_is_no_completion() -> None:
    with pytest.raises(ValueError, match="failed"):
        completion_from_response({"status": "failed", "output": [], "error": {"code": "server_error"}})


def test_a_response_of_a_responses_server_as_a_completion() -> None:
    body = {
        "id": "r1",
        "object": "response",
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
        "created_at": 3,
        "model": "m",
        "output": [
            {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "Hm."}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]},
        ],
        "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
    }
    assert completion_from_response(body) == {
        "id": "r1",
        "object": "chat.completion",
        "created": 3,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi", "reasoning_content": "Hm."},
                "finish_reason": "length",
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }
