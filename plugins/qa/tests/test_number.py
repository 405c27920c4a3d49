"""`number` against answers as models write them."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gym_qa.graders.number import final_number, numbers

RIGHT = [
    ("It is 42.", "42"),
    ("42", "42.0"),
    ("The total is $1,234.50.", "1234.5"),
    ("1 234 567".replace(" ", "\u202f"), "1234567"),
    ("1'234'567", "1,234,567"),
    ("x = -7", "-7"),
    ("x = \u22127", "-7"),
    ("The answer is -$5", "-5"),
    ("so 10 - 5 = 5", "5"),
    ("It costs 3/4 of it", "0.75"),
    ("1 1/2 cups", "1.5"),
    ("1\u00bd cups", "3/2"),
    (r"$\frac{3}{4}$", "3/4"),
    (r"$-\frac{3}{4}$", "-0.75"),
    (r"2\frac{1}{2}", "2.5"),
    (r"\boxed{42}", "42"),
    (r"First 7, then $\boxed{1{,}000}$ and we are done in 3 steps.", "1000"),
    (r"\boxed{42\text{ cm}^2}", "42"),
    (r"\boxed{\$18}", "18"),
    (r"The area is 42 m^2", "42"),
    ("42 cm2", "42"),
    ("50%", "50"),
    ("50%", "0.5"),
    (r"50\%", "50%"),
    ("50", "50%"),
    ("1.5e3", "1500"),
    (r"1.5 \times 10^3", "1500"),
    ("3 x 10^{-2}", "0.03"),
    ("2^10", "1024"),
    ("5 million people", "5000000"),
    ("Step 1: 3*4=12\nStep 2: 12+1=13\n#### 13", "13"),
    ("**Answer:** 42 apples\n\nChecked 2 times.", "42"),
    ("Final answer: **42**", "42"),
    ("<answer>42</answer> (of 100)", "42"),
    ("<think>It may be 41 or 43</think>It is 42", "42"),
    ("the answer is 42, since 6 * 7 is 42", "42"),
    ("3.3333333333", "10/3"),
    (".5", "0.5"),
    ("It is 42nd", "42"),
    ("18", "Janet sells 16 - 3 - 4 = <<16-3-4=9>>9 eggs.\nShe makes 9 * 2 = $18.\n#### 18"),
]
WRONG = [
    ("", "42"),
    ("I do not know", "42"),
    ("42 or 43", "42"),
    ("Answer: I am not sure. It may be", "42"),
    ("6 * 7 = 42\nAnswer: unknown", "42"),
    ("-42", "42"),
    ("420", "42"),
    ("4.2", "42"),
    ("1,23", "123"),
    ("0.5", "50"),
    ("50%", "5"),
    ("1/0", "0"),
    ("3.33", "10/3"),
    ("1e999999999", "1"),
    ("CO2", "2"),
    ("m^2", "2"),
    ("9" * 1000, "9"),
    ("40 41 42 43", "42"),
]


@pytest.mark.parametrize(("reply", "answer"), RIGHT)
def test_right(reply: str, answer: str, score: Callable[..., float]) -> None:
    assert score("number", reply, answer) == 1


@pytest.mark.parametrize(("reply", "answer"), WRONG)
def test_wrong(reply: str, answer: str, score: Callable[..., float]) -> None:
    assert score("number", reply, answer) == 0


def test_numbers_of_rows_and_several_answers(score: Callable[..., float]) -> None:
    assert score("number", "42", 42) == 1
    assert score("number", "42", 41.5, 42.0) == 1
    assert score("number", "3.14", "3.14159") == 0
    assert score("number", "3.14", "3.14159", tolerance=0.001) == 1


def test_an_answer_without_a_number_is_refused(score: Callable[..., float]) -> None:
    with pytest.raises(ValueError, match="holds no number"):
        score("number", "42", "forty-two")


@given(
    st.fractions(max_denominator=10**6), st.sampled_from(["{}", "It is {}.", r"\boxed{{{}}}", "Answer: {}\n", "${}$"])
)
def test_a_fraction_is_read_as_it_is_written(value: Fraction, form: str) -> None:
    found = final_number(form.format(value))
    assert found is not None
    assert found.value == value


@given(st.integers(-(10**30), 10**30))
def test_thousands(value: int) -> None:
    found = final_number(f"It is {value:,}")
    assert found is not None
    assert found.value == value


@given(st.text(max_size=200))
def test_any_text_can_be_looked_through(text: str) -> None:
    list(numbers(text))


def test_long_replies_are_read_in_time() -> None:
    for piece in ("1,", "1 ", "\\frac{", "1/", "**", "Answer: ", "#### ", "<answer>", "\\boxed{", "9", "x"):
        final_number(piece * 20_000)
