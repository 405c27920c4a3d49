"""Sessions as an author sees them."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest

from gym_core import Item, ResourceServer, Session, SessionContext, Task, Trajectory
from gym_core.domain.task import id_text
from gym_core.spi import check_row
from tests.support.envs import PlainSession, ask


def test_a_session_must_verify() -> None:
    class Nothing(Session[Any]):
        pass

    with pytest.raises(TypeError, match="verify"):
        Nothing(ask(), ResourceServer(), SessionContext())  # type: ignore[abstract]


def test_the_fields_of_the_row_are_read_from_the_task() -> None:
    session = PlainSession(ask(3, city="Rome"), ResourceServer(), SessionContext())
    assert session.task["city"] == "Rome"
    assert dict(session.task) == session.task.row


def test_randomness_follows_from_the_seed() -> None:
    first, second = (PlainSession(ask(), ResourceServer(), SessionContext(seed=7)) for _ in range(2))
    assert [first.rng.random() for _ in range(3)] == [second.rng.random() for _ in range(3)]
    assert PlainSession(ask(), ResourceServer(), SessionContext(seed=8)).rng.random() != second.rng.random()


def test_a_task_from_python_has_its_request_and_its_fields() -> None:
    task = Task.ask("Hi.", task_id="a", instructions="Be kind.", params={"temperature": 0}, answer=4)
    assert task.row == {
        "task_id": "a",
        "responses_create_params": {
            "input": [{"type": "message", "role": "user", "content": "Hi."}],
            "temperature": 0,
            "instructions": "Be kind.",
        },
        "answer": 4,
    }


def test_an_id_may_be_a_text_of_any_class() -> None:
    class Name(StrEnum):
        FIRST = "first"

    assert id_text(Name.FIRST) == "first"


def test_what_is_no_task_is_named() -> None:
    with pytest.raises(ValueError, match="this is of type tuple"):
        check_row(("q",))


def test_the_request_leaves_out_what_belongs_to_the_backend() -> None:
    task = Task(
        {"responses_create_params": {"input": "Hi", "model": "x", "stream": True, "temperature": None, "top_p": 1}}
    )
    assert task.request.body == {"input": [{"type": "message", "role": "user", "content": "Hi"}], "top_p": 1}


def test_a_trajectory_answers_with_the_text_after_the_last_tool() -> None:
    items: list[Item] = [
        {"type": "message", "role": "assistant", "content": "first"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a": 1}'},
        {"type": "function_call_output", "call_id": "c", "output": "out"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "last"}]},
    ]
    trajectory = Trajectory([], items)
    assert trajectory.output_text == "last"
    (call,) = trajectory.tool_calls
    assert (call.name, call.arguments, call.output, call.call_id) == ("f", {"a": 1}, "out", "c")
    assert Trajectory([], items[:3]).output_text == ""


@pytest.mark.parametrize("arguments", ["{", "[1]", "3", [1], '"{}"'])
def test_arguments_that_are_no_object_are_none(arguments: Any) -> None:
    items = [{"type": "function_call", "call_id": "c", "name": "f", "arguments": arguments}]
    assert Trajectory([], items).tool_calls[0].arguments is None
    assert Trajectory([], items).tool_calls[0].output is None
