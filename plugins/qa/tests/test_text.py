"""`exact`, `contains` and `regex`."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.mark.parametrize(
    ("reply", "answer", "right"),
    [
        ("Paris", "paris", True),
        ('"Paris."', "Paris", True),
        ("**Paris**", "Paris", True),
        ("The capital of France.\n\nAnswer: Paris", "Paris", True),
        ("Answer:   New   York ", "new york", True),
        ("Long thoughts.\nParis", "Paris", True),
        (r"\boxed{Paris}", "Paris", True),
        ("\uff30aris", "Paris", True),
        ("It is Paris", "Paris", False),
        ("Paris or Rome", "Paris", False),
        ("Answer: Rome\nParis", "Paris", False),
        ("", "Paris", False),
    ],
)
def test_exact(reply: str, answer: str, right: bool, score: Callable[..., float]) -> None:
    assert score("exact", reply, answer) == right


def test_answers_that_are_no_texts(score: Callable[..., float]) -> None:
    assert score("exact", "true", True) == 1
    assert score("exact", "yes", True) == 0
    assert score("exact", "42", 42.0) == 1


def test_case_counts_where_it_is_asked_to(score: Callable[..., float]) -> None:
    assert score("exact", "paris", "Paris", case=True) == 0
    assert score("exact", "Paris", "Paris", case=True) == 1
    assert score("contains", "in paris", "Paris", case=True) == 0


@pytest.mark.parametrize(
    ("reply", "answer", "right"),
    [
        ("It is in Paris, I think.", "Paris", True),
        ("Parisians", "Paris", False),
        ("It costs 42.", "42", True),
        ("It costs 420.", "42", False),
        ("see C++ here", "C++", True),
        ("<think>Paris</think>Rome", "Paris", False),
        ("", "Paris", False),
    ],
)
def test_contains(reply: str, answer: str, right: bool, score: Callable[..., float]) -> None:
    assert score("contains", reply, answer) == right


def test_any_of_several_answers_is_right(score: Callable[..., float]) -> None:
    for match in ("exact", "contains"):
        assert score(match, "Lutetia", "Paris", "Lutetia") == 1
        assert score(match, "Rome", "Paris", "Lutetia") == 0


def test_regex(score: Callable[..., float]) -> None:
    assert score("regex", "It is 12 March", r"\b12(th)?\s+(of\s+)?march\b") == 1
    assert score("regex", "It is 13 March", r"\b12(th)?\s+(of\s+)?march\b") == 0
    assert score("regex", "a\nb", "^b$") == 1
    with pytest.raises(ValueError, match="is no regular expression"):
        score("regex", "a", "(a")
    with pytest.raises(ValueError, match="matches every reply"):
        score("regex", "a", ".*")


def test_an_answer_of_marks_alone_is_refused(score: Callable[..., float]) -> None:
    with pytest.raises(ValueError, match="says nothing"):
        score("contains", "a", "...")
