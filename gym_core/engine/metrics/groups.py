"""Groups as numbers: how many were scored, how many could not be, and the rewards that they came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gym_core.domain.group import Group
from gym_core.engine.metrics.statistics import ClusteredMean


@dataclass(slots=True)
class GroupTally:
    """What stands in a summary under `groups`. `errors`: of those that failed, by class: how many, and the first."""

    scored: int = 0
    failed: int = 0
    rewards: ClusteredMean = field(default_factory=ClusteredMean)
    errors: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, rewards: Sequence[float], error: Mapping[str, Any] | None) -> None:
        """Count a group: the rewards that it gave, or its failure."""
        if error is None:
            self.scored += 1
            self.rewards.add(rewards)
            return
        self.failed += 1
        name = str(error.get("class"))
        count, example = self.errors.get(name, (0, str(error.get("message"))))
        self.errors[name] = count + 1, example

    def add_group(self, group: Group) -> None:
        """Count a group that was made just now; one that was not asked about does not count."""
        if group.verdicts or group.error is not None:
            self.add([verdict.reward for verdict in group.verdicts.values()], group.error)

    def remove(self, rewards: Sequence[float], error: Mapping[str, Any] | None) -> None:
        """Take back a group that was counted, and is scored again."""
        if error is None:
            self.scored -= 1
            self.rewards.remove(rewards)
            return
        self.failed -= 1
        name = str(error.get("class"))
        count, example = self.errors.pop(name)
        if count > 1:
            self.errors[name] = count - 1, example

    def to_wire(self) -> dict[str, Any]:
        """As it stands in a summary."""
        return {
            "scored": self.scored,
            "failed": self.failed,
            "reward": self.rewards.to_wire(),
            "errors": [
                {"class": name, "count": count, "example": example} for name, (count, example) in self.errors.items()
            ],
        }
