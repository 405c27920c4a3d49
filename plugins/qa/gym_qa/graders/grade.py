"""What graders are given and what they say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Expected:
    """What is right. `answers`: any of them is. `row`: the fields of the task; `choices`: as they were offered.

    `letter`: the right one of the choices. `case`: whether case counts. `tolerance`: relative, of numbers. `schema`,
    `fields`: of JSON. `tests`: what code has to pass, within `timeout` seconds and `memory` bytes. `rubric`: what a
    judge goes by.
    """

    answers: tuple[Any, ...] = ()
    row: Mapping[str, Any] = field(default_factory=dict)
    choices: tuple[str, ...] = ()
    letter: str = ""
    case: bool = False
    tolerance: float = 1e-6
    schema: Any = None
    fields: tuple[str, ...] = ()
    question: str = ""
    tests: Any = None
    timeout: float = 10.0
    memory: int = 1 << 30
    rubric: str = ""

    @property
    def texts(self) -> tuple[str, ...]:
        """The answers as texts."""
        return tuple(answer if isinstance(answer, str) else _written(answer) for answer in self.answers)


@dataclass(frozen=True, slots=True)
class Grade:
    """`score` from 0 to 1. `read`: what was taken for the answer, None where there was none."""

    score: float
    read: Any = None
    components: Mapping[str, float] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)


def right(whether: bool, read: Any) -> Grade:
    """The grade of an answer that is right or not."""
    return Grade(1.0 if whether else 0.0, read)


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
