"""The adapter's policy, without a model."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gym_core import encode_json, parse_json
from gym_local_model import adapter

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the current weather of one city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "The city's name."}},
        "required": ["city"],
    },
}
ADD = {
    "type": "function",
    "name": "add",
    "parameters": {"type": "object", "properties": {"by": {"type": "integer"}}, "required": ["by"]},
}


def user(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": text}


def body(*items: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"input": list(items), "tools": [WEATHER], **fields}


def called(city: str, output: str, call_id: str = "c") -> list[dict[str, Any]]:
    arguments = json.dumps({"city": city})
    return [
        {"type": "function_call", "call_id": call_id, "name": "get_weather", "arguments": arguments},
        {"type": "function_call_output", "call_id": call_id, "output": output},
    ]


def reply(*cities: str) -> str:
    return json.dumps([{"name": "get_weather", "arguments": {"city": city}} for city in cities])


QUESTION = user("What is the weather in Oslo and in Lima?")


@pytest.mark.parametrize(
    ("request_body", "due"),
    [
        (body(QUESTION), True),
        (body({"role": "user", "content": "no type, as some data sets write it"}), True),
        (body(QUESTION, tools=[]), False),
        (body(QUESTION, tools=[{"type": "web_search"}]), False),
        (body(QUESTION, tool_choice="none"), False),
        (body(QUESTION, tool_choice={"type": "function", "name": "another"}), False),
        (body(QUESTION, *called("Oslo", "snowy")), False),
        (body(QUESTION, *called("Oslo", "snowy"), user("And in Lima?")), True),
    ],
)
def test_a_call_is_due_after_a_user_message_that_has_tools(request_body: dict[str, Any], due: bool) -> None:
    assert adapter.call_is_due(request_body) is due


def test_the_call_prompt_lists_the_tools_and_ends_with_the_question() -> None:
    prompt = adapter.call_prompt(body(user("hello"), QUESTION, instructions="Be kind."))
    system = prompt.messages[0]["content"]
    assert system.startswith("Be kind.")
    assert "get_weather(city: string): Get the current weather of one city. city: The city's name." in system
    assert prompt.messages[-1] == {"role": "user", "content": f"hello\n{QUESTION['content']}"}


def test_the_schema_allows_the_tools_and_nothing_else() -> None:
    form = adapter.call_prompt(body(QUESTION, tools=[WEATHER, ADD])).response_format
    assert form is not None
    schema = form["json_schema"]["schema"]
    names = [each["properties"]["name"]["const"] for each in schema["items"]["anyOf"]]
    assert names == ["get_weather", "add"]
    assert schema["items"]["anyOf"][0]["properties"]["arguments"]["required"] == ["city"]
    assert (schema["minItems"], schema["maxItems"]) == (1, adapter.MAX_CALLS)


def test_tool_choice_and_parallel_tool_calls_narrow_the_schema() -> None:
    chosen = {"type": "function", "name": "add"}
    request = body(QUESTION, tools=[WEATHER, ADD], tool_choice=chosen, parallel_tool_calls=False)
    form = adapter.call_prompt(request).response_format
    assert form is not None
    schema = form["json_schema"]["schema"]
    assert schema["items"]["properties"]["name"] == {"const": "add"}
    assert schema["maxItems"] == 1
    assert adapter.call_is_required(request)


def test_references_inside_a_tools_schema_are_resolved() -> None:
    tool = {
        "name": "go",
        "parameters": {
            "type": "object",
            "properties": {"to": {"$ref": "#/$defs/Place"}},
            "$defs": {"Place": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Place"}}}},
        },
    }
    text = json.dumps(adapter.call_prompt(body(QUESTION, tools=[tool])).response_format)
    assert "$ref" not in text
    assert '"next"' in text


@pytest.mark.parametrize(
    ("said", "cities"),
    [
        (reply("Oslo", "Lima"), ["Oslo", "Lima"]),
        (reply("Oslo", "Oslo"), ["Oslo"]),
        (reply("Oslo", "Mumbai"), ["Oslo"]),
        (reply("oslo, Norway"), ["oslo, Norway"]),
        (reply("Mumbai"), []),
        (reply("Oslo")[:-4], []),
        ("no JSON at all", []),
        ('{"name": "get_weather"}', []),
    ],
)
def test_calls_are_kept_once_and_only_when_the_conversation_supports_them(said: str, cities: list[str]) -> None:
    assert [call["arguments"]["city"] for call in adapter.calls_in(said, body(QUESTION))] == cities


def test_a_demanded_call_is_kept_even_if_it_is_made_up() -> None:
    calls = adapter.calls_in(reply("Mumbai", "Quito"), body(QUESTION, tool_choice="required"))
    assert [call["arguments"]["city"] for call in calls] == ["Mumbai"]


def test_arguments_that_are_no_text_need_no_support() -> None:
    said = json.dumps([{"name": "add", "arguments": {"by": 7}}])
    assert len(adapter.calls_in(said, body(user("The counter is at 3. Make it 10."), tools=[ADD]))) == 1


def test_the_same_conversation_gives_the_same_call_ids() -> None:
    calls = adapter.calls_in(reply("Oslo", "Lima"), body(QUESTION))
    first, again = adapter.call_items(calls, body(QUESTION)), adapter.call_items(calls, body(QUESTION))
    other = adapter.call_items(calls, body(user("hi"), QUESTION))
    assert first == again
    assert len({item["call_id"] for item in first + other}) == 4
    assert [json.loads(item["arguments"]) for item in first] == [{"city": "Oslo"}, {"city": "Lima"}]


def test_the_answer_prompt_puts_the_results_in_words_before_the_question() -> None:
    request = body(
        QUESTION, *called("Oslo", '{"condition": "snowy", "temperature_c": -3}'), *called("Lima", "foggy", "d")
    )
    _, question, opening = adapter.answer_prompt(request).messages
    assert opening == {"role": "assistant", "content": "According to get_weather, the"}
    assert question["content"].splitlines() == [
        "get_weather(city=Oslo) returned condition: snowy, temperature_c: -3",
        "get_weather(city=Lima) returned foggy",
        "",
        QUESTION["content"],
    ]


def test_without_results_the_answer_prompt_is_the_conversation() -> None:
    request = body({"role": "system", "content": "Be brief."}, user("Hi"), tools=[])
    assert adapter.answer_prompt(request).messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    ]


def test_without_any_system_text_the_answer_prompt_brings_one() -> None:
    assert adapter.answer_prompt(body(user("Hi"), tools=[])).messages[0]["role"] == "system"


PARTS = ["[" * 3000, '[{"name":"get_weather","arguments":', "{" * 800, "9" * 4400, "1e999", "NaN", "\ud800", '"city"']
PARTS += ['{"a":' * 600 + "1" + "}" * 600, '"Oslo"', "null", "}", "]", ":", ",", " "]
HOSTILE: st.SearchStrategy[Any] = (
    st.lists(st.sampled_from(PARTS), max_size=8).map("".join) | st.none() | st.just([]) | st.integers()
)


@settings(max_examples=60, deadline=None)
@given(said=HOSTILE, arguments=HOSTILE, output=HOSTILE, call_id=st.none() | st.just([]) | st.just({}) | st.text())
def test_nothing_that_is_said_makes_the_adapter_fail(said: Any, arguments: Any, output: Any, call_id: Any) -> None:
    call = {"type": "function_call", "call_id": call_id, "name": "get_weather", "arguments": arguments}
    request = body(QUESTION, call, {"type": "function_call_output", "call_id": call_id, "output": output})
    for prompt in (adapter.answer_prompt(request), adapter.call_prompt(request)):
        encode_json(prompt.messages)
    for item in adapter.call_items(adapter.calls_in(str(said), request), request):
        assert isinstance(parse_json(item["arguments"]), dict)


def test_a_reply_that_nests_without_end_holds_no_calls() -> None:
    for text in ("[" * 100_000, '[{"name":"get_weather","arguments":' + '{"a":' * 1100 + "1" + "}" * 1100 + "}]"):
        assert adapter.calls_in(text, body(QUESTION, tool_choice="required")) == []


def test_a_call_whose_name_is_no_text_is_none() -> None:
    said = json.dumps([{"name": {"a": 1}, "arguments": {"city": "Oslo"}}])
    assert adapter.calls_in(said, body(QUESTION, tool_choice="required")) == []
