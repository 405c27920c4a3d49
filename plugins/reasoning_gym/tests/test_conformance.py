"""The questions keep the contract of environments, and the answer they were made with is the best one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from gym_core import Task
from gym_testing import ResourceServerConformance


@pytest.mark.slow
class TestOneFamily(ResourceServerConformance):
    reference = "reasoning_gym:spell_backward"

    def winning(self, task: Task) -> Sequence[Any]:
        return [f"<answer>{task['answer']}</answer>"]


@pytest.mark.slow
class TestExpressions(TestOneFamily):
    reference = "reasoning_gym:simple_equations,polynomial_equations"
    task_limit = 10
