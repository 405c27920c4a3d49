"""Episodes, in which NeMo Gym's environment servers are asked for rollouts since 0.7, and rows, of which they are made.

An episode names one attempt and one task, and holds the row below `task.task_input`, its fields beside the request or
in `task_data`. What is answered is a result or a failure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gym_core.spi import REQUEST_FIELD
from gym_nemo.metrics import ROLLOUT_INDEX, TASK_INDEX
from gym_nemo.rows import AGENT_REF, REASON

TASKSET = "gym"
_STAGES = {"setup": "seed", "model": "agent", "agent": "agent", "tool": "agent", "verify": "verification"}
_KEPT_BY_COLLECTORS = ("_ng_", "ng_trajectory", "ng_model_call_capture", "ng_perf")


def is_episode(body: Mapping[str, Any]) -> bool:
    """Whether what is asked is an episode, and no row."""
    return "episode_id" in body and "task" in body and REQUEST_FIELD not in body


def episode_of(row: Mapping[str, Any], task_id: str) -> dict[str, Any]:
    """A row that bears its numbers as an episode."""
    return {
        "episode_id": {"rollout_id": f"{row[TASK_INDEX]}-{row[ROLLOUT_INDEX]}", "attempt": 0},
        "task": {
            "task_id": {"taskset": TASKSET, "task_id": task_id},
            "task_input": {
                name: value for name, value in row.items() if not name.startswith("_ng_") and name != AGENT_REF
            },
        },
    }


def row_of_episode(task_id: Mapping[str, Any], rollout_id: str, task_input: Mapping[str, Any]) -> dict[str, Any]:
    """An episode as a row. The numbers are those that a collector makes a rollout's id of."""
    fields = dict(task_input)
    data = fields.pop("task_data", None)
    row = {"task_id": task_id["task_id"], **(data if isinstance(data, Mapping) else {}), **fields}
    head, dash, repeat = rollout_id.rpartition("-")
    if dash and head.isdecimal() and repeat.isdecimal():
        row = {TASK_INDEX: int(head), ROLLOUT_INDEX: int(repeat), **row}
    return row


def result_of_episode(body: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to an episode: the result row, without the fields that collectors keep for themselves."""
    result = {name: value for name, value in row.items() if not name.startswith(_KEPT_BY_COLLECTORS)}
    return {**_named(body), "result": result}


def failure_of_episode(body: Mapping[str, Any], error: Mapping[str, Any], status: str) -> dict[str, Any]:
    """The answer to an episode that failed. `error`: as rows have it. What may be retried is not its end."""
    failure = {
        "failure_reason": f"{error.get('class') or 'error'}: {error.get('message') or 'it says no more'}"[:REASON],
        "terminal": error.get("retryable") is not True,
        "failure_kind": f"gym:{status}",
        "stage": _STAGES.get(str(error.get("phase")), "agent"),
    }
    return {**_named(body), "failure": failure}


def _named(body: Mapping[str, Any]) -> dict[str, Any]:
    return {"episode_id": body["episode_id"], "task_id": body["task"]["task_id"]}
