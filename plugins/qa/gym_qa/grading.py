"""The graders by name: what each needs of a row, and where it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

from gym_core.spi import did_you_mean
from gym_qa.graders.choice import choice
from gym_qa.graders.code import check_code, code
from gym_qa.graders.function import PREFIX, call_function, parse_reference
from gym_qa.graders.grade import Expected, Grade
from gym_qa.graders.instructions import check_instructions, instructions
from gym_qa.graders.json_value import check_json, json_value
from gym_qa.graders.judge import check_judge
from gym_qa.graders.math import check_math, math
from gym_qa.graders.number import check_number, number
from gym_qa.graders.text import check_regex, check_text, contains, exact, regex

Place: TypeAlias = Literal["inline", "isolated", "judge"]
Grade_: TypeAlias = Callable[[str, Expected], Grade]


def _nothing(expected: Expected) -> None:
    """There is nothing that could be wrong."""


def _asked_elsewhere(reply: str, expected: Expected) -> Grade:
    raise TypeError("a judge is asked by the session")


@dataclass(frozen=True, slots=True)
class Grader:
    """One way to grade. `check` raises `ValueError` for an answer that it cannot use: then the row is refused.

    `place`: `isolated` for what may compute without end, which is ended with its process; `judge` for what asks a
    model. `needs_answer`: whether a row
    without an answer is refused.
    """

    grade: Grade_
    check: Callable[[Expected], None] = _nothing
    place: Place = "inline"
    needs_answer: bool = True


GRADERS: Mapping[str, Grader] = {
    "exact": Grader(exact, check_text),
    "contains": Grader(contains, check_text),
    "regex": Grader(regex, check_regex, "isolated"),
    "number": Grader(number, check_number),
    "choice": Grader(choice),
    "json": Grader(json_value, check_json),
    "math": Grader(math, check_math, "isolated"),
    "code": Grader(code, check_code, "isolated", needs_answer=False),
    "instructions": Grader(instructions, check_instructions, needs_answer=False),
    "judge": Grader(_asked_elsewhere, check_judge, "judge", needs_answer=False),
}


def grader_of(match: str) -> Grader:
    """The grader of a name that was checked."""
    if match.startswith(PREFIX):
        return Grader(partial(call_function, match), place="isolated", needs_answer=False)
    return GRADERS[match]


def check_name(match: str) -> str:
    """A value of `match`, with the file of a function as an absolute path. Raises `ValueError`."""
    if match.startswith(PREFIX):
        path, function = parse_reference(match)
        return f"{PREFIX}{path}:{function}"
    if not match or match in GRADERS:
        return match
    guess = did_you_mean(match, GRADERS, shown="`{}`".format) or "."
    raise ValueError(f"there is no grader `{match}`{guess} There are {', '.join(GRADERS)}, and python:FILE:FUNCTION")
