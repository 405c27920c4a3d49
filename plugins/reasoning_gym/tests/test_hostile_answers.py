"""No answer makes the verifier of a family fail or hang, and none of these earns anything."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gym_core import Task, Trajectory, Verdict
from gym_reasoning_gym.families import FAMILIES
from gym_reasoning_gym.guards import EXPRESSIONS, refusal
from gym_reasoning_gym.verifier import judge

PARTS = ["9" * 4400, "9" * 400, "-1e999", "nan", "\ud800", "(" * 300, "[" * 3000, "1/0", "**", "days", "\x00", "True"]
PARTS += list("{}[](),:-=1A \n\u0661")
HOSTILE = st.lists(st.sampled_from(PARTS), min_size=1, max_size=6).map("".join)


@pytest.fixture(scope="module")
def tasks(make_tasks: Callable[..., list[Task]]) -> list[Task]:
    quick = [
        family for family in FAMILIES if family not in EXPRESSIONS and family not in ("arc_agi", "rearc", "composite")
    ]
    return make_tasks(",".join(quick[::4]), len(quick[::4]))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=HOSTILE)
def test_whatever_is_answered_is_judged(tasks: list[Task], text: str) -> None:
    for task in tasks:
        said = {"type": "message", "role": "assistant", "content": f"<answer>{text}</answer>"}
        assert 0 <= judge(task, Trajectory(task.input, [said])).reward <= 1


@pytest.fixture(scope="module")
def parsing(make_tasks: Callable[..., list[Task]]) -> list[Task]:
    """Tasks of two families whose scorers read what is answered as times, and as JSON."""
    return make_tasks("time_intervals,codeio", 12)


@pytest.mark.parametrize(
    "text", ["9" * 1000, "9" * 1000 + " days", "9" * 4400, "1:" + "9" * 400, "{" + "[" * 9000 + "}"]
)
@pytest.mark.parametrize("family", ["time_intervals", "codeio"])
def test_what_a_scorer_cannot_take_earns_nothing(
    family: str, text: str, parsing: list[Task], judge_text: Callable[[Task, str], Verdict]
) -> None:
    judged = [task for task in parsing if task["family"] == family]
    assert len(judged) == 6
    for task in judged:
        assert judge_text(task, f"<answer>{text}</answer>").reward == 0.0


@pytest.mark.parametrize("family", sorted(EXPRESSIONS - {"puzzle24"}))
@pytest.mark.parametrize(
    "text",
    [
        "9**9**9",
        "9**(9**9)",
        "(9**99)**99",
        "x**x**x",
        "2**(10*10*10*10)",
        "2**(1/0.0001)",
        "9**99*9**99*9**99",
        "2**1e9",
        "-" * 400 + "9**999",
        "2**exp(999)",
        "1e999999",
        "x + 1.e-9_99999",
    ],
)
def test_an_expression_that_never_ends_is_not_worked_out(family: str, text: str) -> None:
    assert refusal(family, text, {"answer": "1", "metadata": {}}) == "the answer is no arithmetic expression"


@pytest.mark.parametrize(
    "text", ["x**11/11 + 3*x**2/2", "2*x**(3/2)/3", "(x + 1)**50", "exp(2*x)**2", "2**x", "-x**-2"]
)
def test_an_expression_as_they_are_asked_for_is(text: str) -> None:
    assert refusal("simple_integration", text, {"answer": "1", "metadata": {}}) == ""
