"""What both kinds of environments have in common, once they are loaded."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from gym_chat import chat_request
from gym_core import CompletedTask, Endpoint, Rollout, Task, TaskFailed, Verdict

ROW = "verifiers"
"""The field of a task that holds what verifiers knows of it."""
_CARRIED = frozenset({"input", "tools", "tool_choice", "instructions", "messages", "model"})


class Loaded(ABC):
    """An environment that is loaded. An async context manager: within it rollouts may run."""

    scores_groups = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        return None

    @abstractmethod
    def tasks(self) -> Iterator[Task]:
        """Its dataset as tasks."""

    @abstractmethod
    async def run(self, task: Task, repeat: int, endpoint: Endpoint) -> CompletedTask:
        """One rollout by its own loop. `endpoint`: the model. Raises `TaskFailed`."""

    async def score_group(self, rollouts: Sequence[Rollout]) -> Sequence[Verdict]:
        """Verdicts that depend on the rollouts of a task together."""
        raise NotImplementedError


def sampling_of(task: Task) -> dict[str, Any]:
    """What the run says of sampling, as Chat Completions have it."""
    body = {"input": [], **{name: value for name, value in task.request.body.items() if name not in _CARRIED}}
    return {name: value for name, value in chat_request(body).items() if name not in _CARRIED}


def number(value: Any, what: str) -> float:
    """A reward or a metric. Raises `TaskFailed` for what is none: the verifier did not come to one."""
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return float(value)
    item = getattr(value, "item", None)  # of numpy, torch
    if callable(item) and isinstance(plain := item(), bool | int | float) and math.isfinite(plain):
        return float(plain)
    raise TaskFailed(f"{what} is {value!r:.80}, and no number", phase="verify")


def plain(value: Any) -> Any:
    """A value as JSON has it; what has no JSON form as its text."""
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        value = dump(mode="json", exclude_none=True)
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner) for inner in value]
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)
