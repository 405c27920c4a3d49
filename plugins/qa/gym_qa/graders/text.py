"""`exact`, `contains` and `regex`: answers as texts."""

from __future__ import annotations

import re

from gym_qa.answers import comparable, last_line, marked_part, spoken
from gym_qa.graders.grade import Expected, Grade, right

LONGEST_SEARCHED = 50_000


def exact(reply: str, expected: Expected) -> Grade:
    """The marked answer, else the whole reply or its last line, is an answer but for case, marks and spaces."""
    text = spoken(reply)
    marked = marked_part(text)
    tried = [marked] if marked is not None else [text, last_line(text)]
    wanted = {comparable(answer, case=expected.case) for answer in expected.texts}
    hit = next((one for one in tried if comparable(one, case=expected.case) in wanted), None)
    return right(hit is not None, hit if hit is not None else tried[-1] or None)


def contains(reply: str, expected: Expected) -> Grade:
    """One of the answers stands in the reply, as words of its own."""
    text = comparable(spoken(reply), case=expected.case)
    for answer in expected.texts:
        wanted = comparable(answer, case=expected.case)
        start = r"(?<!\w)" if wanted[:1].isalnum() else ""
        end = r"(?!\w)" if wanted[-1:].isalnum() else ""
        if wanted and re.search(start + re.escape(wanted) + end, text):
            return right(True, answer)
    return right(False, None)


def regex(reply: str, expected: Expected) -> Grade:
    """One of the answers, which are patterns, is found in the reply."""
    text = spoken(reply)[-LONGEST_SEARCHED:]
    for pattern in expected.texts:
        found = re.search(pattern, text, re.MULTILINE if expected.case else re.MULTILINE | re.IGNORECASE)
        if found is not None:
            return right(True, found[0])
    return right(False, None)


def check_text(expected: Expected) -> None:
    """Raise `ValueError` for an answer that says nothing: every reply would hold it."""
    for answer in expected.texts:
        if not comparable(answer):
            raise ValueError(f"says nothing but marks: {answer!r:.40}")


def check_regex(expected: Expected) -> None:
    """Raise `ValueError` for what is no pattern, or one that any reply matches."""
    for pattern in expected.texts:
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise ValueError(f"is no regular expression: {error} ({pattern!r:.60})") from None
        if compiled.search("") is not None:
            raise ValueError(f"matches every reply, an empty one as well: {pattern!r:.60}")
