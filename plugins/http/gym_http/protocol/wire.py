"""Tasks, trajectories and verdicts as JSON objects, and what a session says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gym_core import Item, Session, Task, Trajectory, Verdict
from gym_core.responses import COMPLETED
from gym_core.spi import ModelCall, check_measured, check_row, is_number
from gym_http.protocol.errors import WireError

PROTOCOL = 1
"""The version of gym's own routes, all of which are under `/v1`."""

LARGEST = 2**53
"""Beyond it, readers of JSON disagree on what a whole number is."""

_WORDS = ("type", "role", "status")
_IDS = ("name", "id", "call_id")
ITEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        **{name: {"type": ["string", "null"]} for name in _WORDS},
        **{name: {"type": ["string", "number", "boolean", "null"]} for name in _IDS},
    },
}
"""What `items_from_wire` takes for an item, as JSON Schema; further fields are anything."""

_CALL_FIELDS = ("role", "actor", "input", "output", "usage", "latency", "waited", "attempts", "params", "cost")


def task_to_wire(task: Task) -> dict[str, Any]:
    """A task as `{"row", "task_id", "index"}`."""
    return {"row": task.row, "task_id": task.task_id, "index": task.index}


def task_from_wire(wire: Any, field: str = "task") -> Task:
    """A task from its JSON form; `field`: its path, for messages. Raises `WireError`."""
    wire = _object(wire, field)
    if "row" not in wire:
        raise WireError(f"{field}.row", "is missing")
    try:
        row = check_row(wire["row"])
    except ValueError as error:
        raise WireError(f"{field}.row", f"is no task: {error}") from None
    task_id = wire.get("task_id", "")
    if not isinstance(task_id, str):
        raise WireError(f"{field}.task_id", "must be a string")
    return Task(row, task_id=task_id, index=whole_number(wire.get("index", 0), f"{field}.index"))


def whole_number(value: Any, field: str) -> int:
    """A whole number from 0 to `LARGEST`, which JSON may also write as `3.0`. Raises `WireError`."""
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int or not 0 <= value <= LARGEST:
        raise WireError(field, f"must be a whole number from 0 to {LARGEST}")
    return value


def trajectory_to_wire(trajectory: Trajectory) -> dict[str, Any]:
    """A trajectory as `{"input", "items", "stop_reason", "model_calls"}`."""
    return {
        "input": list(trajectory.input),
        "items": list(trajectory.items),
        "stop_reason": trajectory.stop_reason,
        "model_calls": [call.to_wire() for call in trajectory.model_calls],
    }


def trajectory_from_wire(wire: Any, field: str = "trajectory") -> Trajectory:
    """A trajectory from its JSON form. Raises `WireError`."""
    wire = _object(wire, field)
    stop_reason = wire.get("stop_reason", COMPLETED)
    if not isinstance(stop_reason, str):
        raise WireError(f"{field}.stop_reason", "must be a string")
    calls = wire.get("model_calls") or []
    if not isinstance(calls, list):
        raise WireError(f"{field}.model_calls", "must be a list")
    return Trajectory(
        items_from_wire(wire.get("input"), f"{field}.input"),
        items_from_wire(wire.get("items"), f"{field}.items"),
        stop_reason=stop_reason,
        model_calls=tuple(_call(call, f"{field}.model_calls.{place}") for place, call in enumerate(calls)),
    )


def items_from_wire(wire: Any, field: str) -> list[Item]:
    """A list of items. Raises `WireError`."""
    if not isinstance(wire, list):
        raise WireError(field, "is missing" if wire is None else "must be a list of items")
    for place, item in enumerate(wire):
        if not isinstance(item, dict):
            raise WireError(f"{field}.{place}", "must be an object")
        # whoever reads items looks these up in sets and mappings
        for name in _WORDS:
            if not isinstance(item.get(name), str | None):
                raise WireError(f"{field}.{place}.{name}", "must be a string")
        for name in _IDS:
            if isinstance(item.get(name), dict | list):
                raise WireError(f"{field}.{place}.{name}", "must be a string")
    return wire


def _call(wire: Any, field: str) -> ModelCall:
    wire = _object(wire, field)
    for name in ("input", "output"):
        if not isinstance(wire.get(name, []), list):
            raise WireError(f"{field}.{name}", "must be a list")
    for name in ("usage", "params"):
        if not isinstance(wire.get(name) or {}, dict):
            raise WireError(f"{field}.{name}", "must be an object")
    call = ModelCall(
        role=str(wire.get("role", "policy")),
        actor=str(wire.get("actor", "policy")),
        input=wire.get("input", []),
        output=wire.get("output", []),
        usage=wire.get("usage"),
        latency=_number(wire, "latency", field),
        waited=_number(wire, "waited", field),
        attempts=int(_number(wire, "attempts", field, 1)),
        params=wire.get("params"),
        response={name: value for name, value in wire.items() if name not in _CALL_FIELDS},
    )
    if wire.get("cost") is not None:
        call.cost = _number(wire, "cost", field)
    return call


def verdict_to_wire(verdict: Verdict) -> dict[str, Any]:
    """A verdict as `{"reward", "components", "info"}`."""
    return {"reward": verdict.reward, "components": dict(verdict.components), "info": dict(verdict.info)}


def verdict_from_wire(wire: Any, field: str = "verdict") -> Verdict:
    """A verdict from its JSON form. Raises `WireError`, and `NotMeasured` where it says that it is none."""
    wire = _object(wire, field)
    check_measured(wire)
    components = _object(wire.get("components") or {}, f"{field}.components")
    if "reward" not in wire:
        raise WireError(f"{field}.reward", "is missing")
    return Verdict(
        _number(wire, "reward", field),
        {name: _number(components, name, f"{field}.components") for name in components},
        _object(wire.get("info") or {}, f"{field}.info"),
    )


def capabilities(session: Session[Any] | type[Session[Any]]) -> dict[str, Any]:
    """What a session, or a class of sessions, says of itself."""
    return {
        "roles": list(session.roles),
        "open_tools": bool(session.open_tools),
        "concurrent_tools": bool(session.concurrent_tools),
        "judges_trajectory": bool(session.judges_trajectory),
        "replies": (session if isinstance(session, type) else type(session)).reply is not Session.reply,
    }


def _object(wire: Any, field: str) -> dict[str, Any]:
    if not isinstance(wire, dict):
        raise WireError(field, "is missing" if wire is None else "must be an object")
    return wire


def _number(wire: Mapping[str, Any], name: str, field: str, default: float = 0) -> Any:
    value = wire.get(name, default)
    if not is_number(value):
        raise WireError(f"{field}.{name}", "must be a number")
    return value
