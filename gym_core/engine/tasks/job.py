"""One rollout to run."""

from __future__ import annotations

from dataclasses import dataclass

from gym_core.domain.task import Task


@dataclass(frozen=True, slots=True)
class Job:
    """One rollout to run. `attempt`: 1, or more where earlier attempts failed."""

    task: Task
    repeat: int
    attempt: int
