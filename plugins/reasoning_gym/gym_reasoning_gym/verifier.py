"""From a trajectory to a verdict, by the package's own scorer of the task's family."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gym_core import Task, Trajectory, Verdict, errors
from gym_core.errors import SessionError
from gym_reasoning_gym.answers import find_answer
from gym_reasoning_gym.families import FAMILIES
from gym_reasoning_gym.guards import refusal
from gym_reasoning_gym.package import scorer

SHOWN = 1_000
"""How many characters of an answer are kept in a row's `rollout.info`."""

_UNREADABLE = frozenset({"boxnet", "game_of_life", "prime_factorization"})
"""Families whose scorer raises for a wrong answer in a form that it cannot read, and does so for some tasks' own."""
_TUPLES = frozenset({"arc_agi", "rearc"})
"""Families whose scorer compares with tuples, which are lists in JSON."""


def judge(task: Task, trajectory: Trajectory) -> Verdict:
    """The verdict on a final answer: `score` is the scorer's, `formatted` says whether the answer stood in its tags.

    Raises `SessionError` when the scorer fails, and for a row that lacks what it needs.
    """
    family, entry = family_of(task), _entry(task)
    answer = find_answer(trajectory.output_text)
    info = {"answer": answer.text[:SHOWN]}
    reason = refusal(family, answer.text, entry)
    if reason:
        info["refused"] = reason
    score = 0.0 if reason else _score(family, task, answer.text, entry, info)
    return Verdict(score, {"score": score, "formatted": float(answer.formatted)}, info)


def family_of(task: Mapping[str, Any]) -> str:
    """The family that a row is of. Raises `errors.FieldError` for a row that says none, or one that does not exist."""
    metadata = task.get("metadata")
    family = task.get("family") or (metadata.get("source_dataset") if isinstance(metadata, Mapping) else None)
    if family not in FAMILIES:
        raise errors.FieldError(
            "family", f"is {family!r:.80}", hint="`gym tasks --env reasoning_gym:FAMILY --json` shows good rows"
        )
    return str(family)


def check_fields(task: Mapping[str, Any]) -> None:
    """Raise `errors.FieldError` for a row that cannot be scored."""
    family_of(task)
    for name in ("answer", "metadata"):
        if name not in task:
            raise errors.MissingField(name, "is missing: the final answer is scored by it")
    for name, value in (("metadata", task["metadata"]), ("config", task.get("config") or {})):
        if not isinstance(value, Mapping):
            raise errors.FieldError(name, "must be an object")


def _entry(task: Mapping[str, Any]) -> dict[str, Any]:
    """The item as its data set made it, out of the row."""
    check_fields(task)
    metadata = task["metadata"]
    if family_of(task) in _TUPLES:
        metadata = _with_tuples(metadata)
    return {"question": task.get("question", ""), "answer": task["answer"], "metadata": metadata}


def _score(family: str, task: Mapping[str, Any], answer: str, entry: dict[str, Any], info: dict[str, str]) -> float:
    try:
        score = float(scorer(family, task.get("config") or {}).score_answer(answer, entry))
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        if family in _UNREADABLE or _scores_its_own(family, task, entry):
            info["refused"] = f"the answer cannot be read ({what[:SHOWN]})"
            return 0.0
        raise SessionError(f"the scorer of {family} failed: {what}") from error
    if not math.isfinite(score):
        raise SessionError(f"the scorer of {family} gave {score}")
    return min(max(score, 0.0), 1.0)


def _scores_its_own(family: str, task: Mapping[str, Any], entry: dict[str, Any]) -> bool:
    """Whether the scorer copes with the row's own answer, so that what it raises for another is that one's fault."""
    if entry["answer"] is None:
        return False
    try:
        return float(scorer(family, task.get("config") or {}).score_answer(str(entry["answer"]), entry)) > 0
    except Exception:
        return False


def _with_tuples(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _with_tuples(inner) for name, inner in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value
