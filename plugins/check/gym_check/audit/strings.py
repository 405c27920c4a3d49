"""The strings of a prompt that could be an answer, each with the place where it stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

EVERYTHING = "all its strings"
_WORD = re.compile(r"[^\W_](?:[\w.,:'/+-]*[^\W_])?|-?\d[\d.,]*")
_NUMBER = re.compile(r"-?\d+(?:[.,]\d+)*")
_QUOTED = re.compile(r"[\"“`']([^\"“”`'\n]{1,200})[\"”`']|[(\[<{]([^()\[\]<>{}\n]{1,200})[)\]>}]")
_TELLING = re.compile(
    r"\b(?:answer|solution|result|secret|password|code|key|label|target|correct|hint|say|reply|respond|write|repeat)\b"
    r"(?:\s+(?:is|are|was|be|it|with|the|word|number|should|must)\b|\s*[:=])*\s*([^\n]+)",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[^.!?\n]+")
_OPTION = re.compile(r"(?:^|[\s(])[A-Ea-e1-5][).:]\s", re.MULTILINE)

_FINDERS: tuple[tuple[str, Callable[[str], list[str]]], ...] = (
    ("text in quotes or brackets", lambda prompt: [first or second for first, second in _QUOTED.findall(prompt)]),
    ("rest after a telling word", lambda prompt: [rest.strip(" .!?\"'`") for rest in _TELLING.findall(prompt)]),
    ("word after a telling word", lambda prompt: [_first_word(rest) for rest in _TELLING.findall(prompt)]),
    ("number", _NUMBER.findall),
    ("line", lambda prompt: [line.strip() for line in prompt.splitlines()]),
    ("sentence", lambda prompt: [sentence.strip() for sentence in _SENTENCE.findall(prompt)]),
    ("text after a colon", lambda prompt: [rest.strip(" .") for rest in re.findall(r"[:=]\s*([^\n:=]+)", prompt)]),
    ("word", _WORD.findall),
)


@lru_cache(maxsize=64)  # the same prompt is asked for once per string that is tried
def strings_of(prompt: str) -> Mapping[str, str]:
    """The strings by place, such as `number 1` or, counted from the end, `word -2`; the most telling come first."""
    found: dict[str, str] = {}
    for kind, find in _FINDERS:
        strings = [string for string in find(prompt) if string]
        # Alternating, so that a cut leaves both ends.
        for step in range(len(strings)):
            found[f"{kind} -{step + 1}"] = strings[-step - 1]
            found[f"{kind} {step + 1}"] = strings[step]
    found[EVERYTHING] = "\n".join(dict.fromkeys(found.values()))
    return found


def is_choice(prompt: str, text: str) -> bool:
    """Whether the prompt offers a text as one of several answers, so that the right one has to stand in it."""
    if len(_OPTION.findall(prompt)) > 1:
        return True
    word = rf"[\"'`(]?{re.escape(text)}[\"'`)]?"
    before = rf"\bor\s+(?:an?\s+|the\s+)?{word}(?!\w)"
    after = rf"(?<!\w){word}(?:,[^.?!\n]{{0,60}})?,?\s+or\b"
    return bool(re.search(rf"{before}|{after}|(?<=\w)/{word}(?!\w)|(?<!\w){word}/\w", prompt))


def _first_word(text: str) -> str:
    word = _WORD.search(text)
    return word[0] if word else ""
