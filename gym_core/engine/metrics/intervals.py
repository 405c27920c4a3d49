"""What holds the truth 95 times out of 100: intervals of means over tasks.

Few tasks are the rule, and rewards near 0 or 1 as well: there the usual mean ± 1.96 standard errors leaves the range
of the rewards and holds the truth too seldom.
"""

from __future__ import annotations

import math
from statistics import NormalDist

LEVEL = 0.95
_TWO_SIDED = (1 + LEVEL) / 2
Z = NormalDist().inv_cdf(_TWO_SIDED)
"""So many standard errors to either side, with very many tasks."""

Interval = tuple[float, float]


def student_t(degrees: int) -> float:
    """The same with few of them: Student's t for `degrees` of freedom, at least 1, to within 1 %.

    Exact for 1 and 2; else the expansion of Abramowitz and Stegun, 26.7.5.
    """
    if degrees == 1:
        return math.tan(math.pi * (_TWO_SIDED - 0.5))
    if degrees == 2:
        return (2 * _TWO_SIDED - 1) * math.sqrt(2 / (4 * _TWO_SIDED * (1 - _TWO_SIDED)))
    first = (Z**3 + Z) / 4
    second = (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96
    third = (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / 384
    return Z + first / degrees + second / degrees**2 + third / degrees**3


def interval_of_mean(
    mean: float, error: float | None, *, clusters: int, count: int, within_unit: bool
) -> Interval | None:
    """The interval of a mean of `count` rewards of `clusters` tasks; None for fewer than two tasks.

    `error`: the clustered standard error. Rewards `within_unit`, all between 0 and 1, have Wilson's interval (1927)
    with an effective number of rollouts, that of 0/1 rewards with the same error (Dean and Pagano, 2015); for 0/1
    rewards with one rollout per task that is Wilson's own. Rewards that are all 0 or all 1 count once per task. Others
    have the mean ± t standard errors.
    """
    if error is None:
        return None
    if not within_unit:
        half = student_t(clusters - 1) * _unbiased(error, clusters)
        return mean - half, mean + half
    spread = mean * (1 - mean)
    if spread <= 0:  # all alike: nothing says how much tasks differ
        return _wilson(mean, clusters, Z)
    if error <= 0:
        return mean, mean
    effective = spread / error**2
    if count == clusters and math.isclose(effective, count, rel_tol=1e-6):  # 0/1 rewards
        return _wilson(mean, count, Z)
    return _wilson(mean, spread / _unbiased(error, clusters) ** 2, student_t(clusters - 1))


def _unbiased(error: float, clusters: int) -> float:
    return error * math.sqrt(clusters / (clusters - 1))


def _wilson(share: float, count: float, z: float) -> Interval:
    square = z * z / count
    centre = (share + square / 2) / (1 + square)
    half = math.sqrt(share * (1 - share) * square + square * square / 4) / (1 + square)
    return max(0.0, centre - half), min(1.0, centre + half)
