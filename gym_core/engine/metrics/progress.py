"""How a run is doing: plain counters that anybody may read at any time."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from gym_core.domain.responses import Usage
from gym_core.domain.rollout import Status
from gym_core.domain.task import result_task_id
from gym_core.engine.metrics.groups import GroupTally
from gym_core.engine.metrics.own import Metric
from gym_core.engine.metrics.rewards import RewardTally

ENOUGH = 5
"""Rollouts after which it makes sense to say what all of them will take."""


TOKEN_ACCOUNT = ("token_breaks", "token_problems", "weight_versions")
"""What rows say of their exact tokens, where there is something to say."""


@dataclass(slots=True)
class ErrorGroup:
    """Failures with one cause. `example`: the message of the first."""

    status: str
    error_class: str
    phase: str
    example: str
    count: int = 0


_CANCELLED = Status.CANCELLED.value


@dataclass(slots=True)
class RoleSpending:
    """What the model of one role took. `cost` in USD, None where no price is known."""

    calls: int = 0
    usage: Usage = field(default_factory=Usage)
    cost: float | None = None

    def to_wire(self) -> dict[str, Any]:
        """As it stands in the summary."""
        return {"calls": self.calls, "usage": self.usage.to_wire(), "cost": self.cost}


@dataclass(slots=True)
class Progress:
    """Counters of one run.

    `total`: rollouts to run, None when that is not known. `kept`: those of an earlier part of the run.
    `roles`: what each model took, where a run has several; None where one is all there is. `metrics`: the environment's
    own, by name. `groups`: where those are scored. `token_account`: breaks and problems of all rollouts, and how many
    of them mix versions of weights. `done` counts rows on disk, `failed` failures on disk. `usage`: the tokens
    of all rollouts on disk.
    """

    repeats: int = 1
    total: int | None = None
    kept: int = 0
    done: int = 0
    failed: int = 0
    in_flight: int = 0
    started: float = field(default_factory=time.monotonic)
    statuses: dict[str, int] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    cost: float | None = None
    rollout_seconds: float = 0.0
    model_seconds: float = 0.0
    waited_seconds: float = 0.0
    tool_calls: int = 0
    tool_errors: dict[str, int] = field(default_factory=dict)
    errors: dict[tuple[str, str, str], ErrorGroup] = field(default_factory=dict)
    rewards: RewardTally = field(default_factory=RewardTally)
    roles: dict[str, RoleSpending] | None = None
    metrics: dict[str, Metric] = field(default_factory=dict)
    token_account: dict[str, int] = field(default_factory=dict)
    groups: GroupTally | None = None

    def add(self, row: dict[str, Any], *, kept: bool = False) -> None:
        """Count a rollout that is on disk by its row; `kept`: it was there before this process started."""
        about = row["rollout"]
        status: str = about["status"]
        self.statuses[status] = self.statuses.get(status, 0) + 1
        reward = row["reward"]
        if kept:
            self.kept += 1
        if reward is None:
            self.failed += 1
        else:
            self.done += 1
        if status != _CANCELLED:
            task_id = result_task_id(row) if self.repeats > 1 else ""  # nothing is put together otherwise
            self.rewards.add(task_id, reward, row["reward_components"], row)
        self.usage.add(about["usage"])
        if about["cost"] is not None:
            self.cost = (self.cost or 0.0) + about["cost"]
        if self.roles is not None:
            self._add_roles(self.roles, about["model_calls"])
        timing = about["timing"]
        self.rollout_seconds += timing["seconds"]
        self.model_seconds += timing["model_seconds"]
        self.waited_seconds += timing["waited_seconds"]
        tools = about["tools"]
        self.tool_calls += tools["calls"]
        if tools["errors"]:
            for kind, count in tools["errors"].items():
                self.tool_errors[kind] = self.tool_errors.get(kind, 0) + count
        if "metrics" in about:
            for name, value in about["metrics"].items():
                metric = self.metrics.get(name)
                if metric is None:
                    metric = self.metrics[name] = Metric()
                metric.add(value)
        for name in TOKEN_ACCOUNT:
            if name in about:
                found = about[name]
                self.token_account[name] = self.token_account.get(name, 0) + (found if type(found) is int else 1)
        if about["error"]:
            self._group(status, about["error"])

    @staticmethod
    def _add_roles(roles: dict[str, RoleSpending], calls: list[dict[str, Any]]) -> None:
        for call in calls:
            spending = roles.get(call["role"])
            if spending is None:
                spending = roles[call["role"]] = RoleSpending()
            spending.calls += 1
            spending.usage.add(call["usage"])
            if call.get("cost") is not None:
                spending.cost = (spending.cost or 0.0) + call["cost"]

    def _group(self, status: str, error: dict[str, Any]) -> None:
        key = (status, error["class"], error["phase"])
        group = self.errors.get(key)
        if group is None:
            group = self.errors[key] = ErrorGroup(*key, example=error["message"])
        group.count += 1

    @property
    def cancelled(self) -> int:
        """Those among the failures that were cancelled."""
        return self.statuses.get(_CANCELLED, 0)

    @property
    def finished(self) -> int:
        """Rollouts with a row or a failure."""
        return self.done + self.failed

    @property
    def expected(self) -> tuple[float, float | None] | None:
        """Tokens and, where it is known, USD that all rollouts will take, if they go on like those so far."""
        if self.total is None or not ENOUGH <= self.finished < self.total:
            return None
        scale = self.total / self.finished
        return self.usage.total_tokens * scale, self.cost * scale if self.cost is not None else None

    @property
    def seconds(self) -> float:
        """Since the run started."""
        return time.monotonic() - self.started
