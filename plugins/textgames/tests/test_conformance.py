"""Games keep the contract of environments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from gym_core import Task
from gym_testing import ResourceServerConformance, call


@pytest.mark.slow
class TestReplies(ResourceServerConformance):
    reference = "gymnasium:FrozenLake-v1"
    options = {"make": {"is_slippery": False}, "tasks": 3}

    def winning(self, task: Task) -> Sequence[Any]:
        return ["down", "down", "right", "right", "down", "right"]


@pytest.mark.slow
class TestCalls(TestReplies):
    options = {"make": {"is_slippery": False}, "tasks": 3, "actions": "tool"}

    def winning(self, task: Task) -> Sequence[Any]:
        return [call("act", action=str(way)) for way in super().winning(task)]
