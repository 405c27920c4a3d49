"""Which column holds what: named by options, else found by the usual names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gym_core import UsageError

QUESTION = ("question", "prompt", "problem", "input", "query", "instruction", "text", "goal", "ctx", "q")
ANSWER = (
    *("answer", "answers", "target", "targets", "solution", "label", "output", "expected", "correct_answer", "gold"),
    *(
        "final_answer",
        "expected_answer",
        "ground_truth",
        "reference",
        "answer_key",
        "correct",
        "completion",
        "response",
        "a",
    ),
)
CHOICES = ("choices", "options", "alternatives", "candidates", "endings")
TESTS = ("tests", "test", "test_list", "unit_tests", "test_cases")
_ONE_CHOICE = re.compile(r"(?:(?:option|choice|opt|answer|ending)_?)?([a-z]|\d{1,2})")
_IGNORED = str.maketrans("", "", " _-")
MOST_CHOICES = 26


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of columns; `answer` is empty where there is none, `choices` are one column, or one for each choice.

    `guessed`: those that were found by the usual names, by what they hold.
    """

    question: str
    answer: str
    choices: tuple[str, ...]
    tests: str
    guessed: dict[str, str]


def find_columns(
    source: str,
    names: Sequence[str],
    *,
    question: str = "",
    answer: str = "",
    choices: str = "",
    tests: str = "",
    needs_answer: bool = False,
) -> Columns:
    """The columns of a file, those that options name first. Raises `UsageError` for one that is not there.

    `needs_answer`: whether a file without answers is refused, which one with tests is not.
    """
    given = {"question": question, "answer": answer, "tests": tests}
    for option, name in (*given.items(), *(("choices", part) for part in _parts(choices))):
        if name and name not in names:
            raise UsageError(
                f"{source}: there is no column `{name}` for -E {option}=; there are {listed(names)}",
                hint=f"name one of them: -E {option}=COLUMN",
            )
    found = {
        "question": question or _usual(names, QUESTION),
        "answer": answer or _usual_answer(names),
        "tests": tests or _usual(names, TESTS),
    }
    if not found["question"]:
        answerless = needs_answer and not found["answer"] and not found["tests"]
        raise none_looks_like(source, names, "question", *(["answer"] if answerless else []))
    taken = {*found.values()}
    several = _parts(choices) or _choice_columns([name for name in names if name not in taken])
    guessed = {part: name for part, name in found.items() if name and not given[part]}
    if several and not choices:
        guessed["choices"] = ",".join(several)
    return Columns(found["question"], found["answer"], several, found["tests"], guessed)


def none_looks_like(source: str, names: Sequence[str], *parts: str) -> UsageError:
    """The error for columns that were not found, all of them at once."""
    return UsageError(
        f"{source}: no column looks like the {', none like the '.join(parts)}; there are {listed(names)}",
        hint=f"name {'it' if len(parts) == 1 else 'them'}: {' '.join(f'-E {part}=COLUMN' for part in parts)}",
    )


def listed(names: Iterable[str]) -> str:
    """Names of columns as an error shows them."""
    shown = [f"`{name}`" for name in names]
    more = f" and {len(shown) - 30} more" if len(shown) > 30 else ""
    return ", ".join(shown[:30]) + more


def _parts(choices: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in choices.split(",") if part.strip())


def _plain(name: str) -> str:
    return name.casefold().translate(_IGNORED)


def _usual(names: Sequence[str], usual: Iterable[str]) -> str:
    plain = {_plain(name): name for name in reversed(names)}
    return next((plain[wanted] for name in usual if (wanted := _plain(name)) in plain), "")


def _usual_answer(names: Sequence[str]) -> str:
    lettered = _usual(names, ("b",))  # `a` is the first of several choices then
    return _usual(names, ANSWER[:-1] if lettered else ANSWER)


def _choice_columns(names: Sequence[str]) -> tuple[str, ...]:
    one = _usual(names, CHOICES)
    if one:
        return (one,)
    for first in ("a", "1", "0"):
        by_mark = {match[1]: name for name in names if (match := _ONE_CHOICE.fullmatch(name.casefold()))}
        marks = (
            [chr(ord("a") + place) for place in range(MOST_CHOICES)]
            if first == "a"
            else [str(int(first) + place) for place in range(MOST_CHOICES)]
        )
        several = []
        for mark in marks:
            if mark not in by_mark:
                break
            several.append(by_mark[mark])
        if len(several) > 1:
            return tuple(several)
    return ()
