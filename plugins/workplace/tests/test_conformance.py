"""The office keeps the contract of environments, and pays those who do what was asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from gym_core import Task
from gym_testing import ResourceServerConformance, call
from gym_workplace.generator.desk import Draft
from gym_workplace.generator.office import make_office
from gym_workplace.generator.write import PER_FAMILY, SEED, make_drafts


@cache
def drafts() -> dict[str, Draft]:
    return {draft.row["task_id"]: draft for draft in make_drafts(SEED, PER_FAMILY, make_office(SEED))}


class TestWorkplace(ResourceServerConformance):
    reference = "workplace"

    def winning(self, task: Task) -> Sequence[Any] | None:
        draft = drafts()[task.task_id]
        calls = [call(name, json.dumps(arguments), call_id=f"c{n}") for n, (name, arguments) in enumerate(draft.plan)]
        return [*([each] for each in calls), draft.answer]
