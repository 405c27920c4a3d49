"""What a tracker is told of a run: its settings, points of curves, a table of rollouts, and the summary at the end.

Everything comes through the hooks of extensions, where secrets are masked by value already; the command line is not
told at all. A tracker that has failed once is told nothing more: one warning says so, and the run goes on.
"""

from __future__ import annotations

import importlib
import math
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from gym_core import Rollout, RunInfo, UsageError, hookimpl, responses

ROLLOUTS = "GYM_TRACKED_ROLLOUTS"
"""The variable that says how many rollouts the table has; 0 for no table, and so no text of tasks and models."""
USUAL_ROLLOUTS = 200
TEXT = 2_000
"""Characters of a task and of an answer in the table."""
POINT_SECONDS = 2.0
"""So far apart are the points of a curve, at least."""
COLUMNS = (
    "task_id", "repeat", "status", "reward", "components", "stop_reason", "input_tokens", "output_tokens", "cost",
    "seconds", "tool_calls", "task", "answer", "error",
)  # fmt: skip

FINISHED = "rollouts/finished"
"""The curve that tells how far a run has come: its value is its step."""

Row = list[Any]


class Tracker(Protocol):
    """A run in a tracker. Whatever it raises ends its part in the run.

    `reached`: the step that it stands at already, where a run is resumed; 0 in a new one.
    """

    reached: int

    def point(self, step: int, values: Mapping[str, float]) -> None:
        """Curves at a step, which is the number of rollouts that have finished."""
        ...

    def end(self, state: str, step: int, values: Mapping[str, float], rows: list[Row]) -> None:
        """The run has ended, `finished`, `stopped` or `interrupted`, with these numbers and rollouts of `COLUMNS`."""
        ...


class Tracking:
    """The runs that one tracker is told of: the hooks of its extension, which its module names.

    `begin`: makes a run in it, from what is known and the settings, flat.
    """

    def __init__(self, begin: Callable[[RunInfo, Mapping[str, str]], Tracker]) -> None:
        self._begin = begin
        self._runs: dict[str, Tracked] = {}

    @hookimpl(contract=1)
    def gym_run_started(self, run: RunInfo) -> None:
        """Begin a run. Raises what the tracker raises; then it is told nothing of it."""
        manifest = run.manifest
        settings = {"settings": manifest.get("settings"), "extent": manifest.get("extent"), "output": run.output}
        self._runs[run.run_id] = Tracked(self._begin(run, dict(flat(settings))), run.run_id, wanted_rollouts())

    @hookimpl(contract=1)
    def gym_rollout_finished(self, run: RunInfo, rollout: Rollout) -> None:
        """Count a rollout."""
        self._tell(run, lambda tracked: tracked.add(rollout))

    @hookimpl(contract=1)
    def gym_run_finished(self, run: RunInfo, summary: Mapping[str, Any]) -> None:
        """End a run."""
        self._tell(run, lambda tracked: tracked.end(summary))
        self._runs.pop(run.run_id, None)

    def _tell(self, run: RunInfo, tell: Callable[[Tracked], None]) -> None:
        tracked = self._runs.get(run.run_id)
        if tracked is None:
            return
        try:
            tell(tracked)
        except BaseException:
            del self._runs[run.run_id]
            raise


