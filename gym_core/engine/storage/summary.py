"""The closing account of a run, as it stands in `x.summary.json` and in the table at the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gym_core.domain import errors as error_classes
from gym_core.domain.errors import ModelError
from gym_core.domain.rollout import Rollout
from gym_core.engine.metrics.groups import GroupTally
from gym_core.engine.metrics.progress import ErrorGroup, Progress
from gym_core.engine.metrics.rewards import RewardTally
from gym_core.engine.storage.groups import GroupLines
from gym_core.engine.storage.manifest import FORMAT_VERSION
from gym_core.engine.tasks.check import SourceInfo


def summarize(
    progress: Progress,
    *,
    run_id: str,
    state: str,
    message: str,
    source: SourceInfo,
    output: str | None,
    budget: dict[str, Any] | None,
    health: Mapping[str, Any],
) -> dict[str, Any]:
    """Counts, rewards, tokens and times.

    `state`: `finished`, `stopped` (a fatal error, a budget) or `interrupted`; `message` says why. `budget`: None
    without one. `health`: see `RunObservers.health`.
    """
    seconds = progress.seconds
    ran = progress.finished - progress.kept
    return {
        "format_version": FORMAT_VERSION,
        "run_id": run_id,
        "state": state,
        "message": message,
        "output": output,
        "rollouts": {
            "planned": progress.total,
            **_counts(progress),
            "kept": progress.kept,
            "skipped_rows": source.skipped,
        },
        "seconds": round(seconds, 3),
        "rollouts_per_second": round(ran / seconds, 3) if seconds > 0 else None,
        **account(progress),
        "budget": budget,
        "health": dict(health),
    }


def recounted(rollouts: Iterable[Rollout], groups: Path, repeats: int, by: Sequence[str] = ()) -> dict[str, Any]:
    """The part of a summary that can be computed again, from all rollouts and the file of the groups' verdicts.

    `repeats`: how many rollouts a task has. `by`: fields to break the reward down by. Raises `UsageError` for a line
    that is no group's.
    """
    progress = Progress(repeats=repeats, rewards=RewardTally(repeats, by))
    if groups.exists():
        progress.groups = GroupTally()
        GroupLines(groups, progress.groups)
    for rollout in rollouts:
        progress.add(rollout.row)
    return {"rollouts": _counts(progress), **account(progress)}


def _counts(progress: Progress) -> dict[str, int]:
    return {
        "with_verdict": progress.done,
        "failed": progress.failed - progress.cancelled,
        "cancelled": progress.cancelled,
    }


def account(progress: Progress) -> dict[str, Any]:
    """What is told by the rows and failures alone."""
    return {
        "statuses": dict(sorted(progress.statuses.items())),
        "reward": progress.rewards.result(progress.failed - progress.cancelled),
        "groups": progress.groups.to_wire() if progress.groups is not None else None,
        "metrics": {name: metric.to_wire() for name, metric in sorted(progress.metrics.items())},
        "usage": progress.usage.to_wire(),
        "exact_tokens": {
            "breaks": progress.token_account.get("token_breaks", 0),
            "problems": progress.token_account.get("token_problems", 0),
            "mixed_versions": progress.token_account.get("weight_versions", 0),
        },
        "cost": progress.cost,
        "roles": {role: spending.to_wire() for role, spending in sorted((progress.roles or {}).items())},
        "tools": {"calls": progress.tool_calls, "errors": dict(sorted(progress.tool_errors.items()))},
        "mean_seconds": {
            "rollout": _mean(progress.rollout_seconds, progress.finished),
            "model": _mean(progress.model_seconds, progress.finished),
            "waited": _mean(progress.waited_seconds, progress.finished),
        },
        "errors": [_described(group) for group in sorted(progress.errors.values(), key=lambda group: -group.count)],
    }


_REMEDIES = {
    "Cancelled": "`--resume` runs it again.",
    "WorkerDied": "Look for what ends the process (memory, a crash in native code), and `--resume --retry-failed`.",
    "DeadlineExceeded": "Raise the bound the message names, such as `--tool-timeout`, and `--resume --retry-failed`.",
}
"""For causes that are no failure of a model call."""


def remedy(error_class: str) -> str:
    """What to do about failures of a class, empty where only the message can tell."""
    if error_class in _REMEDIES:
        return _REMEDIES[error_class]
    cls = getattr(error_classes, error_class, None)
    return cls.remedy if isinstance(cls, type) and issubclass(cls, ModelError) else ""


def _described(group: ErrorGroup) -> dict[str, Any]:
    return {
        "status": group.status,
        "class": group.error_class,
        "phase": group.phase,
        "count": group.count,
        "example": group.example,
        "remedy": remedy(group.error_class),
    }


def _mean(total: float, count: int) -> float | None:
    return round(total / count, 6) if count else None
