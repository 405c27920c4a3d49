"""One thing that is wrong."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a plugin.

    `code`: what kind it is, stable across versions. `fix`: what to do about it. `task_id`: a task that shows it.
    `count`: how many tasks or parameters show it.
    """

    code: str
    message: str
    fix: str
    task_id: str | None = None
    count: int = 1

    def __str__(self) -> str:
        return f"{self.message}; {self.fix}"
