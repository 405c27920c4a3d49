"""What a comparison of two runs can show, and what it would take to show more.

Two runs over the same tasks differ by `d` on average, with the variance `(between + within / repeats) / tasks`
(Miller, "Adding Error Bars to Evals", 2024, section 5). `between` is how much tasks disagree about which run is better,
`within` how much repeats of a task differ, added up over the two runs. A difference is shown when its 95 % interval
leaves out 0; it could be shown when that happens 8 times out of 10. Estimated variances are taken for the true ones,
and means for normally distributed: with fewer than some 20 tasks the numbers are rough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from gym_core.spi import rounded, student_t

POWER = 0.8
"""How often a difference is to be shown that is there."""
_SEEN = NormalDist().inv_cdf(POWER)
_Z = NormalDist().inv_cdf(0.975)
_ROUNDS = 50


@dataclass(frozen=True, slots=True)
class Noise:
    """What keeps a comparison from showing small differences.

    `tasks`: how many, at least 2; `repeats`: of each. `between`, `within`: variances as above. Where nothing tells them
    apart, for lack of repeats, all is `between`, and `within` is None.
    """

    tasks: int
    repeats: float
    between: float
    within: float | None

    @property
    def smallest_difference(self) -> float | None:
        """The smallest one that could be shown; None where all rewards are alike, so that nothing can be said."""
        variance = self._of_a_task / self.tasks
        return _factor(self.tasks) * math.sqrt(variance) if variance > 0 else None

    def tasks_needed(self, difference: float) -> int | None:
        """How many tasks with so many repeats could show a difference; None where nothing can be said."""
        if self._of_a_task <= 0:
            return None
        tasks = 2
        for _ in range(_ROUNDS):  # few tasks need more of them: the factor depends on what it gives
            needed = max(2, math.ceil(_factor(tasks) ** 2 * self._of_a_task / difference**2))
            if needed == tasks:
                break
            tasks = needed
        return tasks

    def repeats_needed(self, difference: float) -> int | None:
        """How many repeats of these tasks could show it; None where none would do, or nothing can be said."""
        if self.within is None or self._of_a_task <= 0:
            return None
        square = _factor(self.tasks) ** 2
        left = self.tasks * difference**2 - square * self.between
        return max(1, math.ceil(square * self.within / left)) if left > 0 else None

    def to_wire(self, difference: float | None = None) -> dict[str, Any]:
        """As JSON: `smallest_difference`, and what a wanted `difference` needs."""
        found: dict[str, Any] = {"smallest_difference": rounded(self.smallest_difference)}
        if difference is not None:
            found["tasks_needed"] = self.tasks_needed(difference)
            found["repeats_needed"] = self.repeats_needed(difference)
        return found

    @property
    def _of_a_task(self) -> float:
        return self.between + (self.within or 0.0) / self.repeats


def _factor(tasks: int) -> float:
    return student_t(tasks - 1) + _SEEN


def interval_of_difference(
    mean: float, error: float | None, *, tasks: int, zero_or_one: bool, within_unit: bool
) -> tuple[float, float] | None:
    """What holds a mean of paired differences, one per task, 95 times out of 100; None for fewer than two tasks.

    Between runs whose rewards are `zero_or_one` it is that of Agresti and Min (2005): as if there were two tasks more,
    of which half a one speaks for either side. Otherwise mean ± t standard errors, `within_unit` no further than -1 and
    1.
    """
    if error is None:
        return None
    if zero_or_one:
        squares = (error * error * tasks + mean * mean) * tasks + 1
        centre = mean * tasks / (tasks + 2)
        half = _Z * math.sqrt((squares / (tasks + 2) - centre * centre) / (tasks + 2))
    else:
        centre, half = mean, student_t(tasks - 1) * error * math.sqrt(tasks / (tasks - 1))
    low, high = centre - half, centre + half
    return (max(-1.0, low), min(1.0, high)) if within_unit else (low, high)
