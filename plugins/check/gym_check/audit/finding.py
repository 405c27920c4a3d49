"""What an audit has to say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from gym_testing.checks.problem import Problem


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


_SEVERITIES = {
    "no-tasks": Severity.WARNING,
    "tasks-differ": Severity.WARNING,
    "prompt-twice": Severity.WARNING,
    "task-names-model": Severity.INFO,
    "tool-undescribed": Severity.WARNING,
    "tool-no-parameters": Severity.WARNING,
    "tool-untyped": Severity.WARNING,
    "parameter-undescribed": Severity.INFO,
}
"""How bad problems are, by their codes; the others are errors."""


def findings_of(problems: Iterable[Problem], unstable: Severity) -> Iterator[Finding]:
    """One finding of each kind of problem, that of the first task which shows it.

    `unstable`: how bad verdicts are that change; those of a model do.
    """
    by_code: dict[str, list[Problem]] = {}
    for problem in problems:
        by_code.setdefault(problem.code, []).append(problem)
    for code, several in by_code.items():
        found = replace(finding_of(several[0]), count=len(several))
        yield replace(found, severity=unstable) if code == "verify-unstable" else found


def finding_of(problem: Problem, task_id: str | None = None) -> Finding:
    """A problem as a finding."""
    severity = _SEVERITIES.get(problem.code, Severity.ERROR)
    return Finding(severity, problem.code, problem.message, problem.fix, problem.task_id or task_id, problem.count)


def error(id: str, message: str, fix: str, task_id: str | None = None, count: int = 1) -> Finding:
    """A finding that makes the audit fail."""
    return Finding(Severity.ERROR, id, message, fix, task_id, count)


def warning(id: str, message: str, fix: str, task_id: str | None = None, count: int = 1) -> Finding:
    """A finding that somebody should look at."""
    return Finding(Severity.WARNING, id, message, fix, task_id, count)


def info(id: str, message: str, fix: str, task_id: str | None = None, count: int = 1) -> Finding:
    """A finding that is good to know."""
    return Finding(Severity.INFO, id, message, fix, task_id, count)
