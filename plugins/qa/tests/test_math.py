"""`math`: expressions that are equal however they are written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec

import pytest

from gym_core import UsageError

# Not imported where tests are only collected: it takes as long as all others of this folder.
pytestmark = pytest.mark.skipif(find_spec("math_verify") is None, reason="math_verify is not installed")


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (r"\boxed{\frac{1}{2}}", "0.5"),
        (r"So $x = \frac{\sqrt{2}}{2}$, hence \boxed{\frac{1}{\sqrt{2}}}.", r"\frac{\sqrt{2}}{2}"),
        (r"The answer is $2\sqrt{3}$.", r"\sqrt{12}"),
        ("Answer: x^2 + 2*x + 1", "$(x+1)^2$"),
        (r"\boxed{(1, 2)}", "$(1,2)$"),
        (r"\boxed{\{3, 1\}}", r"\{1,3\}"),
        ("Thoughts.\n7", "7"),
        (r"\boxed{50\%}", r"50\%"),
    ],
)
def test_right(reply: str, answer: str, score: Callable[..., float]) -> None:
    assert score("math", reply, answer) == 1


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("", "7"),
        ("I do not know", "7"),
        (r"\boxed{\frac{1}{3}}", "0.5"),
        (r"\boxed{(2, 1)}", "$(1,2)$"),
        (r"\boxed{1} \boxed{2}", "1"),
        ("Answer: 7 or 8", "7"),
        (r"\boxed{\int_0^1 2x dx + 8}", "7"),
    ],
)
def test_wrong(reply: str, answer: str, score: Callable[..., float]) -> None:
    assert score("math", reply, answer) == 0


@pytest.mark.parametrize(
    "reply",
    ["$9^{9^{9^9}}$", "$(9**9)**9**9$", "Answer: 9**99999999", "$100000!$", "9" * 5000, r"\frac{" * 300, "$((7!)!)!$"],
)  # fmt: skip
def test_what_cannot_be_worked_out_is_wrong_and_soon(reply: str, score: Callable[..., float]) -> None:
    assert score("math", reply, "7") == 0


def test_what_takes_too_long_is_wrong(score: Callable[..., float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gym_qa.graders.math.SECONDS", 0.05)
    assert score("math", r"$\int_0^1 \sin(\sin(\sin(x^x)))^{99} dx$", "7") == 0


def test_an_answer_that_nobody_can_read_is_a_failure(score: Callable[..., float]) -> None:
    with pytest.raises(ValueError, match="no answer is an expression"):
        score("math", "7")


def test_the_library_that_is_missing_is_said_with_what_to_install(
    score: Callable[..., float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "math_verify", None)
    with pytest.raises(UsageError, match=r"gym-qa\[math\]"):
        score("math", "7", "7")