class Tracked:
    """One run: its curves so far, and the rollouts drawn for the table. `most`: how many of those."""

    def __init__(self, tracker: Tracker, run_id: str, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._tracker = tracker
        self._most = most
        self._clock = clock
        self._lot = random.Random(run_id)
        self._rows: list[tuple[int, Row]] = []
        self._since = clock()
        self._count = self._rewarded = self._failed = 0
        self._reached = tracker.reached
        self._reward = self._seconds = self._cost = 0.0
        self._tokens = [0, 0]

    def add(self, rollout: Rollout) -> None:
        """Count a rollout, and draw whether it is in the table: each has the same chance, however many there are."""
        self._fold(rollout)
        if len(self._rows) < self._most:
            self._rows.append((self._count, table_row(rollout)))
        elif self._most and (place := self._lot.randrange(self._count)) < self._most:
            self._rows[place] = self._count, table_row(rollout)
        now = self._clock()
        if now - self._since >= POINT_SECONDS:
            self._since = now
            self._point()

    def end(self, summary: Mapping[str, Any]) -> None:
        """Tell the last point, the summary and the table."""
        if self._count:
            self._point()
        numbers = {name: value for name, value in _numbers(summary) if name.partition(".")[0] not in _LEFT_OUT}
        rows = [row for _, row in sorted(self._rows, key=lambda entry: entry[0])]
        self._tracker.end(str(summary["state"]), self._reached + self._count, numbers, rows)

    def _point(self) -> None:
        self._tracker.point(self._reached + self._count, self._values())

    def _fold(self, rollout: Rollout) -> None:
        self._count += 1
        if rollout.reward is None:
            self._failed += 1
        else:
            self._rewarded += 1
            self._reward += rollout.reward
        about = rollout.row["rollout"]
        self._cost += about["cost"] or 0.0
        self._seconds += about["timing"]["seconds"]
        self._tokens[0] += rollout.usage.input_tokens
        self._tokens[1] += rollout.usage.output_tokens

    def _values(self) -> dict[str, float]:
        values: dict[str, float] = {
            FINISHED: self._reached + self._count,
            "rollouts/failed": self._failed,
            "tokens/input": self._tokens[0],
            "tokens/output": self._tokens[1],
            "seconds/rollout": self._seconds / self._count,
        }
        if self._rewarded:
            values["reward/mean"] = self._reward / self._rewarded
        if self._cost:
            values["cost"] = self._cost
        return values


_LEFT_OUT = frozenset({"errors", "health", "budget", "format_version"})
"""Parts of a summary that are no numbers to compare runs by."""


def check_tracker(library: str) -> None:
    """Refuse a run that could not be tracked, without the library or with no sound setting. Raises `UsageError`."""
    try:
        importlib.import_module(library)
    except ImportError as error:
        hint = f'pip install "gym-trackers[{library}]"'
        raise UsageError(f"the extension `{library}` cannot work: {error}", hint=hint) from error
    wanted_rollouts()


def wanted_rollouts() -> int:
    """How many rollouts the table has. Raises `UsageError`."""
    text = os.environ.get(ROLLOUTS, "").strip()
    if not text:
        return USUAL_ROLLOUTS
    if not text.isdecimal() or len(text) > 6:
        raise UsageError(f"{ROLLOUTS}={text}: how many rollouts the table has, from 0 to 999999")
    return int(text)


def table_row(rollout: Rollout) -> Row:
    """A rollout as a row of the table, see `COLUMNS`."""
    about, trajectory = rollout.row["rollout"], rollout.trajectory
    asked = next((item for item in reversed(trajectory.input) if item.get("role") == "user"), None)
    error = rollout.error or {}
    return [
        rollout.task_id,
        rollout.repeat,
        rollout.status.value,
        rollout.reward,
        " ".join(f"{name}={value:g}" for name, value in rollout.reward_components.items()),
        rollout.stop_reason or "",
        rollout.usage.input_tokens,
        rollout.usage.output_tokens,
        about["cost"],
        about["timing"]["seconds"],
        about["tools"]["calls"],
        _cut(responses.item_text(asked)) if asked is not None else "",
        _cut(trajectory.output_text),
        _cut(f"{error.get('class')}: {error.get('message')}") if error else "",
    ]


def flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Settings as pairs of a dotted name and a text; what is not set is left out."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        yield name, ", ".join(map(str, value))
    elif value is not None and value != "":
        yield name, str(value)


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _numbers(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        yield name, float(value)


def _cut(text: str) -> str:
    return text if len(text) <= TEXT else text[: TEXT - 1] + "…"
