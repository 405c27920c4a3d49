"""Answers that never reach a scorer, and scorers that need it."""

from __future__ import annotations

import ast
import inspect
import os
import textwrap
from collections.abc import Callable

import pytest

from gym_core import Task, Verdict
from gym_reasoning_gym.families import FAMILIES
from gym_reasoning_gym.guards import EXPRESSIONS, LITERALS, refusal
from gym_reasoning_gym.package import registry

EVALUATING = {"eval", "exec", "parse_expr", "sympify", "compile", "S"}


def evaluates(family: str) -> bool:
    """Whether the scorer of a family calls something that evaluates text."""
    scorer = registry()[family][0].score_answer
    tree = ast.parse(textwrap.dedent(inspect.getsource(scorer)))
    called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = {getattr(function, "id", None) or getattr(function, "attr", "") for function in called}
    return not names.isdisjoint(EVALUATING)


def test_every_scorer_that_evaluates_answers_is_guarded() -> None:
    expected = LITERALS | EXPRESSIONS
    # it evaluates its own answer, not the model's
    assert {family for family in FAMILIES if evaluates(family)} - {"number_sorting"} == expected


@pytest.mark.parametrize("family", sorted(LITERALS | EXPRESSIONS))
@pytest.mark.parametrize(
    "code",
    [
        "__import__('os').environ.__setitem__('GYM_TEST_HIT', '1')",
        "[__import__('os').environ.__setitem__('GYM_TEST_HIT', '1')]",
        " \t[exec(\"import os; os.environ['GYM_TEST_HIT'] = '1'\")]",
        "\x0c[exec(\"import os; os.environ['GYM_TEST_HIT'] = '1'\")]",
        "(lambda: exec(\"import os; os.environ['GYM_TEST_HIT'] = '1'\"))()",
        "[x for x in [exec(\"import os; os.environ['GYM_TEST_HIT'] = '1'\")]]",
        "\uff45xec(\"import os; os.environ['GYM_TEST_HIT'] = '1'\")",
        "sin(exec(\"import os; os.environ['GYM_TEST_HIT'] = '1'\"))",
        "x.__class__",
        "f'{exit()}'",
    ],
)
def test_an_answer_is_never_run(
    family: str, code: str, sample: Callable[[str], Task], judge_text: Callable[[Task, str], Verdict]
) -> None:
    assert judge_text(sample(family), f"<answer>{code}</answer>").reward == 0.0
    assert "GYM_TEST_HIT" not in os.environ


@pytest.mark.parametrize(
    ("family", "answer"),
    [
        ("spiral_matrix", "[1, 2, -3]"),
        ("spiral_matrix", "1 2 3"),
        ("string_insertion", "['A', 'B']"),
        ("string_insertion", "ABCD"),
        ("binary_matrix", "0 1\n1 0"),
        ("n_queens", "_ Q\nQ _"),
        ("countdown", "(25 + 3) * 4 - 6 / 2"),
        ("puzzle24", "4 * (7 - 1) / 1"),
        ("simple_integration", "3*x**2/2 - sin(x)*exp(-x) + C"),
        ("polynomial_multiplication", "6*x**4*y - 8.5*x**3 + 1"),
        ("coin_flip", "1/2"),
        ("coin_flip", "0.50004"),
        ("coin_flip", ".5"),
        ("complex_arithmetic", "3 - 4i"),
        ("game_of_life_halting", "true"),
        ("propositional_logic", "(P ∧ ¬Q) → (R ↔ S)"),
        ("rubiks_cube", "U R' B2"),
    ],
)
def test_ordinary_answers_pass(family: str, answer: str) -> None:
    truth = "True" if family == "game_of_life_halting" else "0.5"
    assert refusal(family, answer, {"answer": truth, "metadata": {"numbers": [4, 7, 1, 1]}}) == ""


@pytest.mark.parametrize(
    ("family", "answer", "reason"),
    [
        ("lcm", "", "there is no answer"),
        ("lcm", "1" * 20_001, "too long"),
        ("countdown", "1+" * 500 + "1", "too long"),
        ("countdown", "5!", "no arithmetic"),
        ("puzzle24", "(" * 300 + "1" + ")" * 300, "no arithmetic"),
        ("puzzle24", "factorial(1000000)", "no arithmetic"),
        ("n_queens", "['Q'] * 10 ** 9", "code"),
        ("simple_integration", "Integral(3*x, x)", "no arithmetic"),
        ("puzzle24", "6 * 4 * 1 * 1", "not right"),
        ("puzzle24", "4 * (7 - 1) + 4 / 8", "not right"),
        ("puzzle24", "1 + 4 / (4 - 4) + 7", "not right"),
        ("puzzle24", "4 ** 1 * 7 - 4", "not right"),
        ("coin_flip", "0", "not right"),
        ("coin_flip", "1/0", "not right"),
        ("coin_flip", "1e999999999", "not right"),
        ("complex_arithmetic", "nan", "not in the form"),
        ("game_of_life_halting", "False", "not right"),
        ("game_of_life_halting", "anything", "not right"),
        ("rubiks_cube", "U999999999", "not in the form"),
        ("rush_hour", "A+999999999", "not in the form"),
        ("propositional_logic", "¬" * 301, "not in the form"),
        ("propositional_logic", "a \u2228 b", "not in the form"),
    ],
)
def test_what_a_scorer_would_choke_on_is_refused(family: str, answer: str, reason: str) -> None:
    truth = "True" if family == "game_of_life_halting" else "0.5"
    assert reason in refusal(family, answer, {"answer": truth, "metadata": {"numbers": [4, 4, 1, 7]}})


def test_deep_nesting_is_survived() -> None:
    deep = "-" * 900 + "1"
    assert isinstance(refusal("countdown", deep, {}), str)
    assert isinstance(refusal("spiral_matrix", "[" * 9_000 + "]" * 9_000, {}), str)
