"""Tasks, trajectories and verdicts as JSON objects, and what a session says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, cast, get_type_hints

from pydantic import TypeAdapter, ValidationError

import gym_core
from gym_core import ComponentInfo, Item, SessionInfo, Task, ToolRun, Trajectory, Verdict
from gym_core.responses import StopReason
from gym_core.spi import read_model_calls
from gym_http.protocol.errors import WireError
from gym_http.protocol.sessions import Capabilities, TaskBody, TrajectoryBody, VerdictBody
from gym_http.protocol.shapes import Items, read
from gym_nemo.foreign_verdict import check_measured

InfoT = TypeVar("InfoT", bound=SessionInfo | ComponentInfo)

PROTOCOL = 1
"""The version of gym's own routes, all of which are under `/v1`."""


def task_to_wire(task: Task) -> TaskBody:
    """A task as it is sent."""
    return {"row": task.row, "task_id": task.task_id, "index": task.index}


def task_of_body(body: TaskBody) -> Task:
    """A task whose JSON form has been read."""
    return Task(body["row"], task_id=body.get("task_id", ""), index=body.get("index", 0))


def trajectory_to_wire(trajectory: Trajectory) -> TrajectoryBody:
    """A trajectory as it is sent."""
    body: TrajectoryBody = {
        "input": list(trajectory.input),
        "items": list(trajectory.items),
        "others": list(trajectory.others),
        "stop_reason": trajectory.stop_reason,
        "model_calls": [call.to_wire() for call in trajectory.model_calls],
    }
    if trajectory.tool_runs is not None:
        body["tool_calls"] = [run.to_wire() for run in trajectory.tool_runs]
    return body


def trajectory_from_wire(wire: Any, field: str = "trajectory") -> Trajectory:
    """A trajectory from its JSON form. Raises `WireError`."""
    return trajectory_of_body(read(TrajectoryBody, wire, field))


def trajectory_of_body(body: TrajectoryBody) -> Trajectory:
    """A trajectory whose JSON form has been read."""
    others = body.get("others") or []
    end = len(body["input"]) + len(body["items"]) + len(others)
    ran = body.get("tool_calls")
    return Trajectory(
        body["input"],
        body["items"],
        stop_reason=body.get("stop_reason", StopReason.COMPLETED),
        model_calls=tuple(read_model_calls(body.get("model_calls") or (), end)),
        tool_runs=tuple(filter(None, (ToolRun.of(wire, end) for wire in ran))) if ran is not None else None,
        others=others,
    )


def items_from_wire(wire: Any, field: str) -> list[Item]:
    """A list of items. Raises `WireError`."""
    return read(Items, wire, field)


def verdict_to_wire(verdict: Verdict) -> VerdictBody:
    """A verdict as it is sent."""
    return cast("VerdictBody", verdict.to_wire())


def verdict_from_wire(wire: Any, field: str = "verdict") -> Verdict:
    """A verdict from its JSON form. Raises `WireError`, and `NotMeasured` where it says that it is none."""
    if isinstance(wire, Mapping):
        check_measured(wire)
        wire = {**wire, "components": wire.get("components") or {}, "info": wire.get("info") or {}}
    body = read(VerdictBody, wire, field)
    more = (body.get("rewards") or {}, body.get("metrics") or {})
    return Verdict(body["reward"], body["components"], body["info"], *more)


def info_to_wire(info: SessionInfo | ComponentInfo) -> dict[str, Any]:
    """What `describe` says, as a JSON object: every member but those of stand-ins."""
    values = {name: getattr(info, name) for name in _members(type(info).__name__)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def session_to_wire(info: SessionInfo, roles: list[str]) -> Capabilities:
    """What a session says of itself. `roles`: of the models that whoever opens it has to give."""
    return cast("Capabilities", {**info_to_wire(info), "roles": roles})


def info_from_wire(kind: type[InfoT], wire: Any, field: str = "capabilities", **known: Any) -> InfoT:
    """What `describe` said at the other end. `known`: what holds for members that are not there, and for `component`.

    So a stand-in has every member that its original has. Raises `WireError` for a member of the wrong type.
    """
    if not isinstance(wire, dict):
        raise WireError(field, "must be an object")
    for name, member in _members(kind.__name__).items():
        if name in wire:
            value = tuple(wire[name]) if isinstance(wire[name], list) else wire[name]
            try:
                known[name] = member.validate_python(value, strict=True)
            except ValidationError:
                raise WireError(f"{field}.{name}", f"cannot be {value!r:.80}") from None
    return kind(**known)


_OF_STAND_INS = frozenset({"component", "calls_from"})
"""What is said of a component by whoever reaches it."""


@cache
def _members(kind: str) -> dict[str, TypeAdapter[Any]]:
    """The members of a description by the name of its class, and what reads each."""
    hints = get_type_hints(getattr(gym_core, kind))
    return {name: TypeAdapter(hint) for name, hint in hints.items() if name not in _OF_STAND_INS}
