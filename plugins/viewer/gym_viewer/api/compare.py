"""Two runs task by task, and two rollouts beside one another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gym_core import UsageError
from gym_core.spi import Manifest
from gym_results.comparison import difference, same_tasks
from gym_viewer.api.query import Query
from gym_viewer.api.rollout import opened_rollout, view_of
from gym_viewer.api.run import repeats_of
from gym_viewer.api.runs import entry_of
from gym_viewer.api.shapes import Comparison, Difference, RolloutPair, TaskPair
from gym_viewer.library import Library, OpenRun


@dataclass(frozen=True, slots=True)
class _Means:
    """What a run is compared by, see `gym_results.comparison.Compared`; it is read from the index."""

    path: Path
    manifest: Manifest | None
    task_means: dict[str, float]
    repeats: int
    zero_or_one: bool
    within_unit: bool
    result: dict[str, Any]


def runs(library: Library, query: Query) -> Comparison:
    """`/api/compare`."""
    first, second = (library.run(query.text(name)) for name in ("a", "b"))
    order, down = query.sort(["task", "difference", "first", "second"], "difference")
    offset, limit = query.count("offset", 0), query.count("limit", 100, 1000)
    one, other = _means(first), _means(second)
    pairs = _pairs(one, other)
    place = {"task": 0, "first": 1, "second": 2, "difference": 3}[order]
    known = sorted((pair for pair in pairs if pair[place] is not None), key=lambda pair: pair[place], reverse=down)
    shown = [*known, *(pair for pair in pairs if pair[place] is None)][offset : offset + limit]
    return {
        "first": entry_of(library, library.entry(first)),
        "second": entry_of(library, library.entry(second)),
        "same_tasks": same_tasks(one, other),
        "difference": _difference(one, other),
        "total": len(pairs),
        "offset": offset,
        "tasks": [_pair(first, second, *pair) for pair in shown],
    }


def rollouts(library: Library, query: Query) -> RolloutPair:
    """`/api/compare/rollouts`."""
    first, second = (
        opened_rollout(library.run(query.text(run)), query.rollout(name)) for run, name in (("a", "n"), ("b", "m"))
    )
    common = 0
    for one, other in zip(_main(first.talks.items, first), _main(second.talks.items, second), strict=False):
        if one != other:
            break
        common += 1
    return {"first": view_of(library, first), "second": view_of(library, second), "common": common}


def _main(items: Any, opened: Any) -> Any:
    branches = opened.talks.branches
    return [_plain(items[place]) for place in branches[0].places] if branches else []


def _plain(item: Any) -> Any:
    """An item without what names it: servers give each answer another id."""
    return {name: value for name, value in item.items() if name not in ("id", "call_id")}


def _means(opened: OpenRun) -> _Means:
    covered = opened.advance()
    if not covered.whole:
        raise UsageError(
            f"{opened.path.name} is still being read: {covered.done:,} of {covered.total:,} bytes",
            hint="ask again in a moment",
        )
    read = opened.index.read
    rows = read("SELECT task, AVG(reward) FROM rollout WHERE standing AND reward IS NOT NULL GROUP BY task")
    repeats, zero_or_one, low, high = read(
        "SELECT MAX(repeat) + 1, MIN(reward IN (0, 1)), MIN(reward), MAX(reward) FROM rollout "
        "WHERE standing AND reward IS NOT NULL"
    )[0]
    try:
        manifest = Manifest.read(opened.outputs.manifest) if opened.outputs.manifest.exists() else None
    except UsageError:
        manifest = None
    return _Means(
        opened.path,
        manifest,
        dict(rows),
        repeats or 1,
        bool(zero_or_one),
        bool(rows) and low >= 0 and high <= 1,
        {"reward": opened.reward()},
    )


def _pairs(one: _Means, other: _Means) -> list[tuple[Any, ...]]:
    pairs: list[tuple[Any, ...]] = []
    for task in sorted(one.task_means.keys() | other.task_means.keys()):
        before, after = one.task_means.get(task), other.task_means.get(task)
        pairs.append((task, before, after, None if before is None or after is None else after - before))
    return pairs


def _pair(
    first: OpenRun, second: OpenRun, task: str, before: float | None, after: float | None, change: float | None
) -> TaskPair:
    return {
        "task_id": task,
        "first": before,
        "second": after,
        "difference": change,
        "first_rollouts": repeats_of(first, task),
        "second_rollouts": repeats_of(second, task),
    }


def _difference(one: _Means, other: _Means) -> Difference | None:
    found = difference(one, other)
    if found is None:
        return None
    said: Any = {name: found[name] for name in Difference.__annotations__}
    shown: Difference = said
    return shown
