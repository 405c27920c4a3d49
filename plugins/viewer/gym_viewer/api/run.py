"""A run as a whole: what it came to, by task, by field, over time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from gym_core import JsonError, UsageError, parse_json
from gym_core.spi import RewardTally
from gym_ctl.client import state_of
from gym_results.stored_runs import StoredRun
from gym_viewer.api.query import Query, name_of
from gym_viewer.api.runs import entry_of
from gym_viewer.api.shapes import (
    ByField,
    FieldValue,
    FileEntry,
    Histogram,
    Progress,
    RepeatEntry,
    RunView,
    TaskEntry,
    Tasks,
)
from gym_viewer.index.row import COMPONENTS, INFO, OF_A_ROLLOUT
from gym_viewer.index.store import FAILURES
from gym_viewer.library import Library, OpenRun
from gym_viewer.sums import sums

_LARGEST = 64 << 20
_RECENT = 200
_REPEATS = 64
"""So many rollouts of a task are shown one by one."""
_TASK_ORDERS = {"task": "task", "reward": "2", "rollouts": "5", "failed": "6", "spread": "4 - 3"}


def run(library: Library, query: Query) -> RunView:
    """`/api/runs/RUN`."""
    opened = library.run(query.path["run"])
    notes: list[str] = []
    progress = progress_of(library, opened)
    stored = library.entry(opened)
    index = opened.index
    summary = _read_json(opened.outputs.summary)
    account = _account(opened, summary, notes)
    made = sums(index, older=opened.summing)
    view: Any = {
        "entry": entry_of(library, stored),
        "manifest": _read_json(opened.outputs.manifest),
        "summary": summary,
        "account": account,
        "progress": progress,
        **made,
        "paths": {
            "component": COMPONENTS,
            "info": INFO,
            "rollout": [*dict.fromkeys(OF_A_ROLLOUT.values())],
        },
        "histograms": _with_means(made["histograms"], account),
        "torn": index.covered.torn,
        "notes": [*notes, *index.problems(), *_problems_of_groups(opened)],
        "files": [*_files(opened)],
    }
    shown: RunView = view
    return shown


def tasks(library: Library, query: Query) -> Tasks:
    """`/api/runs/RUN/tasks`."""
    opened = library.run(query.path["run"])
    opened.advance()
    order, down = query.sort([*_TASK_ORDERS], "task")
    offset, limit, text = query.count("offset", 0), query.count("limit", 100, 1000), query.text("text")

    def make() -> Tasks:
        return tasks_of(opened, order, offset, limit, down=down, text=text)

    if offset or text:
        return make()
    # what the page of a run shows: a large run is not looked through for it each time
    found: Tasks = opened.index.remembered(f"tasks {order} {down} {limit}", make)
    return found


def tasks_of(opened: OpenRun, order: str, offset: int, limit: int, *, down: bool = False, text: str = "") -> Tasks:
    """The tasks of a run, those that have a text in their name."""
    where, values = ("AND instr(lower(task), lower(?))", [text]) if text else ("", [])
    total = opened.index.read(f"SELECT COUNT(DISTINCT task) FROM rollout WHERE standing {where}", values)[0][0]
    found = opened.index.read(
        "SELECT task, AVG(reward), MIN(reward), MAX(reward), COUNT(reward), SUM(reward IS NULL) FROM rollout "
        f"WHERE standing {where} GROUP BY task "
        f"ORDER BY {_TASK_ORDERS[order]} {'DESC' if down else 'ASC'} NULLS LAST, task LIMIT ? OFFSET ?",
        [*values, limit, offset],
    )
    return {
        "total": total,
        "offset": offset,
        "tasks": [_task(opened, *row) for row in found],
    }


def by_field(library: Library, query: Query) -> ByField:
    """`/api/runs/RUN/by`."""
    opened = library.run(query.path["run"])
    opened.advance()
    field = query.text("field")
    if not field:
        raise UsageError("field= is missing", hint="take the name of one of the run's fields")
    of = query.text("of")
    found: ByField = opened.index.remembered(
        f"by {orjson.dumps([field, of]).decode()}", lambda: _by_field(opened, field, of)
    )
    return found


def progress_of(library: Library, opened: OpenRun) -> Progress:
    """How a run is doing, its files read as far as they go."""
    covered = opened.advance()
    stored = library.entry(opened)
    counts = opened.counts()
    finished = counts["done"] + counts["failed"]
    pace = _pace(opened) if stored.state == "running" else None
    left = None if stored.planned is None or not pace else max(0, stored.planned - finished) / pace
    return {
        "state": stored.state,
        "planned": stored.planned,
        "rollouts": counts["done"],
        "failed": counts["failed"],
        "reward": counts["mean"],
        "per_second": pace,
        "seconds_left": left,
        "indexing": {
            "done": covered.total if covered.whole else min(covered.done, covered.total - 1),
            "total": covered.total,
        },
        "waiting": _waiting(stored) if stored.state == "running" else [],
    }


def _waiting(stored: StoredRun) -> list[str]:
    """Who waits for what in a run that goes on, where it can be asked."""
    state = state_of(stored.run_id) if stored.run_id else None
    if state is None:
        return []
    said = [f"{state['rollouts']['in_flight']:,} in flight"]
    return said + [f"{count:,} waiting for the {what}" for what, count in state["waiting"].items()]


def repeats_of(opened: OpenRun, task_id: str) -> list[RepeatEntry]:
    """The rollouts of a task, the first of them."""
    return [
        {"n": name_of(number), "repeat": repeat, "status": status, "reward": reward}
        for number, repeat, status, reward in opened.index.read(
            "SELECT id, repeat, status, reward FROM rollout WHERE task = ? AND standing ORDER BY repeat LIMIT ?",
            (task_id, _REPEATS),
        )
    ]


def _task(
    opened: OpenRun, task_id: str, mean: float, lowest: float, highest: float, done: int, failed: int
) -> TaskEntry:
    return {
        "task_id": task_id,
        "reward": mean,
        "lowest": lowest,
        "highest": highest,
        "rollouts": done,
        "failed": failed,
        "repeats": repeats_of(opened, task_id),
    }


def _pace(opened: OpenRun) -> float | None:
    # Failures have ids of their own above those of rows: the latest of each, and of these the latest.
    times = [
        row[0]
        for above, below in ((0, FAILURES), (FAILURES, 1 << 62))
        for row in opened.index.read(
            "SELECT finished_at FROM rollout WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT ?", (above, below, _RECENT)
        )
    ]
    times = sorted(times)[-_RECENT:]
    span = max(times) - min(times) if len(times) > 1 else 0.0
    return (len(times) - 1) / span if span > 0 else None


def _account(opened: OpenRun, summary: Mapping[str, Any] | None, notes: list[str]) -> dict[str, Any] | None:
    """The summary where it speaks of these rollouts, else what the rows come to."""
    counts = opened.counts()
    if summary is not None and isinstance(summary.get("rollouts"), Mapping):
        said = summary["rollouts"]
        if (said.get("with_verdict"), said.get("failed")) == (counts["done"], counts["failed"]):
            return {**summary}
    if not counts["rollouts"]:
        return None
    found = opened.statistics()
    if found is not None and "problem" in found:
        notes.append(found["problem"])
        return None
    return {**found} if found is not None else None


def _problems_of_groups(opened: OpenRun) -> list[str]:
    problem = opened.groups.problem()
    return [f"what groups came to is left out: {problem}"] if problem else []


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return None
        found = parse_json(path.read_bytes())
    except (OSError, JsonError):
        return None
    return found if isinstance(found, dict) else None


def _files(opened: OpenRun) -> Iterator[FileEntry]:
    outputs = opened.outputs
    for path in (outputs.rows, outputs.failures, outputs.tools, outputs.groups, outputs.manifest, outputs.summary):
        if path.is_file():
            yield {"name": path.name, "bytes": path.stat().st_size}


def _with_means(found: list[Histogram], account: Mapping[str, Any] | None) -> list[Histogram]:
    """The same with what the account says of each, which may come later."""
    reward = (account or {}).get("reward") or {}
    said = {"reward": reward, **(reward.get("components") or {})}
    for histogram in found:
        about = said.get(histogram["name"]) or {}
        histogram["mean"], histogram["standard_error"] = about.get("mean"), about.get("standard_error")
    return found


def _by_field(opened: OpenRun, field: str, of: str) -> ByField:
    """The mean reward, or that of the component `of`, by the values of a field, which may be a component, too."""
    repeats = opened.index.read("SELECT MAX(repeat) + 1 FROM rollout WHERE standing")[0][0] or 1
    tally = RewardTally(repeats, [field])
    with_components = bool(of) or field.startswith(COMPONENTS)
    for task, reward, fields, components in opened.index.iterate(
        "SELECT task, reward, fields, components FROM rollout WHERE standing AND status != 'cancelled'"
    ):
        known, value = orjson.loads(fields), reward
        if with_components:
            parts = orjson.loads(components)
            known |= {COMPONENTS + name: part for name, part in parts.items()}
            value = parts.get(of) if of else reward
        tally.add(task, value, {}, known)
    found = tally.result(0)["by"][field]
    values: list[FieldValue] = [
        {
            "value": value,
            "mean": said["mean"],
            "standard_error": said["standard_error"],
            "rollouts": said["rollouts"],
            "left_out": said["left_out"],
        }
        for value, said in found["values"].items()
    ]
    return {"field": field, "values": values, "others": (found["others"] or {}).get("values", 0)}
