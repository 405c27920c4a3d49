"""Whatever one API can say survives the way through the other."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gym_chat import chat_request, completion_from_response, response_from_completion, responses_request

text = st.text(max_size=8)
words = st.text(min_size=1, max_size=8)
json_value = st.recursive(
    st.integers() | st.booleans() | text,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=3,
)
unknown = st.dictionaries(words.map("x_{}".format), json_value, max_size=2)


def fixed(required: dict[str, Any], optional: dict[str, Any] | None = None) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with these fields and now and then some that neither API knows."""
    known = st.fixed_dictionaries(required, optional=optional or {})
    return st.builds(lambda fields, extra: {**extra, **fields}, known, unknown)


def just(**fields: Any) -> dict[str, Any]:
    return {name: st.just(value) for name, value in fields.items()}


chat_part = st.one_of(
    fixed({**just(type="text"), "text": text}),
    fixed(
        {**just(type="image_url"), "image_url": st.fixed_dictionaries({"url": words}, optional={"detail": words})},
    ),
    fixed(
        {
            **just(type="file"),
            "file": st.fixed_dictionaries({}, optional={"file_id": words, "file_data": words, "filename": words}),
        }
    ),
    fixed({**just(type="input_audio"), "input_audio": st.fixed_dictionaries({"data": text, "format": words})}),
    fixed({**just(type="video_url"), "video_url": st.fixed_dictionaries({"url": words})}),
)
content = text | st.lists(chat_part, max_size=3)
tool_call = st.one_of(
    fixed({"id": words, **just(type="function"), "function": fixed({"name": words, "arguments": text})}),
    fixed({"id": words, **just(type="custom"), "custom": fixed({"name": words, "input": text})}),
)
assistant = st.one_of(
    fixed({**just(role="assistant"), "content": words}, {"reasoning_content": words, "name": words, "refusal": words}),
    fixed(
        {
            **just(role="assistant"),
            "content": words | st.none(),
            "tool_calls": st.lists(tool_call, min_size=1, max_size=3),
        },
        {"reasoning_content": words},
    ),
    fixed(
        {
            **just(role="assistant"),
            "content": words | st.none(),
            "tool_calls": st.lists(tool_call, min_size=1, max_size=3),
        },
        {"reasoning": words},
    ),
    fixed({**just(role="assistant", content=None), "refusal": words}),
)
other_message = st.one_of(
    fixed({"role": st.sampled_from(["system", "developer", "user"]), "content": content}, {"name": words}),
    fixed({**just(role="tool"), "tool_call_id": words, "content": content}),
)
conversation = st.lists(st.tuples(other_message, st.none() | assistant), min_size=1, max_size=4).map(
    lambda pairs: [message for pair in pairs for message in pair if message]
)
tool = st.one_of(
    fixed(
        {
            **just(type="function"),
            "function": fixed({"name": words}, {"parameters": json_value, "strict": st.booleans()}),
        }
    ),
    fixed(
        {
            **just(type="custom"),
            "custom": fixed(
                {"name": words},
                {
                    "format": st.one_of(
                        st.just({"type": "text"}),
                        st.fixed_dictionaries(
                            {
                                "type": st.just("grammar"),
                                "grammar": st.fixed_dictionaries({"syntax": words, "definition": words}),
                            }
                        ),
                    )
                },
            ),
        }
    ),
)
named_tool = st.fixed_dictionaries({"type": st.just("function"), "function": st.fixed_dictionaries({"name": words})})
chat_body = fixed(
    {"messages": conversation},
    {
        "model": words,
        "tools": st.lists(tool, max_size=2),
        "tool_choice": st.one_of(
            st.sampled_from(["auto", "none", "required"]),
            named_tool,
            st.fixed_dictionaries(
                {
                    "type": st.just("allowed_tools"),
                    "allowed_tools": st.fixed_dictionaries({"mode": words, "tools": st.lists(named_tool, max_size=2)}),
                }
            ),
        ),
        "parallel_tool_calls": st.booleans(),
        "max_completion_tokens": st.integers(1, 99),
        "response_format": st.one_of(
            st.sampled_from([{"type": "text"}, {"type": "json_object"}, {"type": "json_object", "schema": {"a": 1}}]),
            st.fixed_dictionaries(
                {"type": st.just("json_schema"), "json_schema": fixed({"name": words}, {"schema": json_value})}
            ),
        ),
        "verbosity": words,
        "reasoning_effort": words,
        "logprobs": st.just(True),
        "temperature": st.floats(0, 2),
        "seed": st.integers(),
        "stop": st.lists(words, max_size=2),
        "logit_bias": st.dictionaries(words, st.integers(), max_size=2),
        "n": st.integers(1, 3),
        "stream": st.booleans(),
    },
)
entry = fixed({"token": words, "logprob": st.floats(-9, 0), "bytes": st.lists(st.integers(0, 255), max_size=2)})
usage = st.fixed_dictionaries(
    {"prompt_tokens": st.integers(0, 9), "completion_tokens": st.integers(0, 9), "total_tokens": st.integers(0, 18)},
    optional={"prompt_tokens_details": st.just({"cached_tokens": 1}), "x_cost": st.floats(0, 1)},
)
choice = fixed(
    {
        "index": st.just(0),
        "message": assistant | fixed(just(role="assistant", content=None)) | fixed(just(role="assistant", content="")),
        "finish_reason": st.sampled_from(["stop", "length", "tool_calls", "content_filter", "eos"]),
    },
    {
        "logprobs": st.fixed_dictionaries(
            {"content": st.lists(entry, min_size=1, max_size=2)}, optional={"refusal": st.lists(entry, max_size=1)}
        ),
        "token_ids": st.lists(st.integers(0, 9), max_size=3),
    },
)
completion = fixed(
    {"id": words, **just(object="chat.completion"), "choices": st.lists(choice, min_size=1, max_size=2)},
    {
        "created": st.integers(),
        "model": words,
        "usage": usage,
        "system_fingerprint": words,
        "service_tier": words,
        "prompt_token_ids": st.lists(st.integers(0, 9), max_size=3),
    },
)


