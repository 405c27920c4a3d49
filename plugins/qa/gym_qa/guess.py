"""What a file looks like, where options leave it open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import Any

from gym_core import JsonError, UsageError, parse_json
from gym_qa.answers import after_hashes
from gym_qa.columns import Columns
from gym_qa.graders.number import last_number
from gym_qa.reading.row import Row

SHORT = 80
"""An answer up to this long is expected word by word."""
_MATH = ("\\frac", "\\sqrt", "\\boxed", "\\pi", "^{", "$")


def guess_match(source: str, rows: Sequence[Row], columns: Columns) -> str:
    """The grader for answers like these. Raises `UsageError` where they are none that can be compared."""
    if columns.tests and not columns.answer:
        return "code"
    if columns.choices:
        return "choice"
    answered = [row for row in rows if row.values.get(columns.answer) not in (None, "")]
    if not answered:
        return "exact"
    answers = [row.values[columns.answer] for row in answered]
    texts = [str(answer).strip() for answer in answers]
    odd = [place for place, text in enumerate(texts) if not is_number(text)]
    if not odd:
        return "number"
    if all(map(_is_object, answers)):
        return "json"
    if sum(any(mark in text for mark in _MATH) for text in texts) > len(texts) / 2:
        return "math"
    if len(odd) < len(texts) / 2:
        others = f"the other {len(texts) - 1} are" if len(odd) == 1 else f"{len(texts) - len(odd)} of {len(texts)} are"
        said, ways = odd_answer(texts[odd[0]], others)
        raise UsageError(f"{answered[odd[0]].place}: {said}", hint=ways)
    if all(isinstance(answer, list) or len(text) <= SHORT for answer, text in zip(answers, texts, strict=True)):
        return "exact"
    raise UsageError(
        f"{source}: the answers, column `{columns.answer}`, are long texts: how is a reply to be compared with them?",
        hint="-E match=judge asks a model, contains looks for them; `gym plugins show qa` lists the others",
    )


def first_index(source: str, rows: Sequence[tuple[Any, Sequence[str]]], given: int | None) -> int:
    """What the first choice is called where the answers are numbers of choices. Raises `UsageError` if it is open."""
    if given is not None:
        return given
    numbers = [
        (int(str(answer)), len(choices))
        for answer, choices in rows
        if str(answer).strip().isdecimal() and str(answer).strip() not in choices
    ]
    if not numbers or any(number == 0 for number, _ in numbers):
        return 0
    if any(number == count for number, count in numbers):
        return 1
    raise UsageError(
        f"{source}: the answers are numbers of choices, and none is 0 or the last: which one is the first?",
        hint="-E first=0 or -E first=1",
    )


def odd_answer(text: str, others: str) -> tuple[str, str]:
    """What is said of an answer that is no number among `others` that are, and the ways out."""
    reading = "reads the number in it" if last_number(text) is not None else "needs a number there"
    formulas = ", math compares formulas" if any(mark in text for mark in _MATH) else ""
    return (
        f"the answer `{shorten(text, SHORT, placeholder=' ...')}` is no number, {others}",
        f"-E match=number {reading}, -E match=exact compares texts{formulas}",
    )


def is_number(text: str) -> bool:
    """Whether a text is one number, marks and units without letters aside, or a solution that ends in one."""
    final = after_hashes(text)
    number = last_number(final)
    if number is None:
        return False
    return final is not text or not any(letter.isalpha() for letter in final.replace(number.written, ""))


def _is_object(answer: Any) -> bool:
    if isinstance(answer, Mapping):
        return True
    if not isinstance(answer, str) or not answer.lstrip().startswith("{"):
        return False
    try:
        return isinstance(parse_json(answer), Mapping)
    except JsonError:
        return False
