"""`instructions`: whether a reply follows the instructions that a row names, as data sets in the form of IFEval do.

Each id is a check of our own, by its description in the paper (Zhou et al. 2023, Instruction-Following Evaluation for
Large Language Models). Sentences are told apart by their marks. `language:response_language` is not among them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gym_core import JsonError, parse_json
from gym_qa.answers import spoken
from gym_qa.graders.grade import Expected, Grade

Check = Callable[[str, Mapping[str, Any]], bool]
_WORD = re.compile(r"\w+(?:['\u2019-]\w+)*")
_SENTENCE = re.compile(r"[^.!?\u3002]*\w[^.!?\u3002]*(?:[.!?\u3002]+|$)")
_ABBREVIATION = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|Prof|St|vs|etc|e\.g|i\.e|[A-Z])\.|(?<=\d)\.(?=\d)")
_CONSTRAINED = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


def instructions(reply: str, expected: Expected) -> Grade:
    """All instructions of the row are followed. The component `instructions` is the share of those that are."""
    reply = spoken(reply)
    asked = _asked(expected.row)
    missed = [name for name, given in asked if not (reply and CHECKS[name](reply, given))]
    share = 1 - len(missed) / len(asked)
    return Grade(float(not missed), None, {"instructions": share}, {"missed": missed} if missed else {})


def check_instructions(expected: Expected) -> None:
    """Raise `ValueError` for a row with an instruction that cannot be checked: it is never scored by the others."""
    for name, given in _asked(expected.row):
        if name not in CHECKS:
            raise ValueError(f"names an instruction that is not checked here: {name!r}")
        try:
            CHECKS[name]("A text.", given)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"gives {name} what it cannot use: {type(error).__name__}: {error}") from None


def _asked(row: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    ids, given = row.get("instruction_id_list"), row.get("kwargs")
    if not isinstance(ids, list) or not ids:
        raise ValueError("has no `instruction_id_list`")
    if (
        not isinstance(given, list)
        or len(given) != len(ids)
        or not all(isinstance(one, Mapping | None) for one in given)
    ):
        raise ValueError("has no `kwargs` for each instruction")
    return list(zip(map(str, ids), (one or {} for one in given), strict=True))


def _related(count: int, relation: str | None, wanted: Any) -> bool:
    return count < int(wanted) if relation == "less than" else count >= int(wanted)


def _count(pattern: str, text: str) -> int:
    return len(re.findall(pattern, text, re.IGNORECASE))


def _mentions(text: str, phrase: str) -> int:
    return _count(rf"(?<!\w){re.escape(phrase)}(?!\w)", text)


def _sentences(text: str) -> int:
    return len(_SENTENCE.findall(_ABBREVIATION.sub("", text.replace("\n", ". "))))


def _paragraphs(text: str, mark: str) -> list[str]:
    return [part.strip() for part in re.split(mark, text) if part.strip()]


def _first_word(text: str, given: Mapping[str, Any]) -> bool:
    found = _paragraphs(text, r"\n\n+")
    place = int(given["nth_paragraph"])
    if len(found) != int(given["num_paragraphs"]) or not 1 <= place <= len(found):
        return False
    word = _WORD.search(found[place - 1])
    return word is not None and word[0].casefold() == str(given["first_word"]).casefold()


def _sections(text: str, given: Mapping[str, Any]) -> bool:
    mark = re.escape(str(given["section_spliter"]).strip())
    return len(re.findall(rf"^\W*{mark}\s+\d+", text, re.MULTILINE | re.IGNORECASE)) >= int(given["num_sections"])


def _json(text: str) -> bool:
    fenced = re.fullmatch(r"```[a-zA-Z]*\s*\n(.*?)\n?```", text, re.DOTALL)
    try:
        parse_json((fenced[1] if fenced else text).strip())
    except JsonError:
        return False
    return True


def _highlights(text: str) -> int:
    return len(re.findall(r"\*\*[^\n*]*\w[^\n*]*\*\*|(?<!\*)\*[^\n*]*\w[^\n*]*\*(?!\*)", text))


def _two_responses(text: str) -> bool:
    parts = [part.strip() for part in text.split("******")]
    parts = parts[1:] if not parts[0] else parts
    parts = parts[:-1] if not parts[-1] else parts
    return len(parts) == 2 and all(parts) and parts[0] != parts[1]


def _postscript(text: str, given: Mapping[str, Any]) -> bool:
    mark = str(given["postscript_marker"]).strip()
    wanted = (
        r"p\.?\s*p\.?\s*s" if mark.upper().startswith("P.P") else r"p\.?\s*s\.?" if mark == "P.S." else re.escape(mark)
    )
    return re.search(rf"^\W*{wanted}", text, re.MULTILINE | re.IGNORECASE) is not None


def _capital_words(text: str) -> int:
    return sum(word.isupper() for word in _WORD.findall(text))


def _texts(value: Any) -> Sequence[str]:
    if not isinstance(value, list) or not value:
        raise TypeError("a list of words is wanted")
    return [str(one) for one in value]


CHECKS: Mapping[str, Check] = {
    "keywords:existence": lambda text, g: all(_mentions(text, word) for word in _texts(g["keywords"])),
    "keywords:frequency": lambda text, g: _related(_mentions(text, g["keyword"]), g["relation"], g["frequency"]),
    "keywords:forbidden_words": lambda text, g: not any(_mentions(text, word) for word in _texts(g["forbidden_words"])),
    "keywords:letter_frequency": lambda text, g: _related(
        text.casefold().count(g["letter"].casefold()), g["let_relation"], g["let_frequency"]
    ),
    "length_constraints:number_sentences": lambda text, g: _related(
        _sentences(text), g["relation"], g["num_sentences"]
    ),
    "length_constraints:number_words": lambda text, g: _related(
        len(_WORD.findall(text)), g["relation"], g["num_words"]
    ),
    "length_constraints:number_paragraphs": lambda text, g: (
        len(_paragraphs(text, r"\s?\*\*\*\s?")) == int(g["num_paragraphs"])
    ),
    "length_constraints:nth_paragraph_first_word": _first_word,
    "detectable_content:number_placeholders": lambda text, g: (
        _count(r"\[[^\[\]]+\]", text) >= int(g["num_placeholders"])
    ),
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": lambda text, g: (
        len(re.findall(r"^\s*(?:\*(?!\*)|-)\s*\S", text, re.MULTILINE)) == int(g["num_bullets"])
    ),
    "detectable_format:constrained_response": lambda text, g: any(one in text for one in _CONSTRAINED),
    "detectable_format:number_highlighted_sections": lambda text, g: _highlights(text) >= int(g["num_highlights"]),
    "detectable_format:multiple_sections": _sections,
    "detectable_format:json_format": lambda text, g: _json(text),
    "detectable_format:title": lambda text, g: re.search(r"<<[^\n<>]*\w[^\n<>]*>>", text) is not None,
    "combination:two_responses": lambda text, g: _two_responses(text),
    "combination:repeat_prompt": lambda text, g: (
        text.casefold().startswith(str(g["prompt_to_repeat"]).strip().casefold())
        and len(text) > len(str(g["prompt_to_repeat"]).strip())
    ),
    "startend:end_checker": lambda text, g: text.strip('" ').casefold().endswith(g["end_phrase"].strip().casefold()),
    "startend:quotation": lambda text, g: len(text) > 2 and text[0] == text[-1] == '"',
    "change_case:capital_word_frequency": lambda text, g: _related(
        _capital_words(text), g["capital_relation"], g["capital_frequency"]
    ),
    "change_case:english_capital": lambda text, g: text.isupper(),
    "change_case:english_lowercase": lambda text, g: text.islower(),
    "punctuation:no_comma": lambda text, g: "," not in text,
}
"""The checks by id: the reply, and what the row gives each."""
