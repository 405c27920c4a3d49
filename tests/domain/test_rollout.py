"""A row read through names."""

from __future__ import annotations

from typing import Any

import pytest

from gym_core import Rollout, Status, Task
from gym_core.spi import check_row

ROW: dict[str, Any] = {
    "task_id": "a",
    "responses_create_params": {"input": "Hi"},
    "response": {"output": [{"type": "message", "role": "assistant", "content": "ho"}]},
    "reward": 0.5,
    "reward_components": {"part": 0.5},
    "rollout": {
        "run_id": "r", "repeat": 2, "status": "truncated", "stop_reason": "max_turns", "info": {"why": 1},
        "error": None, "usage": {"input_tokens": 3}, "model_calls": [{"role": "policy"}],
    },
}  # fmt: skip


def test_a_row_has_names() -> None:
    rollout = Rollout(ROW)
    assert rollout.key == ("a", 2)
    assert (rollout.status, rollout.stop_reason) == (Status.TRUNCATED, "max_turns")
    assert (rollout.reward, rollout.reward_components, rollout.info) == (0.5, {"part": 0.5}, {"why": 1})
    assert rollout.response.output_text == "ho"
    assert rollout.usage.input_tokens == 3
    assert rollout.model_calls == [{"role": "policy"}]
    assert rollout.error is None
    assert "truncated" in repr(rollout)


def test_a_row_of_another_tool_can_be_looked_at() -> None:
    rollout = Rollout({"task_id": 3, "reward": 1.0})
    assert rollout.key == ("3", 0)
    assert (rollout.stop_reason, rollout.error, rollout.model_calls) == (None, None, ())
    assert rollout.response.output == []


@pytest.mark.parametrize("status", list(Status))
def test_only_completed_and_truncated_have_a_verdict(status: Status) -> None:
    assert status.has_verdict is (status.value in ("completed", "truncated"))


def test_a_result_read_as_a_task_loses_what_gym_added_and_keeps_the_rest() -> None:
    task = Task(check_row(ROW))
    assert task.row == {"task_id": "a", "responses_create_params": {"input": "Hi"}}
    assert task.task_id == "a"