def without_lone_tool_fields(body: dict[str, Any]) -> dict[str, Any]:
    """A request as servers take it: where there are no tools, nothing speaks of them."""
    lone = () if body.get("tools") else ("tools", "tool_choice", "parallel_tool_calls")
    return {name: value for name, value in body.items() if name not in lone}


@given(chat_body)
def test_a_chat_request_through_responses(body: dict[str, Any]) -> None:
    before = copy.deepcopy(body)
    assert chat_request(responses_request(body), tool_media="tool") == without_lone_tool_fields(body)
    assert body == before, "the conversion changed what it was given"


@given(completion)
def test_a_completion_through_responses(reply: dict[str, Any]) -> None:
    before = copy.deepcopy(reply)
    assert completion_from_response(response_from_completion(reply)) == reply
    assert reply == before, "the conversion changed what it was given"


@given(completion)
def test_the_servers_message_is_echoed_as_it_came(reply: dict[str, Any]) -> None:
    message = reply["choices"][0]["message"]
    output = response_from_completion(reply)["output"]
    echoed = chat_request({"input": output})["messages"]
    if output:
        assert echoed == [message]
    else:
        assert not message["content"]


output_message = st.builds(
    lambda parts: {"type": "message", "role": "assistant", "content": parts},
    st.lists(st.builds(lambda t: {"type": "output_text", "text": t}, words), min_size=1, max_size=1),
)
function_call = st.fixed_dictionaries(
    {"type": st.just("function_call"), "call_id": words, "name": words, "arguments": text}
)
reasoning = st.builds(
    lambda t: {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": t}]}, words
)
turn = st.tuples(st.none() | reasoning, output_message, st.lists(function_call, max_size=3)).map(
    lambda parts: [item for item in (parts[0], parts[1], *parts[2]) if item]
)


def bare(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Items without what chat has no words for: ids, states, annotations."""
    found = []
    for item in items:
        kept = {name: value for name, value in item.items() if name not in ("id", "status")}
        if kept["type"] == "message":
            kept["content"] = [{"type": part["type"], "text": part["text"]} for part in kept["content"]]
        found.append(kept)
    return found


@given(turn)
def test_output_items_through_a_completion(output: list[dict[str, Any]]) -> None:
    body = {"id": "r", "status": "completed", "output": output}
    reply = completion_from_response(body)
    assert bare(response_from_completion(reply)["output"]) == output


responses_part = st.one_of(
    fixed({**just(type="input_text"), "text": text}),
    fixed({**just(type="input_image"), "image_url": words}, {"detail": words}),
    fixed({**just(type="input_file"), "filename": words, "file_data": words}),
    fixed({**just(type="input_audio"), "input_audio": st.fixed_dictionaries({"data": text, "format": words})}),
)
responses_content = text | st.lists(responses_part, max_size=3)
user = fixed(
    {**just(type="message"), "role": st.sampled_from(["user", "system", "developer"]), "content": responses_content}
)
answer = fixed({**just(type="function_call_output"), "call_id": words, "output": responses_content})
spoken = st.builds(lambda t: {"type": "message", "role": "assistant", "content": t}, words)
called = st.fixed_dictionaries(
    {**just(type="function_call", status="completed"), "call_id": words, "name": words, "arguments": text}
)
said = st.tuples(st.none() | reasoning, st.none() | spoken, st.lists(called, max_size=2)).filter(
    lambda parts: bool(parts[1] or parts[2])
)
responses_tool = fixed({**just(type="function"), "name": words}, {"parameters": json_value, "strict": st.booleans()})
responses_body = fixed(
    {
        "input": st.lists(st.tuples(user | answer, said), min_size=1, max_size=3).map(
            lambda turns: [
                item for asked, (thought, text, calls) in turns for item in (asked, thought, text, *calls) if item
            ]
        )
    },
    {
        "model": words,
        "tools": st.lists(responses_tool, max_size=2),
        "tool_choice": st.sampled_from(["auto", {"type": "function", "name": "f"}]),
        "max_output_tokens": st.integers(1, 9),
        "text": fixed({}, {"verbosity": words, "format": fixed({**just(type="json_schema"), "name": words})}).filter(
            bool
        ),
        "reasoning": st.fixed_dictionaries({"effort": words}, optional={"summary": words}),
        "include": st.sampled_from([["message.output_text.logprobs"], ["reasoning.encrypted_content"]]),
        "metadata": st.dictionaries(words, words, max_size=2),
        "temperature": st.floats(0, 2),
    },
)


@given(responses_body)
def test_a_responses_request_through_chat(body: dict[str, Any]) -> None:
    before = copy.deepcopy(body)
    assert responses_request(chat_request(body, tool_media="tool")) == without_lone_tool_fields(body)
    assert body == before, "the conversion changed what it was given"


def media(messages: list[dict[str, Any]]) -> list[Any]:
    """All parts that are no text, in order."""
    contents = [message["content"] for message in messages if isinstance(message.get("content"), list)]
    return [part for parts in contents for part in parts if part["type"] != "text"]


@given(responses_body)
def test_images_that_tools_return_go_behind_them_and_none_is_lost(body: dict[str, Any]) -> None:
    inside = chat_request(body, tool_media="tool")["messages"]
    behind = chat_request(body)["messages"]
    assert media(behind) == media(inside)
    assert not media([message for message in behind if message["role"] == "tool"])
    roles = [message["role"] for message in behind]
    for place, message in enumerate(behind):
        if "see the next message]" in str(message["content"]) and message["role"] == "tool":
            after = next(role for role in roles[place:] if role != "tool")
            assert after == "user"
    kept = [message for message in behind if message["role"] == "assistant"]
    assert kept == [message for message in inside if message["role"] == "assistant"]
