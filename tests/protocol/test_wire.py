"""What crosses a connection comes out as it went in."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from types import NoneType
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gym_core import (
    AgentInfo,
    ModelCall,
    ModelInfo,
    ResourceServerInfo,
    Session,
    SessionInfo,
    Task,
    ToolRun,
    Trajectory,
    Verdict,
)
from gym_core.spi import session_info
from gym_http.protocol.errors import WireError
from gym_http.protocol.sessions import TaskBody
from gym_http.protocol.shapes import read
from gym_http.protocol.wire import (
    info_from_wire,
    info_to_wire,
    task_of_body,
    task_to_wire,
    trajectory_from_wire,
    trajectory_to_wire,
    verdict_from_wire,
    verdict_to_wire,
)
from gym_nemo.foreign_verdict import NotMeasured

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=8), JSON, max_size=4)
LOOKED_UP: dict[str, Any] = {
    **dict.fromkeys(("type", "role", "status"), str | None),
    **dict.fromkeys(("name", "id", "call_id"), str | float | int | None),
}
"""What readers of an item look up, and of which types it may be."""
ITEMS = st.lists(
    OBJECTS.filter(lambda item: all(isinstance(item.get(key), kind) for key, kind in LOOKED_UP.items())),
    max_size=4,
)
FIELDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(
    lambda name: name not in ("response", "reward", "reward_components", "rollout", "task_id", "id")
)


def sent(value: Any) -> Any:
    return orjson.loads(orjson.dumps(value))


@given(st.dictionaries(FIELDS, JSON, max_size=4), st.text(max_size=8), st.integers(0, 2**31))
def test_tasks(fields: dict[str, Any], task_id: str, index: int) -> None:
    task = Task({**fields, "responses_create_params": {"input": "x"}}, task_id=task_id, index=index)
    got = task_of_body(read(TaskBody, sent(task_to_wire(task))))
    assert (got.row, got.task_id, got.index) == (task.row, task.task_id, task.index)


@given(ITEMS, ITEMS, st.text(max_size=10))
def test_trajectories(opening: list[Any], items: list[Any], stop_reason: str) -> None:
    got = trajectory_from_wire(sent(trajectory_to_wire(Trajectory(opening, items, stop_reason=stop_reason))))
    assert (got.input, got.items, got.stop_reason, got.model_calls) == (opening, items, stop_reason, ())


@pytest.mark.parametrize("field", LOOKED_UP)
def test_an_item_whose_field_is_no_text_is_said(field: str) -> None:
    with pytest.raises(WireError, match=rf"trajectory\.items\.0\.{field}` must be a string"):
        trajectory_from_wire({"input": [], "items": [{field: []}]})


@pytest.mark.parametrize("cost", [None, 0.25])
def test_model_calls(cost: float | None) -> None:
    calls = (
        ModelCall("policy", "policy", None, 0, [[0, 1]], [[1, 2]], {"input_tokens": 3}, 0.5, 0.25, 2, 0.125, "r", "m"),
        ModelCall("policy", "policy", 0, 1, [], [[2, 3]], sampling={"temperature": 0}, cost=cost),
        ModelCall("judge", "critic", None, 0, [[0, 2]], [], verifies=True),
    )
    runs = (ToolRun("policy", 1, 2, 0.5, 0.25), ToolRun("helper", 2, 1, error="raised"))
    items = [{"type": "message"}] * 3
    trajectory = Trajectory(items[:1], items[1:2], others=items[2:], model_calls=calls, tool_runs=runs)
    got = trajectory_from_wire(sent(trajectory_to_wire(trajectory)))
    assert (got.model_calls, got.tool_runs, got.others) == (calls, runs, items[2:])


def test_places_that_there_are_not_are_nobodys() -> None:
    call = {"continues": 7, "kept": 9, "shown": [[0, 10**15], [1], [0, 0, 0]], "gave": [[-5, 1]]}
    run = {"call": 0, "output": 10**15}
    wire = {"input": [{"type": "message"}], "items": [], "model_calls": [call], "tool_calls": [run]}
    got = trajectory_from_wire(wire)
    assert [(made.continues, made.shown, made.gave) for made in got.model_calls] == [(None, [[0, 1]], [[0, 1]])]
    assert got.tool_runs == ()
    assert (got.output_text, got.tool_calls, got.of("policy")) == ("", [], got)


@given(NUMBERS, st.dictionaries(st.text(max_size=5), NUMBERS, max_size=3), OBJECTS)
def test_verdicts(reward: float, components: dict[str, float], info: dict[str, Any]) -> None:
    verdict = Verdict(reward, components, info)
    assert verdict_from_wire(sent(verdict_to_wire(verdict))) == verdict


@pytest.mark.parametrize(
    ("wire", "field"),
    [
        (None, "verdict"),
        ({}, "verdict.reward"),
        ({"reward": "1"}, "verdict.reward"),
        ({"reward": True}, "verdict.reward"),
        ({"reward": 1, "components": {"a": "b"}}, "verdict.components.a"),
        ({"reward": 1, "info": []}, "verdict"),
    ],
)
def test_what_is_no_verdict_is_said(wire: Any, field: str) -> None:
    if field == "verdict" and wire is not None:
        assert verdict_from_wire(wire).info == {}
        return
    with pytest.raises(WireError) as raised:
        verdict_from_wire(wire)
    assert raised.value.field == field


def test_what_a_session_says_of_itself() -> None:
    class Judging(Session[Any]):
        roles = ("judge",)
        concurrent_tools = True

        def verify(self, trajectory: Trajectory) -> float:
            return 0.0

    expected = {"roles": ["judge"], "open_tools": False, "concurrent_tools": True, "judges_trajectory": False}
    needs: dict[str, list[str]] = {"optional_roles": [], "sandbox_roles": []}
    overrides = {"sets_up": False, "lists_tools": False, "replies": False, "answers_calls": False, "closes": False}
    info = session_info(Judging)
    assert info_to_wire(info) == {**expected, **needs, **overrides}
    assert info_from_wire(SessionInfo, info_to_wire(info)) == info

    class Replying(Judging):
        def reply(self, response: Any) -> Any:
            return []

    assert info_to_wire(session_info(Replying))["replies"] is True


OTHER: dict[type[Any], Any] = {
    bool: True,
    str: "other",
    tuple: ("judge", "user"),
    NoneType: 7,
    dict: {"temperature": 1},
}
OF_STAND_INS = ("component", "calls_from")
"""What is said of a component by whoever reaches it stays where it is."""


@pytest.mark.parametrize(
    "info", [ModelInfo(model_id="m", endpoint="e"), AgentInfo(), ResourceServerInfo(), SessionInfo(sets_up=False)]
)
def test_what_is_said_of_oneself_comes_back_whole(info: Any) -> None:
    names = [member.name for member in fields(info) if member.name not in OF_STAND_INS]
    changed = replace(info, **{name: OTHER[type(getattr(info, name))] for name in names})
    assert info_from_wire(type(info), json.loads(json.dumps(info_to_wire(changed)))) == changed


@pytest.mark.parametrize("wrong", [{"max_inflight": "3"}, {"sends_seed": 1}, {"endpoint": None}, {"checks": []}])
def test_what_is_said_of_oneself_has_the_type_that_it_must_have(wrong: dict[str, Any]) -> None:
    with pytest.raises(WireError, match=f"capabilities.{next(iter(wrong))}"):
        info_from_wire(ModelInfo, {"model_id": "m", "endpoint": "e", **wrong})


@pytest.mark.parametrize("said", [{"error": {"message": "boom"}}, {"mask_sample": True}])
def test_a_verdict_that_says_it_is_none_is_no_reward(said: dict[str, Any]) -> None:
    with pytest.raises(NotMeasured):
        verdict_from_wire({"reward": 0.0, **said})
