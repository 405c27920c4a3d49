"""What the page of a run sums up over all its rollouts: made from the index once that has been read, and kept in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import orjson

from gym_core.spi import remedy
from gym_viewer.api.shapes import Cause, FieldEntry, Histogram, Moment, OverTime
from gym_viewer.index.store import RunIndex

_BINS = 40
_FEW_VALUES = 24
_MOMENTS = 80
_KNOWN_VALUES = 1_000
"""So many values of a field are told apart."""


def sums(index: RunIndex, *, older: bool = False) -> dict[str, Any]:
    """All of them by the names that a `RunView` has for them. `older`: as they were last, since they are being made."""
    made = {name: index.remembered(name, partial(make, index), older=older) for name, make in _MAKERS.items()}
    overview: dict[str, Any] = made.pop("overview")
    return made | overview


def _overview(index: RunIndex) -> dict[str, Any]:
    read = index.read
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


def _histograms(index: RunIndex) -> list[Histogram]:
    """Of the rewards, and of the values of each component."""
    rewards: Counter[float] = Counter()
    components: dict[str, Counter[float]] = {}
    for reward, parts, count in index.iterate(
        "SELECT reward, components, COUNT(*) FROM rollout WHERE standing AND reward IS NOT NULL GROUP BY 1, 2"
    ):
        rewards[reward] += count
        if parts != "{}":
            for name, value in orjson.loads(parts).items():
                if value is not None:
                    components.setdefault(name, Counter())[value] += count
    return [_histogram(name, values) for name, values in [("reward", rewards), *sorted(components.items())] if values]


def _histogram(name: str, counts: Counter[float]) -> Histogram:
    low, high = min(counts), max(counts)
    few = len(counts) <= _FEW_VALUES
    bins = [0] * (0 if few else _BINS)
    if not few:
        scale = _BINS / (high - low)
        for value, count in counts.items():
            bins[min(int((value - low) * scale), _BINS - 1)] += count
    return {
        "name": name,
        "count": counts.total(),
        "low": low,
        "high": high,
        "bins": bins,
        "values": sorted(counts.items()) if few else [],
        "mean": None,
        "standard_error": None,
    }


def _causes(index: RunIndex) -> list[Cause]:
    found = index.read(
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


def _over_time(index: RunIndex) -> OverTime:
    read = index.read
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


def _fields(index: RunIndex) -> list[FieldEntry]:
    counts: Counter[str] = Counter()
    values: dict[str, set[Any]] = {}
    for fields, count in index.iterate(
        "SELECT fields, COUNT(*) FROM rollout WHERE standing AND fields != '{}' GROUP BY fields"
    ):
        for name, value in orjson.loads(fields).items():
            counts[name] += count
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


_MAKERS: Mapping[str, Callable[[RunIndex], Any]] = {
    "histograms": _histograms,
    "causes": _causes,
    "time": _over_time,
    "fields": _fields,
    "overview": _overview,
}
