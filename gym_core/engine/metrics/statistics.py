"""Numbers over rewards: means, standard errors clustered by task, pass@k and pass^k.

Standard errors: Miller, "Adding Error Bars to Evals", 2024, equation 4: repeats of one task are not independent, so
deviations are added up within a task before they are squared. pass@k: Chen et al., "Evaluating Large Language Models
Trained on Code", 2021, equation 1. pass^k: Yao et al., "tau-bench", 2024.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

SUCCESS = 1.0
"""A reward of at least this counts as a pass."""


class ClusteredMean:
    """The mean of values that come in clusters, and its standard error, in constant memory.

    Sums are kept relative to the first value, so that rewards far from zero lose no digits.
    """

    __slots__ = ("_cross", "_origin", "_sizes", "_squares", "_sum", "clusters", "count")

    def __init__(self) -> None:
        self.count = 0
        self.clusters = 0
        self._origin = 0.0
        self._sum = 0.0
        self._squares = 0.0
        self._cross = 0.0
        self._sizes = 0.0

    def add(self, values: Sequence[float]) -> None:
        """Add one cluster: the values of all repeats of one task."""
        size = len(values)
        if not size:
            return
        if not self.count:
            self._origin = values[0]
        origin = self._origin
        subtotal = math.fsum([value - origin for value in values])
        self.count += size
        self.clusters += 1
        self._sum += subtotal
        self._squares += subtotal * subtotal
        self._cross += subtotal * size
        self._sizes += size * size

    def remove(self, values: Sequence[float]) -> None:
        """Take back a cluster that was added."""
        size = len(values)
        subtotal = math.fsum([value - self._origin for value in values])
        self.count -= size
        self.clusters -= size > 0
        self._sum -= subtotal
        self._squares -= subtotal * subtotal
        self._cross -= subtotal * size
        self._sizes -= size * size

    def add_single(self, value: float) -> None:
        """Add a cluster of one."""
        if not self.count:
            self._origin = value
        value -= self._origin
        self.count += 1
        self.clusters += 1
        self._sum += value
        self._squares += value * value
        self._cross += value
        self._sizes += 1.0

    @property
    def total(self) -> float:
        """The sum of all values."""
        return self._origin * self.count + self._sum

    @property
    def mean(self) -> float | None:
        """The mean, None of nothing."""
        return self._origin + self._sum / self.count if self.count else None

    @property
    def standard_error(self) -> float | None:
        """The clustered standard error, None for fewer than two clusters."""
        if self.clusters < 2:
            return None
        mean = self._sum / self.count
        spread = self._squares - 2 * mean * self._cross + mean * mean * self._sizes
        return math.sqrt(max(0.0, spread)) / self.count

    def to_wire(self) -> dict[str, Any]:
        """As it stands in a summary: `mean, standard_error, rollouts`."""
        return {
            "mean": rounded(self.mean),
            "standard_error": rounded(self.standard_error),
            "rollouts": self.count,
        }


def rounded(value: float | None) -> float | None:
    """A number as it stands in a summary: to 9 digits, which adding in another order does not change."""
    return None if value is None else round(value, 9)


def pass_at_k(n: int, c: int, k: int) -> float:
    """The unbiased chance that at least one of k attempts passes, from c passes in n attempts. n >= k >= 1."""
    if n - c < k:
        return 1.0
    return 1.0 - math.prod((n - c - i) / (n - i) for i in range(k))


def pass_hat_k(n: int, c: int, k: int) -> float:
    """The unbiased chance that all of k attempts pass, from c passes in n attempts. n >= k >= 1."""
    return math.prod((c - i) / (n - i) for i in range(k)) if c >= k else 0.0


def powers_of_two(most: int) -> list[int]:
    """1, 2, 4, ... and `most` itself: the k for which pass@k is reported."""
    ks = [1]
    while ks[-1] * 2 <= most:
        ks.append(ks[-1] * 2)
    return ks if ks[-1] == most else [*ks, most]
