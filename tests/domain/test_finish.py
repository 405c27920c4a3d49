"""Which words of servers end an answer, and how."""

from __future__ import annotations

from typing import Any

import pytest

from gym_chat import completion_from_response, response_from_completion
from gym_core import Response


def stopped(finish: Any, message: Any = "half an answer") -> Response:
    said = {"role": "assistant", "content": message} if isinstance(message, str) else message
    choice = {"index": 0, "message": said, "finish_reason": finish}
    return Response(response_from_completion({"id": "c", "choices": [choice]}))


@pytest.mark.parametrize(
    "finish",
    [
        "stop",
        "STOP",
        "eos",
        "eos_token",
        "stop_sequence",
        "end_turn",
        "COMPLETE",
        "function_call",
        "toolUse",
        "normal",
        "eosFound",
        "FinishReason.STOP",
        "FINISH_REASON_STOP",
        {"type": "stop", "matched": 2},
        "end",
        "endoftext",
        None,
        "",
    ],
)
def test_words_for_the_end(finish: Any) -> None:
    response = stopped(finish)
    assert (response.unfinished, response.stop_reason) == ("", "completed")


@pytest.mark.parametrize(
    "finish",
    [
        "length",
        "MAX_TOKENS",
        "max_tokens",
        "model_length",
        "model_context_window_exceeded",
        "token_limit",
        "contextLengthReached",
        "FinishReason.MAX_TOKENS",
        "maxTokens",
        {"type": "length", "length": 9},
        "max_new_tokens",
        "repetition",
    ],
)
def test_words_for_what_was_cut(finish: Any) -> None:
    response = stopped(finish)
    assert (response.unfinished, response.stop_reason) == ("", "max_output_tokens")


@pytest.mark.parametrize(
    "finish",
    [
        "content_filter",
        "SAFETY",
        "RECITATION",
        "PROHIBITED_CONTENT",
        "sensitive",
        "guardrail_intervened",
        "MODEL_ARMOR",
        "content_filter: RECITATION",
        "content_filter: PROHIBITED_CONTENT",
    ],
)
@pytest.mark.parametrize("message", ["half", None, ""])
def test_words_for_what_was_filtered(finish: str, message: Any) -> None:
    response = stopped(finish, message)
    assert (response.unfinished, response.stop_reason) == ("", "content_filter")


@pytest.mark.parametrize(
    "finish",
    [
        "abort",
        "cancelled",
        "timeout",
        "error",
        "network_error",
        "insufficient_system_resource",
        "OTHER",
        "load",
        "pause_turn",
        "not_finished",
        1,
        True,
        ["stop"],
        {"type": "abort", "message": "x"},
        "null",
    ],
)
@pytest.mark.parametrize("message", ["half", None])
def test_any_other_word_is_no_end(finish: Any, message: Any) -> None:
    response = stopped(finish, message)
    assert response.unfinished
    assert response.body["status"] == "failed"


@pytest.mark.parametrize("finish", ["MALFORMED_FUNCTION_CALL", "function_call_filter: MALFORMED_FUNCTION_CALL"])
def test_a_call_that_the_server_could_not_read_is_what_the_model_said(finish: str) -> None:
    response = stopped(finish, None)
    assert (response.unfinished, response.stop_reason) == ("", "empty")


@pytest.mark.parametrize("place", ["choice", "completion"])
def test_an_error_beside_an_answer_makes_it_none(place: str) -> None:
    choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": "half"}, "finish_reason": "stop"}
    completion: dict[str, Any] = {"id": "c", "choices": [choice]}
    (choice if place == "choice" else completion)["error"] = {"code": 502, "message": "upstream"}
    response = Response(response_from_completion(completion))
    assert response.unfinished
    assert response.body["error"]["message"] == "upstream"


