"""Calls as models write them: which output answers which call, and what the arguments say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gym_core import FunctionCall, Item, Response, ToolRun, Trajectory, responses
from gym_core.domain.arguments import DEEPEST, sent_arguments
from gym_core.domain.tool_calls import sent_items, with_unique_ids


def called(call_id: Any, name: Any = "f", **fields: Any) -> Item:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": "{}", **fields}


def answered(call_id: Any, output: str) -> Item:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def outputs(*items: Item, **about: Any) -> list[str | None]:
    return [call.output for call in Trajectory([], items, **about).tool_calls]


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        pytest.param([called("a"), called("b"), answered("b", "2"), answered("a", "1")], ["1", "2"], id="by id"),
        pytest.param([called("a"), called("a"), answered("a", "1"), answered("a", "2")], ["1", "2"], id="in one turn"),
        pytest.param([called("a"), answered("a", "1"), called("a"), answered("a", "2")], ["1", "2"], id="in two turns"),
        pytest.param([called(None), called(""), answered("", "1"), answered(None, "2")], ["1", "2"], id="no ids"),
        pytest.param([called(7), answered("7", "1"), called("8"), answered(8, "2")], ["1", "2"], id="integers"),
        pytest.param([called(0), called(1), answered(1, "2"), answered(0, "1")], ["1", "2"], id="zero"),
        pytest.param([called("a"), answered("a", "1"), answered("a", "forged")], ["1"], id="answered twice"),
        pytest.param([called("a"), called("b"), answered("c", "?"), answered("b", "2")], [None, "2"], id="of no call"),
        pytest.param(
            [called("a"), called("b"), answered("b", "2"), called("a"), answered("a", "3")], [None, "2", "3"], id="late"
        ),
        pytest.param([called({"x": 1}), answered(["y"], "1")], ["1"], id="of any kind"),
        pytest.param([called(None, id="fc"), answered("fc", "1")], ["1"], id="the id of the item"),
    ],
)
def test_outputs_belong_to_calls_by_order(items: list[Item], expected: list[str | None]) -> None:
    assert outputs(*items) == expected


def test_an_output_that_the_model_wrote_itself_answers_nothing() -> None:
    items = [called("a"), answered("a", "forged"), answered("a", "real")]
    question = responses.user_message("?")
    trajectory = Trajectory([question], items, tool_runs=[ToolRun("policy", 1, 3)])
    assert [made.output for made in trajectory.tool_calls] == ["real"]


def test_items_for_readers_who_pair_by_id() -> None:
    items = [called("a"), called("a"), answered("a", "1"), answered("a", "2"), called(None), answered("", "3")]
    unique = with_unique_ids(items)
    ids = [item["call_id"] for item in unique]
    assert ids[:2] == ids[2:4]
    assert ids[4] == ids[5]
    assert len({*ids}) == 3
    assert ids[0] == "a", "the first of an id keeps it"
    assert [item.get("output") for item in unique] == [None, None, "1", "2", None, "3"]
    assert with_unique_ids(items[:1])[0] is items[0]


def test_a_forged_output_has_no_id_of_a_call() -> None:
    unique = with_unique_ids([called("a"), answered("a", "forged"), answered("a", "real")], answers={2: 0})
    assert unique[0]["call_id"] == unique[2]["call_id"] != unique[1]["call_id"]


def test_made_up_ids_collide_with_none_that_was_there() -> None:
    items = [called("a"), called("a_2"), called("a"), called("a_unasked"), answered("a", "1"), answered("b", "?")]
    items += [answered("a_2", "2"), answered("a", "3"), answered("a_unasked", "4"), answered("a", "?")]
    unique = with_unique_ids(items)
    ids = [item["call_id"] for item in unique]
    assert len({*ids[:4]}) == 4
    assert [ids[4], *ids[6:9]] == [ids[0], ids[1], ids[2], ids[3]]
    assert ids[5] == "b"
    assert ids[9] not in ids[:9]


DEEP = '{"a": ' + "[" * DEEPEST + "]" * DEEPEST + "}"


@pytest.mark.parametrize(
    ("written", "parsed", "sent"),
    [
        ("", {}, "{}"),
        (None, {}, "{}"),
        ("null", {}, "{}"),
        (" \n", {}, "{}"),
        ('{"a": 1}', {"a": 1}, '{"a": 1}'),
        ({"a": [1]}, {"a": [1]}, '{"a":[1]}'),
        ('\ufeff{"a": 1}', {"a": 1}, '{"a":1}'),
        ('{"a": "\\ud83d"}', {"a": "�"}, '{"a":"�"}'),
        ('{"a": 123456789012345678901234567890}', {"a": 123456789012345678901234567890}, None),
        ('{"a": -Infinity}', {"a": float("-inf")}, '{"a":null}'),
        ('{"a": 1', None, "{}"),
        ("[1]", None, "{}"),
        ('"{}"', None, "{}"),
        ("7", None, "{}"),
        (True, None, "{}"),
        (DEEP, None, "{}"),
        (json.loads(DEEP), None, "{}"),
        ("[" * 100_000, None, "{}"),
        ('{"a":' * 100_000, None, "{}"),
        ('{"a": ' + "9" * 5000 + "}", None, "{}"),
        ('{"a": "' + "[" * 1000 + '"}', {"a": "[" * 1000}, '{"a": "' + "[" * 1000 + '"}'),
        ('{"a": "' + "x" * 9000 + '"}', {"a": "x" * 9000}, '{"a": "' + "x" * 9000 + '"}'),
        ('{"a": [' + "[1, 2], " * 200 + "3]}", {"a": [[1, 2]] * 200 + [3]}, '{"a": [' + "[1, 2], " * 200 + "3]}"),
        ('{"a": ' + "9" * 400 + "}", {"a": int("9" * 400)}, '{"a":' + "9" * 400 + "}"),
    ],
)
def test_what_arguments_say_and_what_is_sent_back(
    written: Any, parsed: dict[str, Any] | None, sent: str | None
) -> None:
    item = called("c", arguments=written)
    assert Trajectory([], [item]).tool_calls[0].arguments == parsed
    if parsed is None:
        with pytest.raises(ValueError, match="arguments"):
            FunctionCall(item).parsed()
    else:
        assert FunctionCall(item).parsed() == parsed
    back = sent_arguments(written)
    if sent is None:
        assert json.loads(back) == parsed
    else:
        assert back == sent
    assert isinstance(json.loads(back), dict)


def test_the_record_is_left_alone_by_what_is_sent() -> None:
    items = [called("c", arguments="{"), called("d", name=None, arguments="{}")]
    sent = sent_items(items)
    assert items == [called("c", arguments="{"), called("d", name=None, arguments="{}")]
    assert [item["arguments"] for item in sent] == ["{}", "{}"]
    assert all(item["name"] for item in sent)
    whole = [called("c"), answered("c", "1")]
    assert sent_items(whole) is whole


@pytest.mark.parametrize("call_id", [7, "", None, {}])
def test_calls_in_a_history_are_sent_with_ids(call_id: Any) -> None:
    history = [called(call_id), answered(call_id, "1"), called(call_id), answered(call_id, "2")]
    sent = sent_items(history)
    ids = [item["call_id"] for item in sent]
    assert all(isinstance(each, str) and each for each in ids)
    assert ids[0] == ids[1] != ids[2] == ids[3]
    assert list(sent_items(history[:2])) == sent[:2], "what was sent before is sent again as it was"
    assert outputs(*sent) == ["1", "2"]


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("get-weather", "get-weather"),
        ("functions.get_weather", "functions_get_weather"),
        ("get weather<|channel|>", "get_weather__channel__"),
        ("mail.send", "mail.send"),
        ("x" * 100, "x" * 64),
        ("", "unknown"),
        (None, "unknown"),
        (["f"], "unknown"),
    ],
)
def test_a_name_that_no_tool_has_is_sent_as_one_could_be(name: Any, sent: str) -> None:
    (item,) = sent_items([called("c", name)], [{"type": "function", "name": "mail.send"}])
    assert item["name"] == sent


def test_an_agent_reads_arguments_as_text_whatever_they_are() -> None:
    response = Response({"output": [called(3, arguments={"a": 1}), called("x", arguments=None)]})
    first, second = response.function_calls
    assert (first.call_id, json.loads(first.arguments)) == ("3", {"a": 1})
    assert json.loads(second.arguments) == {}
