"""The numbers that `POST /aggregate_metrics` answers with, on resource servers and agents alike.

Names and shape are NeMo Gym's: `{mean,max,min,median,std}/{field}` over every numeric field of the rows and of their
`response.usage`, per task and over all, and `pass@{k}/reward` in per cent. As everywhere in gym a pass is a reward of
at least 1, and a rollout without a reward is left out and counted, never a 0.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gym_core.spi import SUCCESS, is_number, pass_at_k, powers_of_two
from gym_nemo.foreign_verdict import NotMeasured, check_measured

TASK_INDEX = "_ng_task_index"
ROLLOUT_INDEX = "_ng_rollout_index"
_NAMES_ONLY = frozenset({TASK_INDEX, ROLLOUT_INDEX, "task_id", "id"})


def aggregate_metrics(body: Any) -> dict[str, Any]:
    """The answer to a request `{"verify_responses": [row, ...]}`.

    `group_level_metrics`: one object per task, in the order of the tasks' first rows, with its `_ng_task_index` or
    `task_id`. `agent_metrics`: the same over all rows, with pass@k, `rollouts` (how many rows) and `left_out` (how many
    of them have no reward). `key_metrics`: its means and pass@k. Raises `ValueError` for a body of another shape.
    """
    rows = body.get("verify_responses") if isinstance(body, Mapping) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("`verify_responses` must be a list of rows, which are objects")
    if not rows:
        return {"group_level_metrics": [], "agent_metrics": {}, "key_metrics": {}}
    groups: dict[tuple[str, Any], list[dict[str, float]]] = {}
    for row in rows:
        groups.setdefault(_task_of(row), []).append(_numbers(row))
    everything = [numbers for group in groups.values() for numbers in group]
    agent = {
        **_described(everything),
        **_passes(groups.values()),
        "rollouts": len(rows),
        "left_out": sum("reward" not in numbers for numbers in everything),
    }
    return {
        "group_level_metrics": [{name: value, **_described(group)} for (name, value), group in groups.items()],
        "agent_metrics": agent,
        "key_metrics": {name: value for name, value in agent.items() if name.startswith(("mean/", "pass@"))},
    }


def _task_of(row: Mapping[str, Any]) -> tuple[str, Any]:
    for name in (TASK_INDEX, "task_id"):
        value = row.get(name)
        if isinstance(value, int | str):
            return name, value
    return TASK_INDEX, 0


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """The numeric fields of a row; usage and reward components are lifted up to it."""
    response = row.get("response")
    usage = response.get("usage") if isinstance(response, Mapping) else None
    fields: dict[str, Any] = {**row, **(usage if isinstance(usage, Mapping) else {})}
    components = row.get("reward_components")
    try:
        check_measured(row, row)
    except NotMeasured:
        fields["reward"] = components = None
    if isinstance(components, Mapping):
        fields.update({f"reward_components/{name}": value for name, value in components.items()})
    return {
        name: int(value) if isinstance(value, bool) else value
        for name, value in fields.items()
        if (isinstance(value, bool) or is_number(value)) and name not in _NAMES_ONLY
    }


def _described(group: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Statistics of every field over those rows that have it. `std` is the sample's, 0 of a single value."""
    described: dict[str, float] = {}
    for name in dict.fromkeys(name for numbers in group for name in numbers):
        values = [numbers[name] for numbers in group if name in numbers]
        described[f"mean/{name}"] = statistics.fmean(values)
        described[f"max/{name}"] = max(values)
        described[f"min/{name}"] = min(values)
        described[f"median/{name}"] = statistics.median(values)
        described[f"std/{name}"] = _deviation(values)
    return described


def _deviation(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0
    mean = statistics.fmean(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _passes(groups: Iterable[Sequence[Mapping[str, float]]]) -> dict[str, float]:
    """pass@k in per cent for k = 1, 2, 4, ... over the tasks that have as many rewards."""
    rewards = [[numbers["reward"] for numbers in group if "reward" in numbers] for group in groups]
    most = max(len(found) for found in rewards)
    passes: dict[str, float] = {}
    for k in powers_of_two(most) if most else ():
        chances = [
            pass_at_k(len(found), sum(reward >= SUCCESS for reward in found), k) for found in rewards if len(found) >= k
        ]
        passes[f"pass@{k}/reward"] = 100 * statistics.fmean(chances)
    return passes
