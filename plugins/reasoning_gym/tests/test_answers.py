"""Where the final answer is found."""

from __future__ import annotations

import pytest

from gym_reasoning_gym.answers import INSTRUCTION, Answer, find_answer
from tests.support.work import LINEAR, growth


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<answer>42</answer>", "42"),
        ("So it is <answer> 42\n</answer>.", "42"),
        ("<answer>1</answer> No: <Answer>42</ANSWER>", "42"),
        ("<answer>41 <answer>42</answer>", "42"),
        ("<answer>42</answer> I put it between <answer> tags.", "42"),
        ("<answer>42</answer><answer></answer>", "42"),
        ("<think><answer>41</answer></think><answer>42</answer>", "42"),
        ("<answer>\n```json\n[1,\n 2]\n```\n</answer>", "[1,\n 2]"),
        ("<answer>a < b</answer>", "a < b"),
        ("<answer>x\n\ny</answer>", "x\n\ny"),
    ],
)
def test_between_tags(text: str, answer: str) -> None:
    assert find_answer(text) == Answer(answer, formatted=True)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<answer>42", "42"),
        ("<answer></answer>", "<answer></answer>"),
        (r"It is \boxed{4} or rather \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"It is \boxed{4", r"It is \boxed{4"),
        ("42", "42"),
        ("  ```\n42\n```  ", "42"),
        ("Reasoning without a start.</think>42", "42"),
        ("<think>It may be <answer>42</answer>, but", ""),
        ("", ""),
        ("</answer>42", "</answer>42"),
    ],
)
def test_elsewhere(text: str, answer: str) -> None:
    assert find_answer(text) == Answer(answer, formatted=False)


def test_the_instruction_itself_holds_no_answer() -> None:
    assert find_answer(INSTRUCTION).text == "and"


@pytest.mark.parametrize("piece", ["<answer>", "</answer>", "\\boxed{", "```\n", "<think>", "</think>", "{"])
def test_the_work_of_reading_grows_with_the_text(piece: str) -> None:
    assert growth("gym_reasoning_gym", lambda size: find_answer(piece * size + "42"), 500) < LINEAR


def test_a_long_text_is_read() -> None:
    assert find_answer("<answer>" * 100_000 + "42</answer>").text == "42"
    assert not find_answer("\\boxed{" * 100_000).formatted
