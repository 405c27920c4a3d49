"""An environment's own metrics: numbers of rollouts by name, folded as they come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gym_core.engine.metrics.statistics import rounded


@dataclass(slots=True)
class Metric:
    """One of them, over the rollouts that have it. Its memory does not grow with them."""

    rollouts: int = 0
    total: float = 0.0
    least: float = 0.0
    highest: float = 0.0

    def add(self, value: float) -> None:
        """Add the number of one rollout."""
        first = self.rollouts == 0
        self.rollouts += 1
        self.total += value
        self.least = value if first else min(self.least, value)
        self.highest = value if first else max(self.highest, value)

    def to_wire(self) -> dict[str, Any]:
        """As it stands in the summary."""
        return {
            "mean": rounded(self.total / self.rollouts),
            "min": self.least,
            "max": self.highest,
            "rollouts": self.rollouts,
        }
