"""What an audit has to say."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How bad it is. An `error` makes the audit fail."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    `id`: what kind it is, stable across versions. `fix`: what to do about it. `task_id`: a task that shows it.
    `count`: how many tasks, tools or rollouts show it.
    """

    severity: Severity
    id: str
    message: str
    fix: str
    task_id: str | None = None
    count: int = 1

    def to_wire(self) -> dict[str, Any]:
        """The finding as a JSON object."""
        return asdict(self)


def error(id: str, message: str, fix: str, task_id: str | None = None, count: int = 1) -> Finding:
    """A finding that makes the audit fail."""
    return Finding(Severity.ERROR, id, message, fix, task_id, count)


def warning(id: str, message: str, fix: str, task_id: str | None = None, count: int = 1) -> Finding:
    """A finding that somebody should look at."""
    return Finding(Severity.WARNING, id, message, fix, task_id, count)


def info(id: str, message: str, fix: str, task_id: str | None = None, count: int = 1) -> Finding:
    """A finding that is good to know."""
    return Finding(Severity.INFO, id, message, fix, task_id, count)
