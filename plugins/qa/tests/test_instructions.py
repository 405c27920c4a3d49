"""`instructions`: every id, followed and not, and rows that cannot be checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gym_qa.graders.instructions import CHECKS

CASES: list[tuple[str, dict[str, Any], str, str]] = [
    ("keywords:existence", {"keywords": ["sun", "moon"]}, "The Sun and the moon.", "The sunlight and the moon."),
    ("keywords:frequency", {"keyword": "sun", "relation": "at least", "frequency": 2}, "sun, Sun", "sun"),
    ("keywords:frequency", {"keyword": "sun", "relation": "less than", "frequency": 2}, "sun", "sun sun"),
    ("keywords:forbidden_words", {"forbidden_words": ["sun"]}, "the sunlight", "the sun"),
    (
        "keywords:letter_frequency",
        {"letter": "Z", "let_relation": "at least", "let_frequency": 2},
        "pizza",
        "zoo",
    ),
    (
        "length_constraints:number_sentences",
        {"relation": "less than", "num_sentences": 3},
        "One by Dr. No. Two, 3.5 in all!",
        "One. Two. Three.",
    ),
    ("length_constraints:number_words", {"relation": "at least", "num_words": 3}, "one two-fold three", "one two"),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "one\n***\ntwo", "one\n\ntwo"),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "well"},
        'One.\n\n"Well, two.',
        "Well.\n\nTwo.",
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[name] and [address]", "[name] and []"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Hi.\nP.S. More", "Hi. Psst"),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "Hi.\nP.P.S More", "Hi.\nP.S. More"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n* b", "* a\n* b\n- c"),
    ("detectable_format:constrained_response", {}, "My answer is no.", "No."),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*a* and **b**", "*a* and ** **"),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "SECTION", "num_sections": 2},
        "SECTION 1\na\nSECTION 2\nb",
        "SECTION 1\na",
    ),
    ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', "a: 1"),
    ("detectable_format:title", {}, "<<A title>>\nText", "<< >>\nText"),
    ("combination:two_responses", {}, "one\n******\ntwo", "one\n******\none"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say it."}, "Say it. It.", "Say it."),
    ("startend:end_checker", {"end_phrase": "That is all."}, "Well. That is all.", "That is all. Really."),
    ("startend:quotation", {}, '"Well."', '"Well." he said'),
    (
        "change_case:capital_word_frequency",
        {"capital_relation": "less than", "capital_frequency": 2},
        "ONE word",
        "TWO WORDS",
    ),
    ("change_case:english_capital", {}, "ALL OF IT, 1.", "ALL of it"),
    ("change_case:english_lowercase", {}, "all of it, 1.", "All of it"),
    ("punctuation:no_comma", {}, "none", "one, two"),
]


@pytest.mark.parametrize(("name", "given", "kept", "missed"), CASES)
def test_every_id(name: str, given: dict[str, Any], kept: str, missed: str, score: Callable[..., float]) -> None:
    padded = {**given, "of_another_instruction": None}
    row = {"instruction_id_list": [name], "kwargs": [padded]}
    assert score("instructions", kept, row=row) == 1
    assert score("instructions", missed, row=row) == 0
    assert score("instructions", "", row=row) == 0


def test_there_is_a_case_for_every_id() -> None:
    assert {name for name, *_ in CASES} == set(CHECKS)


def test_all_of_them_have_to_be_followed(score: Callable[..., float]) -> None:
    row = {"instruction_id_list": ["punctuation:no_comma", "change_case:english_lowercase"], "kwargs": [{}, None]}
    assert score("instructions", "all of it", row=row) == 1
    assert score("instructions", "all, of it", row=row) == 0


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            {"instruction_id_list": ["language:response_language"], "kwargs": [{"language": "de"}]},
            "is not checked here",
        ),
        ({"instruction_id_list": ["keywords:existence"], "kwargs": [{"keywords": None}]}, "what it cannot use"),
        ({"instruction_id_list": ["keywords:existence"], "kwargs": []}, "has no `kwargs`"),
        ({"instruction_id_list": []}, "has no `instruction_id_list`"),
        ({}, "has no `instruction_id_list`"),
    ],
)
def test_rows_that_cannot_be_checked_are_refused(row: dict[str, Any], said: str, score: Callable[..., float]) -> None:
    with pytest.raises(ValueError, match=said):
        score("instructions", "a", row=row)