@pytest.mark.parametrize("error", [{}, "", {"message": "", "type": "", "param": "", "code": None}, {"code": 0}])
def test_an_error_without_a_word_is_none(error: Any) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "whole"}, "finish_reason": "stop"}
    response = Response(response_from_completion({"id": "c", "choices": [choice], "error": error}))
    assert (response.unfinished, response.output_text) == ("", "whole")
    assert Response({"status": "completed", "output": [], "error": error}).unfinished == ""


@pytest.mark.parametrize(
    ("content", "text"), [({"a": 1}, '{"a":1}'), (42, "42"), (["a", {"type": "text", "text": "b"}], "ab")]
)
def test_content_that_is_no_text_is_not_lost(content: Any, text: str) -> None:
    response = stopped("stop", {"role": "assistant", "content": content})
    assert (response.output_text, response.stop_reason) == (text, "completed")


@pytest.mark.parametrize(
    "content",
    [
        [None],
        ["token"],
        "tokens",
        [{"id": 1, "logprob": -1.0}, {"logprob": -1.0}],
        [{"token": "token_id:x", "logprob": -1.0}],
        [{"token": "token_id:1"}, {"token": 2}],
    ],
)
def test_log_probabilities_that_cannot_be_read_cost_no_answer(content: Any) -> None:
    choice = {"message": {"role": "assistant", "content": "whole"}, "finish_reason": "stop"}
    completion = {"id": "c", "choices": [{**choice, "logprobs": {"content": content}}]}
    response = Response(response_from_completion(completion))
    assert (response.output_text, response.stop_reason) == ("whole", "completed")
    assert "generation_token_ids" not in response.output[-1]
    back = completion_from_response(response.body)
    assert back["choices"][0]["logprobs"] == {"content": content}


def test_a_call_in_the_older_form_is_a_call() -> None:
    message = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"a": 1}'}}
    (made,) = stopped("function_call", message).function_calls
    assert (made.name, made.parsed()) == ("f", {"a": 1})
    assert made.call_id


@pytest.mark.parametrize(
    ("body", "unfinished", "stop_reason"),
    [
        ({"status": "completed"}, False, "empty"),
        ({"status": "Completed"}, False, "empty"),
        ({}, False, "empty"),
        ({"status": "incomplete"}, False, "max_output_tokens"),
        ({"status": "INCOMPLETE", "incomplete_details": {"reason": "MAX_TOKENS"}}, False, "max_output_tokens"),
        ({"incomplete_details": {"reason": "length"}}, False, "max_output_tokens"),
        ({"status": "incomplete", "incomplete_details": {"reason": "SAFETY"}}, False, "content_filter"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_turns"}}, False, "max_turns"),
        ({"status": "incomplete", "incomplete_details": {"reason": "abort"}}, True, "incomplete"),
        ({"status": "incomplete", "incomplete_details": {"reason": 5}}, True, "incomplete"),
        ({"status": "in_progress"}, True, "empty"),
        ({"status": "cancelled"}, True, "empty"),
        ({"status": "failed"}, True, "empty"),
        ({"status": 200}, True, "empty"),
        ({"status": "completed", "error": {"message": "x"}}, True, "empty"),
        ({"status": "completed", "error": None}, False, "empty"),
        ({"status": "completed", "incomplete_details": {"reason": "max_output_tokens"}}, False, "max_output_tokens"),
        ({"status": "completed", "incomplete_details": {"reason": "interrupted"}}, True, "incomplete"),
        ({"output": [{"type": "message", "status": "incomplete"}]}, False, "max_output_tokens"),
        ({"status": "completed", "output": [{"type": "function_call", "status": "in_progress"}]}, True, "completed"),
        ({"status": "completed", "output": [{"type": "web_search_call", "status": "failed"}]}, False, "completed"),
    ],
)
def test_statuses_of_responses(body: dict[str, Any], unfinished: bool, stop_reason: str) -> None:
    response = Response({"output": [], **body})
    assert (bool(response.unfinished), response.stop_reason) == (unfinished, stop_reason)
