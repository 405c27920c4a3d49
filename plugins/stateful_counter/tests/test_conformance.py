"""The counters keep the contract of environments, and the shortest way earns more than giving up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gym_core import Task
from gym_stateful_counter.plan import shortest_plan
from gym_testing import ResourceServerConformance, call


class TestStatefulCounter(ResourceServerConformance):
    reference = "stateful_counter"

    def winning(self, task: Task) -> Sequence[Any]:
        steps = shortest_plan(task["start"], task["goal"])
        calls = [call(step.tool, call_id=f"step_{number}", **step.arguments) for number, step in enumerate(steps)]
        return [*calls, call("submit", call_id="submit"), "Done."]

    def losing(self, task: Task) -> Sequence[Any]:
        return [call("submit")]
