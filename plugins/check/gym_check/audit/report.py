"""The outcome of an audit."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from gym_check.audit.finding import Finding, Severity

BINS = 10


@dataclass(slots=True)
class PolicyResult:
    """How a policy fared. `full`: tasks on which it earned a full reward, of the `verdicts` tasks with a reward."""

    name: str
    verdicts: int
    failed: int
    full: int
    mean: float | None
    best: float | None

    @property
    def share(self) -> float:
        """The share of tasks that rewarded it fully."""
        return self.full / self.verdicts if self.verdicts else 0.0

    def to_wire(self) -> dict[str, Any]:
        """The result as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Bin:
    """One bar of a histogram: how many rewards are at least `low` and below `high`; the last takes its `high`, too."""

    low: float
    high: float
    count: int


@dataclass(slots=True)
class Sample:
    """What a real model earned. `rewards`: of the rollouts with a verdict."""

    model: str
    rewards: list[float]
    failed: int

    @property
    def mean(self) -> float | None:
        """The mean reward; None without any."""
        return statistics.fmean(self.rewards) if self.rewards else None

    def histogram(self) -> list[Bin]:
        """The rewards in ten bins from 0 to 1, or over their range where that is wider."""
        if not self.rewards:
            return []
        low, high = min(0.0, *self.rewards), max(1.0, *self.rewards)
        width = (high - low) / BINS
        counts = [0] * BINS
        for reward in self.rewards:
            counts[min(BINS - 1, int((reward - low) / width))] += 1
        return [Bin(low + place * width, low + (place + 1) * width, count) for place, count in enumerate(counts)]

    def to_wire(self) -> dict[str, Any]:
        """The sample as a JSON object."""
        bins = [{"low": round(bin.low, 6), "high": round(bin.high, 6), "count": bin.count} for bin in self.histogram()]
        return {
            "model": self.model,
            "rollouts": len(self.rewards) + self.failed,
            "failed": self.failed,
            "mean": self.mean,
            "histogram": bins,
        }


@dataclass(slots=True)
class Report:
    """All that an audit found out about `env`, the reference of an environment.

    `tasks`: how many were read. `tools`: names of the tools that models are offered. `verify`: seconds. `solved`:
    whether a value of its row answers a task.
    """

    env: str
    distribution: str
    version: str
    tasks: int = 0
    tools: Sequence[str] = ()
    policies: list[PolicyResult] = field(default_factory=list)
    verify_median: float | None = None
    verify_max: float | None = None
    sample: Sample | None = None
    solved: bool = False
    findings: list[Finding] = field(default_factory=list)

    @property
    def sound(self) -> bool | None:
        """Whether nothing was found that is an error; None where that says little, since nothing was ever rewarded."""
        if any(finding.severity is Severity.ERROR for finding in self.findings):
            return False
        return None if self.policies and not self.rewarded else True

    @property
    def rewarded(self) -> bool:
        """Whether anything that was tried earned more than 0."""
        best = [policy.best or 0.0 for policy in self.policies]
        return self.solved or max([*best, *(self.sample.rewards if self.sample is not None else ())], default=0.0) > 0

    def sort(self) -> None:
        """Put the worst findings first."""
        order = list(Severity)
        self.findings.sort(key=lambda finding: order.index(finding.severity))

    def to_wire(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return {
            "env": self.env,
            "distribution": self.distribution,
            "version": self.version,
            "sound": self.sound,
            "tasks": self.tasks,
            "tools": list(self.tools),
            "policies": [policy.to_wire() for policy in self.policies],
            "verify_seconds": {"median": self.verify_median, "max": self.verify_max},
            "sample": self.sample.to_wire() if self.sample is not None else None,
            "findings": [finding.to_wire() for finding in self.findings],
        }
