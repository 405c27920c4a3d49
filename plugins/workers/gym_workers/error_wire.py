"""What failed a rollout, on its way from a worker to the coordinator: enough to judge whether it hits all alike."""

from __future__ import annotations

from typing import Any

from gym_core import errors
from gym_core.errors import GymError, ModelError, SessionError

_made: dict[tuple[Any, ...], type[GymError]] = {}


def cause_to_wire(error: BaseException | None) -> dict[str, Any] | None:
    """The cause of a failure; None for one that says nothing about other rollouts."""
    if isinstance(error, ModelError):
        kind, flags = "model", [error.retryable, error.fatal]
    elif isinstance(error, SessionError):
        kind, flags = "session", [error.unreachable]
    else:
        return None
    known = next(cls.__name__ for cls in type(error).__mro__ if cls is getattr(errors, cls.__name__, None))
    return {
        "kind": kind,
        "class": type(error).__name__,
        "known": known,
        "flags": flags,
        "message": error.message,
        "hint": error.hint,
    }


def cause_from_wire(wire: dict[str, Any]) -> GymError:
    """The error as the coordinator judges it: of the same name and below the same class of gym's own."""
    key = (wire["kind"], wire["class"], wire["known"], *wire["flags"])
    cls = _made.get(key)
    if cls is None:
        base: type[GymError] = getattr(errors, wire["known"])
        names = ("retryable", "fatal") if wire["kind"] == "model" else ("unreachable",)
        cls = _made[key] = type(wire["class"], (base,), dict(zip(names, wire["flags"], strict=True)))
    return cls(wire["message"], hint=wire["hint"])
