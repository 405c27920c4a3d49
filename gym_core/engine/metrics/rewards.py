"""The reward of a run, folded task by task: what stands in its summary under `reward`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from gym_core.engine.metrics.breakdown import Breakdown
from gym_core.engine.metrics.intervals import interval_of_mean
from gym_core.engine.metrics.statistics import SUCCESS as SUCCESS
from gym_core.engine.metrics.statistics import ClusteredMean as ClusteredMean
from gym_core.engine.metrics.statistics import pass_at_k as pass_at_k
from gym_core.engine.metrics.statistics import pass_hat_k as pass_hat_k
from gym_core.engine.metrics.statistics import powers_of_two as powers_of_two
from gym_core.engine.metrics.statistics import rounded

_Entry: TypeAlias = tuple[float, Mapping[str, float], tuple[ClusteredMean, ...]]
"""One rollout of a task under way: its reward, its components, and the groups it belongs to."""


class RewardTally:
    """Rewards of a run, folded task by task, so that memory grows with the tasks under way and not with the run.

    `repeats`: how many rollouts a task has. A task is folded when all of them are in, or at the end. `by`: fields of
    the row, as dotted paths, over whose values the reward is broken down.
    """

    def __init__(self, repeats: int = 1, by: Sequence[str] = ()) -> None:
        self._repeats = repeats
        self._open: dict[str, list[_Entry]] = {}
        self._left: dict[str, int] = {}
        self._rewards = ClusteredMean()
        self._within_unit = True
        self._repeated = RepeatedTasks()
        self._components: dict[str, ClusteredMean] = {}
        self._breakdowns = [Breakdown(field) for field in dict.fromkeys(by)]
        self._passes = {k: (ClusteredMean(), ClusteredMean()) for k in powers_of_two(repeats)} if repeats > 1 else {}

    def add(
        self,
        task_id: str,
        reward: float | None,
        components: Mapping[str, float],
        row: Mapping[str, Any] | None = None,
    ) -> None:
        """Add one rollout; a failure, whose reward is None, only says that no more is to come for it.

        `row`: what the fields of `by` are read from.
        """
        groups = self._groups(row, failed=reward is None) if self._breakdowns and row is not None else ()
        if self._repeats == 1:
            if reward is not None:
                self._rewards.add_single(reward)
                if not 0.0 <= reward <= 1.0:
                    self._within_unit = False
                for name, value in components.items():
                    self._component(name).add_single(value)
                for group in groups:
                    group.add_single(reward)
            return
        rows = self._open.setdefault(task_id, [])
        if reward is not None:
            rows.append((reward, components, groups))
        left = self._left.get(task_id, self._repeats) - 1
        if left > 0:
            self._left[task_id] = left
        else:
            self._left.pop(task_id, None)
            self._fold(self._open.pop(task_id))

    def _groups(self, row: Mapping[str, Any], *, failed: bool) -> tuple[ClusteredMean, ...]:
        return tuple(breakdown.group(row, failed=failed) for breakdown in self._breakdowns)

    def _fold(self, rows: Sequence[_Entry]) -> None:
        rewards = [reward for reward, _, _ in rows]
        self._rewards.add(rewards)
        for name in {name for _, components, _ in rows for name in components}:
            self._component(name).add([components[name] for _, components, _ in rows if name in components])
        for group in {group for _, _, groups in rows for group in groups}:
            group.add([reward for reward, _, groups in rows if group in groups])
        n, c = len(rows), sum(reward >= SUCCESS for reward in rewards)
        if n:
            self._within_unit = self._within_unit and min(rewards) >= 0.0 and max(rewards) <= 1.0
        if n > 1:
            self._repeated.add(rewards, flipped=0 < c < n)
        for k, (at, hat) in self._passes.items():
            if n >= k:
                at.add_single(pass_at_k(n, c, k))
                hat.add_single(pass_hat_k(n, c, k))

    def _component(self, name: str) -> ClusteredMean:
        mean = self._components.get(name)
        if mean is None:
            mean = self._components[name] = ClusteredMean()
        return mean

    @property
    def running_mean(self) -> float | None:
        """The mean reward of the tasks folded so far and those under way."""
        folded = self._rewards
        rewards = [reward for rows in self._open.values() for reward, _, _ in rows]
        count = folded.count + len(rewards)
        return (folded.total + math.fsum(rewards)) / count if count else None

    def _interval(self) -> list[float | None] | None:
        rewards, mean = self._rewards, self._rewards.mean
        found = mean is not None and interval_of_mean(
            mean, rewards.standard_error, clusters=rewards.clusters, count=rewards.count, within_unit=self._within_unit
        )
        return [rounded(end) for end in found] if found else None

    def result(self, failures: int) -> dict[str, Any]:
        """Everything there is to say, with `failures` rollouts that have no reward."""
        for rows in self._open.values():
            self._fold(rows)
        self._open.clear()
        self._left.clear()
        rewards = self._rewards
        everything = rewards.count + failures
        result: dict[str, Any] = {
            **rewards.to_wire(),
            "left_out": failures,
            "tasks": rewards.clusters,
            "interval_95": self._interval(),
            "mean_over_all": rounded(rewards.total / everything if everything else None),
            "components": {name: mean.to_wire() for name, mean in sorted(self._components.items())},
        }
        if self._passes:
            result |= self._repeated.to_wire(rewards)
            result["pass@k"] = _table((k, at) for k, (at, _) in self._passes.items())
            result["pass^k"] = _table((k, hat) for k, (_, hat) in self._passes.items())
        if self._breakdowns:
            result["by"] = {breakdown.field: breakdown.result() for breakdown in self._breakdowns}
        return result


class RepeatedTasks:
    """What repeats of a task say that one rollout cannot: how much of the noise is the task's own."""

    def __init__(self) -> None:
        self.tasks = 0
        self.flipped = 0
        self._squares = 0.0
        self._degrees = 0

    def add(self, rewards: Sequence[float], *, flipped: bool) -> None:
        """Add a task with two rollouts or more; `flipped`: some of them pass and others do not."""
        mean = math.fsum(rewards) / len(rewards)
        self.tasks += 1
        self.flipped += flipped
        self._squares += math.fsum([(reward - mean) ** 2 for reward in rewards])
        self._degrees += len(rewards) - 1

    def to_wire(self, rewards: ClusteredMean) -> dict[str, Any]:
        """`flips`: how many tasks have several verdicts, and in how many of them they differ. `variance`: of the
        rewards of one task, and of the true means of tasks, which is that of their means less what repeats add to it.
        """
        within = self._squares / self._degrees if self._degrees else None
        error, tasks, between = rewards.standard_error, rewards.clusters, None
        if within is not None and error is not None:
            between = max(0.0, error * error * tasks * tasks / (tasks - 1) - within * tasks / rewards.count)
        return {
            "flips": {"tasks": self.tasks, "flipped": self.flipped},
            "variance": {"between_tasks": rounded(between), "within_tasks": rounded(within)},
        }


def _table(means: Iterable[tuple[int, ClusteredMean]]) -> dict[str, Any]:
    return {
        str(k): {"mean": rounded(mean.mean), "standard_error": rounded(mean.standard_error), "tasks": mean.count}
        for k, mean in means
        if mean.count
    }
