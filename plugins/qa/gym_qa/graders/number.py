"""`number`: the last number of the answer, however it is written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from gym_qa.answers import after_hashes, marked_part, spoken
from gym_qa.graders.grade import Expected, Grade, right

MOST_DIGITS = 400
MOST_EXPONENT = 400
SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}

_LATEX = (
    (re.compile(r"(?<=\d)\\[,!;](?=\d)"), ","),
    (re.compile(r"\\[,;:! ]|~|\\left|\\right|\\displaystyle"), " "),
    (re.compile(r"\\(?:text|mathrm|mbox|textbf|mathbf)\s*\{([^{}]*)\}"), r" \1 "),
    (re.compile(r"\\[dt]?frac\s*\{\s*([^{}]*?)\s*\}\s*\{\s*([^{}]*?)\s*\}"), r" \1/\2 "),
    (re.compile(r"\\[dt]?frac\s*(\d)\s*(\d)"), r" \1/\2 "),
    (re.compile(r"\\times|\\cdot"), "*"),
    (re.compile(r"\\([%$#])"), r"\1"),
)
_MARKS = (
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"[\u2010\u2011\u2012\u2212]"), "-"),
    (re.compile(r"(?<!\d)\*\*|\*\*(?!\d)"), " "),
    (re.compile(r"(?<=\d)[\u00a0\u2009\u202f](?=\d{3}(?!\d))"), ","),
)
_PARTS = {
    "½": "1/2",
    "⅓": "1/3",
    "⅔": "2/3",
    "¼": "1/4",
    "¾": "3/4",
    "⅕": "1/5",
    "⅛": "1/8",
    "⅜": "3/8",
    "⅝": "5/8",
    "⅞": "7/8",
}
_DIGITS = r"(?:\d{1,3}(?:[,'\u2019_]\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
_NUMBER = re.compile(
    rf"""
    (?<![\w.^]) (?<!\^\{{)                          # not within a word, a longer number, an exponent
    (?P<sign>(?<![\w)\]])(?<!\d\s)[-+]\s?)?         # and not the minus of a subtraction
    [$€£¥]?
    (?P<sign2>-)?
    (?:
        (?P<whole>\d+)\s+(?P<above>\d+)\s*/\s*(?P<below>\d+)(?![\d/])
      | (?P<digits>{_DIGITS})
        (?:
            [eE](?P<e>[+-]?\d+)
          | \s*[x\u00d7*\u00b7]\s*10\s*(?:\^|\*\*)\s*\{{?\s*(?P<ten>[+-]?\d+)\s*\}}?
          | \s*(?:\^|\*\*)\s*\{{?\s*(?P<power>-?\d{{1,2}})\s*\}}?
          | \s*/\s*(?P<over>{_DIGITS})(?![\d/])
        )?
    )
    \s*(?P<percent>%|percent\b|per\s+cent\b)?
    (?:(?P<scale>thousand|million|billion|trillion)s?\b)?
    """,
    re.VERBOSE | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Number:
    """A number that was read. `written`: as it stood there."""

    value: Fraction
    percent: bool
    written: str

    @property
    def meanings(self) -> tuple[Fraction, ...]:
        """A percentage is meant as a share, or as so many percent."""
        return (self.value, self.value / 100) if self.percent else (self.value,)


def number(reply: str, expected: Expected) -> Grade:
    """The last number of the marked answer, else of the reply, is one of the answers.

    Units and currencies are passed over; thousands, fractions, percent and powers of ten are understood.
    """
    read = final_number(spoken(reply))
    if read is None:
        return right(False, None)
    wanted = [found for text in expected.texts if (found := final_number(after_hashes(text))) is not None]
    return right(any(_same(read, one, expected.tolerance) for one in wanted), read.written)


def check_number(expected: Expected) -> None:
    """Raise `ValueError` for an answer without a number."""
    for text in expected.texts:
        if final_number(after_hashes(text)) is None:
            raise ValueError(f"holds no number: {text!r:.60}")


def final_number(text: str) -> Number | None:
    """The last number of what is marked as the answer, else of the whole text."""
    marked = marked_part(text)
    return last_number(text if marked is None else marked)


def last_number(text: str) -> Number | None:
    """The last number of a text."""
    found = None
    for found in numbers(text):  # noqa: B007 (the last one)
        pass
    return found


def numbers(text: str) -> Iterator[Number]:
    """Every number of a text, in order."""
    if "\\" in text:
        for pattern, plain in _LATEX:
            text = pattern.sub(plain, text)
    for pattern, plain in _MARKS:
        text = pattern.sub(plain, text)
    if not text.isascii():
        for mark, fraction in _PARTS.items():
            text = text.replace(mark, f" {fraction} ")
    for match in _NUMBER.finditer(text):
        value = _value(match)
        if value is not None:
            yield Number(value, match["percent"] is not None, match[0].strip())


def _value(match: re.Match[str]) -> Fraction | None:
    if len(match[0]) > MOST_DIGITS:
        return None
    try:
        value = _unsigned(match)
    except (ZeroDivisionError, OverflowError):
        return None
    negative = "-" in (match["sign"] or "") or match["sign2"] is not None
    value *= SCALES.get((match["scale"] or "").lower(), 1)
    return -value if negative else value


def _unsigned(match: re.Match[str]) -> Fraction:
    if match["whole"] is not None:
        return int(match["whole"]) + Fraction(int(match["above"]), int(match["below"]))
    value = _plain(match["digits"])
    exponent = match["e"] or match["ten"]
    if exponent is not None:
        if abs(int(exponent)) > MOST_EXPONENT:
            raise OverflowError
        return value * Fraction(10) ** int(exponent)
    if match["power"] is not None:
        return Fraction(value ** int(match["power"]))
    return value / _plain(match["over"]) if match["over"] is not None else value


def _plain(digits: str) -> Fraction:
    return Fraction(re.sub(r"[,'\u2019_]", "", digits))


def _same(read: Number, wanted: Number, tolerance: float) -> bool:
    bound = Fraction(tolerance)
    return any(abs(one - other) <= bound * abs(other) for one in read.meanings for other in wanted.meanings)
