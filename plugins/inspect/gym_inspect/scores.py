"""Scores as verdicts, by Inspect's own rules for values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gym_core import TaskFailed, Verdict

_ZERO = frozenset({"i", "n", "no", "false"})


def to_number(value: Any, what: str) -> float:
    """A single value: C and yes are 1, P is 0.5, I, N and no are 0, numbers what they are.

    Raises `TaskFailed` for what Inspect would warn of and call 0, and for a score that is none (NaN).
    """
    from inspect_ai.scorer import value_to_float

    number: float = _to_float(value, value_to_float) if isinstance(value, str | int | float) else math.nan
    if not math.isfinite(number):
        raise TaskFailed(f"{what} is {value!r:.80}, which is no number by Inspect's rules", phase="verify")
    return number


def _to_float(value: str | float, rules: Any) -> float:
    number = float(rules()(value))
    if number == 0.0 and isinstance(value, str) and value.lower() not in _ZERO:
        try:  # Inspect says 0 of what it cannot read, too
            return float(value)
        except ValueError:
            return math.nan
    return number


def verdict(scores: Mapping[str, Any], wanted: str | None) -> Verdict:
    """The verdict. `wanted`: the name of the component that is the reward, else it is the first scorer's.

    A value of several is a component each, `scorer.name`, and their mean its scorer's.
    """
    if not scores:
        raise TaskFailed("no scorer of the task gave a score", phase="verify")
    rewards: dict[str, float] = {}
    components: dict[str, float] = {}
    for name, score in scores.items():
        parts = _parts(score.value)
        if parts is None:
            rewards[name] = components[name] = to_number(score.value, f"the score {name}")
            continue
        found = {f"{name}.{key}": to_number(part, f"the score {name}.{key}") for key, part in parts.items()}
        if not found:
            raise TaskFailed(f"the score {name} is empty", phase="verify")
        components |= found
        rewards[name] = sum(found.values()) / len(found)
    known = {**rewards, **components}
    if wanted is not None and wanted not in known:
        raise TaskFailed(f"no score is called {wanted!r}; there are {', '.join(known)}", phase="verify")
    reward = known[wanted] if wanted is not None else next(iter(rewards.values()))
    return Verdict(reward, components, {"scores": {name: _told(score) for name, score in scores.items()}})


def _parts(value: Any) -> Mapping[str, Any] | None:
    if isinstance(value, Mapping):
        return value
    return {str(index): one for index, one in enumerate(value)} if isinstance(value, list | tuple) else None


def _told(score: Any) -> dict[str, Any]:
    told: dict[str, Any] = score.model_dump(
        mode="json", exclude_none=True, include={"value", "answer", "explanation", "metadata"}
    )
    return told
