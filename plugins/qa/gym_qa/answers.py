"""The part of a text that is meant as its answer, and texts in a form in which they can be compared."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

LONGEST = 200_000
"""So much of the end of a reply is looked at; a final answer stands at the end."""
_THOUGHT = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_OPENED, _CLOSED = "<answer>", "</answer>"
_HASHES = re.compile(r"####[ \t]*(\S[^\n]*)")
_MARK = re.compile(
    r"(?:\b(?:final\s+|correct\s+|right\s+)?(?:answer|solution)[*_`]{0,3}\s*(?:is|are)?[*_`]{0,3}\s*[:=][*_`]{0,3}"
    r"|\b(?:final\s+|correct\s+|right\s+)?answer\s+(?:is|are|would\s+be)\b[*_`]{0,3})"
    r"\s*(\S[^\n]*)",
    re.IGNORECASE,
)
MOST_BOXES = 4
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
_AROUND = " \t\r\n\"'`*_.,;:!\u201c\u201d\u2018\u2019"
_SPACE = re.compile(r"\s+")


def spoken(reply: str) -> str:
    """A reply without what was thought aloud, and no more of it than can be looked at."""
    return unthought(reply).strip()


def unthought(reply: str) -> str:
    """The same with the spaces around it, which are part of a program."""
    return _THOUGHT.split(reply[-LONGEST:])[-1]


def marked_part(text: str) -> str | None:
    """What stands last in a box, in <answer> tags, after `####` or after `Answer:`; None where nothing is marked."""
    found = max(_marked(text), default=None, key=lambda pair: pair[0])
    return found[1].strip() if found is not None else None


def _marked(text: str) -> Iterator[tuple[int, str]]:
    for pattern in (_HASHES, _MARK):
        for match in pattern.finditer(text):
            yield match.start(1), match[1]
    small = text.lower()
    closed = small.rfind(_CLOSED) if len(small) == len(text) else -1
    opened = small.rfind(_OPENED, 0, closed) if closed >= 0 else -1
    if opened >= 0:
        yield opened, text[opened + len(_OPENED) : closed]
    # Only the last ones: to look for the end of each of very many would take the square of their number.
    for match in list(_BOXED.finditer(text))[-MOST_BOXES:]:
        content = balanced(text, match.end())
        if content is not None:
            yield match.end(), content


def balanced(text: str, start: int) -> str | None:
    """The text up to the brace that closes one opened before `start`."""
    depth = 1
    for place in range(start, len(text)):
        if text[place] == "{":
            depth += 1
        elif text[place] == "}":
            depth -= 1
            if not depth:
                return text[start:place]
    return None


def last_line(text: str) -> str:
    """The last line that says something."""
    return text.rstrip().rpartition("\n")[2].strip()


def after_hashes(answer: str) -> str:
    """What follows the last `####` of a worked solution, which is how GSM8K marks the answer; else all of it."""
    solution, marked, final = answer.rpartition("####")
    return final.strip() if marked and solution.strip() else answer


def comparable(text: str, *, case: bool = False) -> str:
    """A text without what does not count: widths of characters, quotes and marks around it, spaces, and case."""
    text = unicodedata.normalize("NFKC", text)
    text = _SPACE.sub(" ", text).strip(_AROUND)
    return text if case else text.casefold()
