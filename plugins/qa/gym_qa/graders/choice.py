"""`choice`: the letter of one of the choices, or its text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gym_qa.answers import comparable, last_line, marked_part, spoken
from gym_qa.graders.grade import Expected, Grade, right

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_OPEN, _CLOSE = r"[\s(\[{*_`\"'$]*", r"[\s)\]}*_`\"'.,:;!$]*"
_PREFIX = r"(?:(?:option|choice|answer|letter)\s+)?"
_ALONE = re.compile(rf"{_OPEN}{_PREFIX}{_OPEN}([A-Za-z]){_CLOSE}", re.IGNORECASE)
_LED = re.compile(rf"{_OPEN}{_PREFIX}{_OPEN}([A-Z])(?:[*_`]*[).:\]][*_`]*|\s+[-\u2013\u2014])\s*(\S.*)", re.DOTALL)
_SAID = re.compile(rf"{_OPEN}{_PREFIX}{_OPEN}([B-HJ-Z])[*_`]*,?\s+([a-z].*)", re.DOTALL)
"""`B because of this`; an A or an I would be a word of the sentence."""
_ANOTHER = re.compile(r"\W*(?:or|and|nor|not|/)\b|\W*[A-Za-z]\W*$", re.IGNORECASE)
_MARKED = re.compile(r"(?<!\w)[A-Z][).:]")
_TEXT = re.compile(r"\\(?:text|mathrm|mathbf|textbf)\s*\{([^{}]*)\}")


def choice(reply: str, expected: Expected) -> Grade:
    """The marked answer, else the whole reply or its last line, names the right choice, and no other one."""
    text = spoken(reply)
    marked = marked_part(text)
    tried = [marked] if marked is not None else [text, last_line(text)]
    read = next((letter for one in tried if (letter := named_choice(one, expected.choices))), None)
    return right(read is not None and read == expected.letter, read)


def named_choice(text: str, choices: Sequence[str]) -> str | None:
    """The letter of the one choice that a text names: by its text, its letter, or both; None for any other text."""
    text = _TEXT.sub(r"\1", text).strip()
    offered = LETTERS[: len(choices)]
    plain = [comparable(one) for one in choices]
    said = comparable(text)
    if plain.count(said) == 1:
        return offered[plain.index(said)]
    alone = _ALONE.fullmatch(text)
    if alone is not None:
        letter = alone[1].upper()
        return letter if letter in offered else None
    led = _LED.fullmatch(text) or _SAID.fullmatch(text)
    if led is None or led[1] not in offered:
        return None
    own = plain[offered.index(led[1])]
    rest = comparable(led[2])
    if rest == own:
        return led[1]
    # `B) Paris` and `B. It is the capital`, but not `B) or C)`, nor the text of another choice.
    if rest in plain or _ANOTHER.match(led[2]) or _MARKED.search(led[2]):
        return None
    return led[1]
