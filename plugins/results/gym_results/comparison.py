"""What results files come to, each for itself and against another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from gym_core import Rollout, UsageError
from gym_core.spi import ClusteredMean, Manifest, recounted, rounded
from gym_results.fields import SoughtFields
from gym_results.power import Noise, interval_of_difference
from gym_results.reading import ResultsFile


class NoRollouts(UsageError):
    """A results file without any, such as that of a run which was stopped before the first."""


class Compared(Protocol):
    """What two runs are compared by, such as `Statistics(path, for_comparison=True)`."""

    @property
    def path(self) -> Path:
        """The results."""

    @property
    def manifest(self) -> Manifest | None:
        """Says which tasks the run had."""

    @property
    def task_means(self) -> Mapping[Any, float]:
        """The mean reward of each task that has a verdict, by what names a task in both."""

    @property
    def repeats(self) -> int:
        """How many rollouts a task has."""

    @property
    def zero_or_one(self) -> bool:
        """Whether each reward is 0 or 1."""

    @property
    def within_unit(self) -> bool:
        """Whether each reward is between 0 and 1."""

    @property
    def result(self) -> Mapping[str, Any]:
        """The numbers of the run: `reward`, as it stands in its summary."""


class Statistics:
    """The numbers of one results file. Rows are read as a stream; of each only its key is kept, in some 10 bytes.

    `by`: fields to break the reward down by. `for_comparison`: keep the mean reward of each task, for `difference`.
    `detect`: a difference that a comparison with a run like this one should show.
    `sought`: says which of `by` no row has a value for.
    Raises `UsageError` for what is no results file, and `NoRollouts`, which is one, for one without rollouts.
    """

    def __init__(
        self, path: str | Path, *, by: Sequence[str] = (), for_comparison: bool = False, detect: float | None = None
    ) -> None:
        file = ResultsFile(path)
        self.path = file.path
        self.manifest: Manifest | None = file.manifest
        self.repeats = file.extent()[1]
        self.task_means: dict[int, float] = {}
        self.zero_or_one = self.within_unit = True
        self.sought = SoughtFields(by)
        self._for_comparison = for_comparison
        self._counts: dict[int, int] = {}
        self._about: Mapping[str, Any] = {}
        self._begun, self._ended = math.inf, -math.inf
        account = recounted(self._heard(file), file.outputs.groups, self.repeats, by)
        if not self._about:
            raise NoRollouts(f"{path} holds no rollout", hint="give a file that `gym run --output` wrote")
        self._counts.clear()
        self.torn = file.torn
        self.result = {
            "file": str(self.path),
            "run_id": self._about.get("run_id"),
            **{name: self._about.get(name) for name in ("model", "env", "agent")},
            "repeats": self.repeats,
            **account,
            "seconds": round(self._ended - self._begun, 3),
            "power": power_of_run(account["reward"], detect),
        }

    def _heard(self, file: ResultsFile) -> Iterator[Rollout]:
        """All rollouts, each noted as it comes."""
        for rollout in file.rollouts():
            about = rollout.row["rollout"]
            timing = about["timing"]
            self._begun = min(self._begun, timing["finished_at"] - timing["seconds"])
            self._ended = max(self._ended, timing["finished_at"])
            if self._for_comparison and rollout.reward is not None:
                self._keep(rollout.task_id, rollout.reward)
            self.sought.look(rollout.row)
            self._about = self._about or about
            yield rollout

    def _keep(self, task_id: str, reward: float) -> None:
        self.zero_or_one = self.zero_or_one and reward in (0.0, 1.0)
        self.within_unit = self.within_unit and 0.0 <= reward <= 1.0
        task = hash(task_id)
        if self.repeats == 1:
            self.task_means[task] = reward
            return
        count = self._counts[task] = self._counts.get(task, 0) + 1
        mean = self.task_means.get(task, 0.0)
        self.task_means[task] = mean + (reward - mean) / count


def power_of_run(reward: Mapping[str, Any], detect: float | None = None) -> dict[str, Any] | None:
    """What a comparison with another run of so many tasks and repeats could show; None for fewer than two tasks.

    `unpaired`: where the rewards of a task in both runs have nothing to do with one another, at worst. `paired`: where
    both runs find every task equally much harder or easier than the others, at best; None without repeats, which alone
    tell how much a task's own rewards differ. For what is in them see `Noise.to_wire`.
    """
    error, tasks = reward["standard_error"], reward["tasks"]
    if error is None:
        return None
    repeats = reward["rollouts"] / tasks
    variance = reward.get("variance", {})
    within, between = variance.get("within_tasks"), variance.get("between_tasks")
    if within is None or between is None:
        unpaired = Noise(tasks, repeats, 2 * error * error * tasks * tasks / (tasks - 1), None)
        return {"unpaired": unpaired.to_wire(detect), "paired": None}
    return {
        "unpaired": Noise(tasks, repeats, 2 * between, 2 * within).to_wire(detect),
        "paired": Noise(tasks, repeats, 0.0, 2 * within).to_wire(detect),
    }


def difference(first: Compared, second: Compared, detect: float | None = None) -> dict[str, Any] | None:
    """How much higher the mean reward of `second` is than that of `first`, over the tasks both have a verdict for.

    None without a common task. `difference`: the mean over tasks of the difference of their mean rewards, so that
    repeats count as one. `standard_error` is that of the paired differences, `interval_95` what holds the truth 95
    times out of 100, and `correlation` that of the two rewards of a task: the higher it is, the more pairing them
    gains. `better`, `worse`: in how many tasks the second has a higher, a lower mean. `power`: see `Noise.to_wire`,
    with `detect` as the wanted difference; None for fewer than two tasks. Source: Miller, "Adding Error Bars to Evals",
    2024, on paired differences.
    """
    common = first.task_means.keys() & second.task_means.keys()
    if not common:
        return None
    mean = ClusteredMean()
    ones, others = ClusteredMean(), ClusteredMean()
    better = worse = 0
    for task in common:
        one, other = first.task_means[task], second.task_means[task]
        mean.add_single(other - one)
        ones.add_single(one)
        others.add_single(other)
        better += other > one
        worse += other < one
    found, error = mean.mean, mean.standard_error
    assert found is not None
    interval = interval_of_difference(
        found,
        error,
        tasks=len(common),
        zero_or_one=first.zero_or_one and second.zero_or_one,
        within_unit=first.within_unit and second.within_unit,
    )
    noise = _noise(first, second, error, len(common))
    return {
        "first": str(first.path),
        "second": str(second.path),
        "difference": rounded(found),
        "standard_error": rounded(error),
        "interval_95": [rounded(end) for end in interval] if interval is not None else None,
        "correlation": _correlation(ones.standard_error, others.standard_error, error),
        "tasks": len(common),
        "only_first": len(first.task_means) - len(common),
        "only_second": len(second.task_means) - len(common),
        "better": better,
        "worse": worse,
        "power": noise.to_wire(detect) if noise is not None else None,
    }


def _noise(first: Compared, second: Compared, error: float | None, tasks: int) -> Noise | None:
    if error is None:
        return None
    whole = error * error * tasks * tasks / (tasks - 1)  # the variance of a task's difference
    rewards = [one.result["reward"] for one in (first, second)]
    within = [reward.get("variance", {}).get("within_tasks") for reward in rewards]
    if None in within:
        return Noise(tasks, min(first.repeats, second.repeats), whole, None)
    repeats = [reward["rollouts"] / reward["tasks"] for reward in rewards]
    noise = sum(variance / count for variance, count in zip(within, repeats, strict=True))
    # with other repeats than these, both runs would have equally many
    return Noise(tasks, sum(within) / noise if noise else min(repeats), max(0.0, whole - noise), sum(within))


def _correlation(one: float | None, other: float | None, between: float | None) -> float | None:
    """From the variances of two numbers and of their difference; None where one of them never changes."""
    if not one or not other or between is None:
        return None
    value = (one * one + other * other - between * between) / (2 * one * other)
    return rounded(max(-1.0, min(1.0, value)))


def same_tasks(first: Compared, second: Compared) -> bool:
    """Whether two manifests name the same tasks; without a manifest they may be."""
    one, other = _tasks(first.manifest), _tasks(second.manifest)
    if not one or not other:
        return True
    for identity in ("sha256", "fingerprint", "name"):
        if one.get(identity) and other.get(identity):
            return bool(one[identity] == other[identity])
    return False


def _tasks(manifest: Manifest | None) -> dict[str, Any]:
    return dict(manifest.settings.get("tasks") or {}) if manifest is not None else {}
