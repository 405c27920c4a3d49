"""What is read by a type is kept, named by its path where it is wrong, and described as it is read."""

from __future__ import annotations

from typing import Any

import pytest

from gym_http.protocol.errors import WireError
from gym_http.protocol.openai import ChatRequest, ResponsesRequest
from gym_http.protocol.sessions import OpenSession, ReplyRequest, ToolCall, VerifyRequest
from gym_http.protocol.shapes import LARGEST, read
from gym_http.serve.openapi import schema_of

ROW = {"responses_create_params": {"input": "x", "more": 1}, "more": {"b": 1, "a": [2]}}


def test_what_nobody_here_knows_survives_in_its_order() -> None:
    item = {"zeta": 1, "type": "message", "content": [{"any": None}], "id": 7}
    response = {"later": 1, "output": [item], "usage": None}
    assert read(ReplyRequest, {"response": response})["response"] is response
    assert list(item) == ["zeta", "type", "content", "id"]
    assert read(OpenSession, {"task": {"row": ROW, "index": 3.0}})["task"] == {"row": ROW, "index": 3}


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        (OpenSession, {"tsk": {}}, "`tsk` is not known here; the fields are task, seed, repeat, models"),
        (OpenSession, {"task": None}, "`task` is missing"),
        (OpenSession, {"task": {"row": ROW}, "seed": "1"}, f"`seed` must be a whole number from 0 to {LARGEST}"),
        (OpenSession, {"task": {"row": []}}, "`task.row` is no task: a task must be a JSON object, this is a list"),
        (OpenSession, {"task": {"row": ROW}, "models": {"judge": {}}}, "`models.judge.base_url` is missing"),
        (ToolCall, {}, "`arguments` is missing"),
        (VerifyRequest, {"trajectory": {"input": [], "items": [{}, 1]}}, "`trajectory.items.1` must be an object"),
        (
            VerifyRequest,
            {"trajectory": {"input": [], "items": [{}] * 3 + [{"call_id": []}]}},
            "`trajectory.items.3.call_id` must be a string",
        ),
        (ResponsesRequest, {"input": 3}, "`input` must be a string or a list of objects"),
        (
            ResponsesRequest,
            {"input": "x", "background": True},
            "`background` is not offered: answers are given at once",
        ),
        (ChatRequest, {"messages": [{"role": 1}]}, "`messages.0.role` must be a string"),
        (
            ChatRequest,
            {"messages": [{"role": "user", "content": 1}]},
            "`messages.0.content` must be a string or a list of parts",
        ),
    ],
)
def test_the_first_thing_that_is_wrong_is_named_by_its_path(kind: type[Any], body: Any, message: str) -> None:
    with pytest.raises(WireError) as raised:
        read(kind, body)
    assert raised.value.message == message


def test_a_type_is_described_as_it_is_read() -> None:
    schema = schema_of(OpenSession)
    assert (schema["required"], schema["additionalProperties"]) == (["task"], False)
    assert schema["properties"]["seed"]["anyOf"][0] == {"type": "integer", "minimum": 0, "maximum": LARGEST}
    assert schema_of(ReplyRequest)["properties"]["response"] == {"$ref": "#/components/schemas/ResponseShape"}
