"""Reading Responses-API shapes without trusting them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gym_core import FunctionCall, Request, Response, Usage, user_message
from gym_core.responses import as_items

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
COUNTS = st.integers(0, 10**6)
USAGES = st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS)


@given(USAGES)
def test_usage_survives_the_wire(usage: Usage) -> None:
    assert Usage.of(usage.to_wire()) == usage


@given(st.lists(USAGES, max_size=5))
def test_usage_adds_up_field_by_field(usages: list[Usage]) -> None:
    total = sum(usages, Usage())
    assert total.input_tokens == sum(usage.input_tokens for usage in usages)
    assert total.total_tokens == sum(usage.total_tokens for usage in usages)


@given(JSON | st.dictionaries(st.sampled_from(["input_tokens", "output_tokens", "input_tokens_details"]), JSON))
def test_a_malformed_usage_counts_as_nothing_and_never_below(usage: Any) -> None:
    read = Usage.of(usage)
    assert min(read.input_tokens, read.output_tokens, read.cached_tokens, read.reasoning_tokens) >= 0


@pytest.mark.parametrize(
    "usage", [None, 3, [], {}, {"input_tokens": None}, {"input_tokens": "7"}, {"input_tokens": True}]
)
def test_what_is_no_count_is_zero(usage: Any) -> None:
    assert Usage.of(usage) == Usage()


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["type", "content", "role", "name", "arguments", "call_id"]), JSON), max_size=4
    )
)
def test_odd_items_can_be_read(output: list[dict[str, Any]]) -> None:
    response = Response({"output": output})
    assert isinstance(response.output_text, str)
    assert isinstance(response.stop_reason, str)
    for call in response.function_calls:
        assert isinstance(call.name + call.call_id + call.arguments, str)


def message(*parts: Any) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": list(parts)}


TEXT = {"type": "output_text", "text": "hi"}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"output": [message(TEXT)]}, "completed"),
        ({"output": [{"role": "assistant", "content": "hi"}]}, "completed"),
        ({"output": [{"type": "function_call", "name": "f"}]}, "completed"),
        ({"output": [{"type": "web_search_call"}]}, "completed"),
        ({"output": []}, "empty"),
        ({"output": [message()]}, "empty"),
        ({"output": [message({"type": "output_text", "text": ""})]}, "empty"),
        ({"output": [{"type": "reasoning"}]}, "reasoning_only"),
        ({"output": [{"type": "reasoning"}, message()]}, "reasoning_only"),
        ({"output": [{"type": "reasoning"}, message(TEXT)]}, "completed"),
        ({"output": [message({"type": "refusal", "refusal": "no"})]}, "refusal"),
        ({"output": [message(TEXT)], "status": "incomplete"}, "max_output_tokens"),
        ({"output": [], "status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ({"output": [], "status": "incomplete", "incomplete_details": {"reason": None}}, "max_output_tokens"),
    ],
)
def test_stop_reason(body: dict[str, Any], reason: str) -> None:
    assert Response(body).stop_reason == reason


def test_the_text_of_all_messages_is_joined() -> None:
    output = [message(TEXT, {"type": "output_text", "text": "!"}), {"type": "reasoning"}, message(TEXT)]
    assert Response({"output": output}).output_text == "hi!hi"


def test_a_function_call_is_the_item_itself_with_names() -> None:
    item = {"type": "function_call", "name": "f", "call_id": "c", "arguments": "{}", "vendor": 1}
    (call,) = Response({"output": [item]}).function_calls
    assert call == item
    assert (call.name, call.call_id, call.arguments) == ("f", "c", "{}")
    assert FunctionCall({"id": "i", "name": 3, "arguments": {}}).call_id == "i"


def test_a_request_over_another_conversation_leaves_the_first_alone() -> None:
    request = Request.ask("Hi.", temperature=1, tools=[{"name": "f"}])
    other = request.with_input([user_message("Ho.")], {"temperature": 0})
    assert (other.body["temperature"], request.body["temperature"]) == (0, 1)
    assert other.tools == [{"name": "f"}]
    assert request.input == [user_message("Hi.")]


@pytest.mark.parametrize("value", [None, 3, {}, [3], ["text"]])
def test_an_input_is_a_text_or_items(value: Any) -> None:
    with pytest.raises(ValueError, match="string or a list"):
        as_items(value)
    assert as_items("Hi") == [user_message("Hi")]
    assert as_items([]) == []
