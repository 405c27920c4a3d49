"""`math`: expressions that are equal, as math-verify finds out with sympy."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import FrameType
from typing import Any

from gym_core import UsageError
from gym_qa.answers import last_line, marked_part, spoken
from gym_qa.graders.grade import Expected, Grade, right

LONGEST = 2_000
SECONDS = 10.0
"""So much processor time may a comparison take; what takes longer is not equal. A busy machine changes no verdict."""

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
    _library()  # to import it takes a while, which is not the answer's
    text = spoken(reply)
    marked = marked_part(text)
    said = (marked if marked is not None else last_line(text))[:LONGEST]
    if _TOWER.search(said):
        return Grade(0.0, said, info={"refused": "a number too large to be worked out"})
    wanted = [found for answer in expected.texts if (found := _parsed(answer))]
    if not wanted:
        raise ValueError(f"no answer is an expression that math-verify reads: {expected.texts}"[:300])
    try:
        with _bounded(SECONDS):
            read = _parsed(said)
            equal = any(_library().verify(one, read, timeout_seconds=None) for one in wanted)
    except _TakesTooLong:
        return Grade(0.0, said, info={"refused": f"it is not worked out within {SECONDS:g} s"})
    return right(equal, said if read else None)


def check_math(expected: Expected) -> None:
    """Raise `UsageError` where math-verify is missing; to import it takes a second, and it is used elsewhere."""
    if "math_verify" in sys.modules or find_spec("math_verify") is None:
        _library()


def _parsed(text: str) -> Any:
    """The expressions of a text that is one, or says in LaTeX which of it is one."""
    delimited = any(mark in text for mark in ("$", "\\boxed", "\\(", "\\["))
    return _library().parse(text if delimited else f"${text}$", parsing_timeout=None)


class _TakesTooLong(BaseException):
    """Not an `Exception`, which math-verify would catch."""


@contextmanager
def _bounded(seconds: float) -> Iterator[None]:
    def ended(number: int, frame: FrameType | None) -> None:
        raise _TakesTooLong

    before = signal.signal(signal.SIGVTALRM, ended)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _library() -> Any:
    try:
        import math_verify
    except ImportError:
        raise UsageError("-E match=math needs the library math-verify", hint="pip install 'gym-qa[math]'") from None
    return math_verify
