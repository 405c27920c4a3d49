"""Tasks, trajectories and verdicts as JSON objects, and what a session says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gym_core import Item, Session, Task, Trajectory, Verdict
from gym_core.responses import COMPLETED
from gym_core.spi import ModelCall, check_measured
from gym_http.protocol.sessions import Capabilities, TaskBody, TrajectoryBody, VerdictBody
from gym_http.protocol.shapes import Items, read

PROTOCOL = 1
"""The version of gym's own routes, all of which are under `/v1`."""

_CALL_FIELDS = ("role", "actor", "input", "output", "usage", "latency", "waited", "attempts", "params", "cost")


def task_to_wire(task: Task) -> TaskBody:
    """A task as it is sent."""
    return {"row": task.row, "task_id": task.task_id, "index": task.index}


def task_from_wire(wire: Any, field: str = "task") -> Task:
    """A task from its JSON form; `field`: its path, for messages. Raises `WireError`."""
    return task_of_body(read(TaskBody, wire, field))


def task_of_body(body: TaskBody) -> Task:
    """A task whose JSON form has been read."""
    return Task(body["row"], task_id=body.get("task_id", ""), index=body.get("index", 0))


def trajectory_to_wire(trajectory: Trajectory) -> TrajectoryBody:
    """A trajectory as it is sent."""
    return {
        "input": list(trajectory.input),
        "items": list(trajectory.items),
        "stop_reason": trajectory.stop_reason,
        "model_calls": [call.to_wire() for call in trajectory.model_calls],
    }


def trajectory_from_wire(wire: Any, field: str = "trajectory") -> Trajectory:
    """A trajectory from its JSON form. Raises `WireError`."""
    return trajectory_of_body(read(TrajectoryBody, wire, field))


def trajectory_of_body(body: TrajectoryBody) -> Trajectory:
    """A trajectory whose JSON form has been read."""
    return Trajectory(
        body["input"],
        body["items"],
        stop_reason=body.get("stop_reason", COMPLETED),
        model_calls=tuple(_call(call) for call in body.get("model_calls") or ()),
    )


def items_from_wire(wire: Any, field: str) -> list[Item]:
    """A list of items. Raises `WireError`."""
    return read(Items, wire, field)


def _call(wire: dict[str, Any]) -> ModelCall:
    call = ModelCall(
        role=wire.get("role", "policy"),
        actor=wire.get("actor", "policy"),
        input=wire.get("input", []),
        output=wire.get("output", []),
        usage=wire.get("usage"),
        latency=wire.get("latency", 0),
        waited=wire.get("waited", 0),
        attempts=int(wire.get("attempts", 1)),
        params=wire.get("params"),
        response={name: value for name, value in wire.items() if name not in _CALL_FIELDS},
    )
    call.cost = wire.get("cost")
    return call


def verdict_to_wire(verdict: Verdict) -> VerdictBody:
    """A verdict as it is sent."""
    return {"reward": verdict.reward, "components": dict(verdict.components), "info": dict(verdict.info)}


def verdict_from_wire(wire: Any, field: str = "verdict") -> Verdict:
    """A verdict from its JSON form. Raises `WireError`, and `NotMeasured` where it says that it is none."""
    if isinstance(wire, Mapping):
        check_measured(wire)
        wire = {**wire, "components": wire.get("components") or {}, "info": wire.get("info") or {}}
    body = read(VerdictBody, wire, field)
    return Verdict(body["reward"], body["components"], body["info"])


def capabilities(session: Session[Any] | type[Session[Any]]) -> Capabilities:
    """What a session, or a class of sessions, says of itself."""
    return {
        "roles": list(session.roles),
        "open_tools": bool(session.open_tools),
        "concurrent_tools": bool(session.concurrent_tools),
        "judges_trajectory": bool(session.judges_trajectory),
        "replies": (session if isinstance(session, type) else type(session)).reply is not Session.reply,
    }
