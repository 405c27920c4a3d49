"""Which rollouts of a run are exported. Rows are read one after the other, twice where a whole task decides."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from math import isnan, nan
from typing import Literal, TypeAlias

from gym_core import Rollout, UsageError
from gym_core.errors import InputError
from gym_results.conditions import Condition
from gym_results.fields import SoughtFields
from gym_results.reading import ResultsFile

Breaks: TypeAlias = Literal["split", "drop", "refuse"]

BREAKS: Mapping[Breaks, str] = {
    "split": "each part is a sequence of its own",
    "drop": "such rollouts are left out",
    "refuse": "the export ends at the first",
}
"""What is done about rollouts in which tokens were encoded anew."""


@dataclass(frozen=True, slots=True)
class ExportSelection:
    """What `gym export` was told of which rollouts.

    `where`: what must hold of their rows. `best`: so many of each task, by reward. `pairs`: so many of each task, the
    best with the worst, the next best with the next worst. `drop_flat_groups`: without tasks whose rollouts all have
    one reward. `breaks`: see `BREAKS`. `failures`: whether those that failed are wanted, too.
    """

    where: tuple[Condition, ...] = ()
    best: int | None = None
    pairs: int | None = None
    drop_flat_groups: bool = False
    breaks: Breaks = "split"
    failures: bool = False


class SelectedRollouts:
    """The selected rollouts of a run, as often as they are iterated. `left_out`: how many were, by reason."""

    def __init__(self, results: ResultsFile, selection: ExportSelection) -> None:
        self._results = results
        self._selection = selection
        self.left_out: dict[str, int] = {}

    def check_fields(self) -> None:
        """Raise `UsageError` for a condition on a field that no rollout has."""
        sought = SoughtFields((condition.field for condition in self._selection.where), null_counts=True)
        for rollout in self._results.rollouts() if self._selection.where else ():
            if sought.look(rollout.row):
                return
        for path in sought.missing:
            raise UsageError(
                f"--select: no rollout of {self._results.path} has the field `{path}`", hint=sought.hint(path)
            )

    def __iter__(self) -> Iterator[Rollout]:
        """Each of them. Raises `UsageError`, and `InputError` for one with breaks where these are refused."""
        self.left_out = {}
        wanted = self._selection
        if wanted.best is None and wanted.pairs is None and not wanted.drop_flat_groups:
            return (rollout for _, rollout, fits in self._considered() if fits)
        table = _Table()
        for place, rollout, fits in self._considered():
            table.add(place, rollout, fits)
        return self._results.at(table.chosen(wanted))

    def _considered(self) -> Iterator[tuple[int, Rollout, bool]]:
        """Every rollout that may count in its task, with its place, and whether it is among those that are wanted."""
        wanted, conditions = self._selection, self._selection.where
        for place, rollout in self._results.placed():
            if rollout.reward is None and not wanted.failures:
                self.leave_out("without a reward")
                continue
            fits = all(condition.holds(rollout.row) for condition in conditions)
            if not fits:
                self.leave_out("by --select")
            if fits and wanted.breaks != "split" and rollout.row["rollout"].get("token_breaks"):
                if wanted.breaks == "refuse":
                    raise InputError(
                        f"{rollout.task_id}#{rollout.repeat}: tokens were encoded anew in this rollout",
                        hint="--breaks drop leaves such rollouts out, --breaks split makes a sequence of each part",
                    )
                self.leave_out("with breaks")
                continue
            yield place, rollout, fits

    def leave_out(self, why: str, count: int = 1) -> None:
        """Count rollouts that are left out."""
        self.left_out[why] = self.left_out.get(why, 0) + count


@dataclass(slots=True)
class _Table:
    """What decides about rollouts: 25 bytes for each, and the ids of tasks."""

    numbers: dict[str, int] = field(default_factory=dict)
    tasks: array[int] = field(default_factory=lambda: array("q"))
    places: array[int] = field(default_factory=lambda: array("q"))
    rewards: array[float] = field(default_factory=lambda: array("d"))
    fitting: bytearray = field(default_factory=bytearray)

    def add(self, place: int, rollout: Rollout, fits: bool) -> None:
        self.tasks.append(self.numbers.setdefault(rollout.task_id, len(self.numbers)))
        self.places.append(place)
        self.rewards.append(nan if rollout.reward is None else rollout.reward)
        self.fitting.append(fits)

    def chosen(self, wanted: ExportSelection) -> Iterator[int]:
        """The places of those that are wanted: pairs side by side, all others in the order of the file."""
        by_task = sorted(range(len(self.tasks)), key=self.tasks.__getitem__)
        chosen = array("q")
        for _, task in groupby(by_task, key=self.tasks.__getitem__):
            chosen.extend(self._of_task([*task], wanted))
        in_order = chosen if wanted.pairs is not None else sorted(chosen)
        return (self.places[number] for number in in_order)

    def _of_task(self, task: Sequence[int], wanted: ExportSelection) -> Sequence[int]:
        scored = [number for number in task if not isnan(self.rewards[number])]
        if wanted.drop_flat_groups and len({self.rewards[number] for number in scored}) < 2:
            return ()
        if wanted.best is None and wanted.pairs is None:
            return [number for number in task if self.fitting[number]]
        ranked = sorted((n for n in scored if self.fitting[n]), key=lambda number: -self.rewards[number])
        if wanted.best is not None:
            ranked = ranked[: wanted.best]
        if wanted.pairs is None:
            return ranked
        pairs = zip(ranked[: min(wanted.pairs, len(ranked) // 2)], reversed(ranked), strict=False)
        return [number for one, other in pairs if self.rewards[one] > self.rewards[other] for number in (one, other)]
