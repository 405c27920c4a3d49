"""`math`: expressions that are equal, as math-verify finds out with sympy."""

from __future__ import annotations

import re
from typing import Any

from gym_core import UsageError
from gym_qa.answers import last_line, marked_part, spoken
from gym_qa.graders.grade import Expected, Grade, right

LONGEST = 2_000
SECONDS = 5
"""So long may one reading, or one comparison, take; what takes longer is not equal."""

_TOWER = re.compile(
    r"(?:\^|\*\*)\s*\(?\{?[^{}()\s]*(?:\^|\*\*)"  # a power of a power
    r"|(?:\^|\*\*)\s*\(?\{?\s*[-+]?\s*\d[\d,]{3,}"  # to the thousandth
    r"|[\d,]{4,}\s*\)?\s*!|!\s*\)?\s*!"  # factorials
    r"|\d{200,}"
)
"""What no signal interrupts once sympy has begun to work it out."""


def math(reply: str, expected: Expected) -> Grade:
    """The marked answer, else the last line, is equal to one of the answers.

    What takes too long to compare is wrong: an answer has to be written out. It runs in a process of its own, since
    the time is kept by a signal.
    """
    text = spoken(reply)
    marked = marked_part(text)
    said = (marked if marked is not None else last_line(text))[:LONGEST]
    if _TOWER.search(said):
        return Grade(0.0, said, info={"refused": "a number too large to be worked out"})
    read = _parsed(said)
    wanted = [found for answer in expected.texts if (found := _parsed(answer))]
    if not wanted:
        raise ValueError(f"no answer is an expression that math-verify reads: {expected.texts}"[:300])
    return right(bool(read) and any(_equal(one, read) for one in wanted), said if read else None)


def check_math(expected: Expected) -> None:
    """Raise `UsageError` where math-verify is missing."""
    _library()


def _parsed(text: str) -> Any:
    """The expressions of a text that is one, or says in LaTeX which of it is one."""
    delimited = any(mark in text for mark in ("$", "\\boxed", "\\(", "\\["))
    return _library().parse(text if delimited else f"${text}$", parsing_timeout=SECONDS)


def _equal(wanted: Any, read: Any) -> bool:
    return bool(_library().verify(wanted, read, timeout_seconds=SECONDS))


def _library() -> Any:
    try:
        import math_verify
    except ImportError:
        raise UsageError("-E match=math needs the library math-verify", hint="pip install 'gym-qa[math]'") from None
    return math_verify
