"""A run as a whole: what it came to, by task, by field, over time."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from gym_core import JsonError, UsageError, parse_json
from gym_core.spi import RewardTally, remedy
from gym_viewer.api.query import Query, name_of
from gym_viewer.api.runs import entry_of
from gym_viewer.api.shapes import (
    ByField,
    Cause,
    FieldEntry,
    FieldValue,
    FileEntry,
    Histogram,
    Moment,
    OverTime,
    Progress,
    RepeatEntry,
    RunView,
    TaskEntry,
    Tasks,
)
from gym_viewer.library import Library, OpenRun

_BINS = 40
_FEW_VALUES = 24
_MOMENTS = 80
_KNOWN_VALUES = 1_000
"""So many values of a field are told apart."""
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
    view: Any = {
        "entry": entry_of(library, stored),
        "manifest": _read_json(opened.outputs.manifest),
        "summary": summary,
        "account": account,
        "progress": progress,
        "histograms": _with_means(index.remembered("histograms", lambda: _histograms(opened)), account),
        "causes": index.remembered("causes", lambda: _causes(opened)),
        "time": index.remembered("time", lambda: _over_time(opened)),
        "fields": index.remembered("fields", lambda: _fields(opened)),
        **index.remembered("overview", lambda: _overview(opened)),
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
    text, offset, limit = query.text("text"), query.count("offset", 0), query.count("limit", 100, 1000)
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
    found: ByField = opened.index.remembered(f"by {field}", lambda: _by_field(opened, field))
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
        "indexing": {"done": covered.total if covered.whole else covered.done, "total": covered.total},
    }


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
    times = [
        row[0] for row in opened.index.read("SELECT finished_at FROM rollout ORDER BY id DESC LIMIT ?", (_RECENT,))
    ]
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


def _overview(opened: OpenRun) -> dict[str, Any]:
    read = opened.index.read
    actors: Counter[str] = Counter()
    for made, count in read("SELECT actors, COUNT(*) FROM rollout WHERE standing GROUP BY actors"):
        for actor, calls in orjson.loads(made).items():
            actors[actor] += calls * count
    tasks, repeats, has_tokens = read(
        "SELECT COUNT(DISTINCT task), MAX(repeat) + 1, MAX(has_tokens) FROM rollout WHERE standing"
    )[0]
    components: set[str] = set()
    for (names,) in read("SELECT DISTINCT components FROM rollout LIMIT 10000"):
        components.update(orjson.loads(names))
    return {
        "statuses": dict(read("SELECT status, COUNT(*) FROM rollout WHERE standing GROUP BY status ORDER BY 2 DESC")),
        "stop_reasons": dict(
            read(
                "SELECT stop_reason, COUNT(*) FROM rollout WHERE standing AND stop_reason IS NOT NULL "
                "GROUP BY stop_reason ORDER BY 2 DESC"
            )
        ),
        "components": sorted(components),
        "actors": dict(actors.most_common()),
        "tasks": tasks,
        "repeats": repeats or 1,
        "has_tokens": bool(has_tokens),
    }


def _histograms(opened: OpenRun) -> list[Histogram]:
    """Of the rewards, and of the values of each component."""
    rewards = array("d")
    components: dict[str, array[float]] = {}
    for reward, parts in opened.index.iterate(
        "SELECT reward, components FROM rollout WHERE standing AND reward IS NOT NULL"
    ):
        rewards.append(reward)
        if parts != "{}":
            for name, value in orjson.loads(parts).items():
                if value is not None:
                    components.setdefault(name, array("d")).append(value)
    return [_histogram(name, values) for name, values in [("reward", rewards), *sorted(components.items())] if values]


def _with_means(found: list[Histogram], account: Mapping[str, Any] | None) -> list[Histogram]:
    """The same with what the account says of each, which may come later."""
    reward = (account or {}).get("reward") or {}
    said = {"reward": reward, **(reward.get("components") or {})}
    for histogram in found:
        about = said.get(histogram["name"]) or {}
        histogram["mean"], histogram["standard_error"] = about.get("mean"), about.get("standard_error")
    return found


def _histogram(name: str, values: array[float]) -> Histogram:
    low, high = min(values), max(values)
    counts = Counter(values)
    few = len(counts) <= _FEW_VALUES
    bins = [0] * (0 if few else _BINS)
    if not few:
        scale = _BINS / (high - low)
        for value, count in counts.items():
            bins[min(int((value - low) * scale), _BINS - 1)] += count
    return {
        "name": name,
        "count": len(values),
        "low": low,
        "high": high,
        "bins": bins,
        "values": sorted(counts.items()) if few else [],
        "mean": None,
        "standard_error": None,
    }


def _causes(opened: OpenRun) -> list[Cause]:
    found = opened.index.read(
        "SELECT status, COALESCE(error_class, ''), COALESCE(error_phase, ''), COUNT(*), error_message, MIN(id) "
        "FROM rollout WHERE standing AND reward IS NULL GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3"
    )
    return [
        {
            "status": status,
            "error_class": error_class,
            "phase": phase,
            "count": count,
            "example": example or "",
            "remedy": remedy(error_class),
            "where": orjson.dumps([status, error_class, phase]).decode(),
        }
        for status, error_class, phase, count, example, _ in found
    ]


def _over_time(opened: OpenRun) -> OverTime:
    read = opened.index.read
    first, last = read("SELECT MIN(finished_at), MAX(finished_at) FROM rollout WHERE standing AND finished_at > 0")[0]
    if first is None:
        return {"width": 1.0, "moments": []}
    width = max((last - first) / _MOMENTS, 0.001)
    found = {
        number: values
        for number, *values in read(
            "SELECT MIN(CAST((finished_at - ?) / ? AS INTEGER), ?), COUNT(reward), SUM(reward IS NULL), AVG(reward), "
            "AVG(seconds), AVG(model_seconds), SUM(input_tokens), SUM(output_tokens) "
            "FROM rollout WHERE standing AND finished_at > 0 GROUP BY 1",
            (first, width, _MOMENTS - 1),
        )
    }
    moments = []
    for number in range(max(found) + 1):
        done, failed, reward, seconds, model_seconds, sent, received = found.get(number, (0, 0, None, None, None, 0, 0))
        moment: Moment = {
            "at": first + number * width,
            "rollouts": done,
            "failed": failed,
            "reward": reward,
            "seconds": seconds,
            "model_seconds": model_seconds,
            "input_tokens": sent,
            "output_tokens": received,
        }
        moments.append(moment)
    return {"width": width, "moments": moments}


def _fields(opened: OpenRun) -> list[FieldEntry]:
    counts: Counter[str] = Counter()
    values: dict[str, set[Any]] = {}
    for (fields,) in opened.index.iterate("SELECT fields FROM rollout WHERE standing AND fields != '{}'"):
        for name, value in orjson.loads(fields).items():
            counts[name] += 1
            known = values.setdefault(name, set())
            if len(known) < _KNOWN_VALUES:
                known.add(value)
    return [
        {
            "name": name,
            "rollouts": count,
            "values": len(values[name]),
            "more": len(values[name]) >= _KNOWN_VALUES,
        }
        for name, count in sorted(counts.items())
    ]


def _by_field(opened: OpenRun, field: str) -> ByField:
    repeats = opened.index.read("SELECT MAX(repeat) + 1 FROM rollout WHERE standing")[0][0] or 1
    tally = RewardTally(repeats, [field])
    for task, reward, fields in opened.index.iterate(
        "SELECT task, reward, fields FROM rollout WHERE standing AND status != 'cancelled'"
    ):
        tally.add(task, reward, {}, orjson.loads(fields))
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
