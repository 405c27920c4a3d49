"""`python:FILE:FUNCTION`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gym_core import Rollout
from gym_qa.options import QAOptions

GRADER = """
def grade(reply, row):
    return row["answer"] in reply

def half(reply, row):
    return {"reward": 0.5, "why": row["question"]}

def broken(reply, row):
    return "good"

async def later(reply, row):
    return 1
"""


@pytest.fixture
def grader(tmp_path: Path) -> Path:
    path = tmp_path / "grader.py"
    path.write_text(GRADER)
    return path


def test_a_function_of_ones_own(grader: Path, roll: Callable[..., list[Rollout]], tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("question,answer\n?,yes\n?,no\n")
    found = roll(path, lambda request: "yes", options={"match": f"python:{grader}"})
    assert [rollout.reward for rollout in found] == [1.0, 0.0]
    found = roll(path, lambda request: "yes", options={"match": f"python:{grader}:half"})
    assert found[0].reward == 0.5
    assert found[0].row["rollout"]["info"]["why"] == "?"
    found = roll(path, lambda request: "yes", options={"match": f"python:{grader}:broken"})
    assert found[0].reward is None
    assert "must return a number" in found[0].error["message"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("grader.py:other", "there is no function `other`, only grade, half, broken, later"),
        ("grader.py:later", "must not be async"),
        ("missing.py:grade", "No such file"),
        ("broken.py", "it is no Python"),
    ],
)
def test_what_cannot_be_called_is_said_at_once(name: str, said: str, grader: Path) -> None:
    (grader.parent / "broken.py").write_text("def (")
    with pytest.raises(ValueError, match=said):
        QAOptions.model_validate({"match": f"python:{grader.parent / name}"})
