"""The rollouts of a run: selected, sorted, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from gym_core import JsonError, UsageError, encode_json, parse_json
from gym_core.spi import Condition, field_value
from gym_viewer.api.query import Query, name_of, number_of
from gym_viewer.api.shapes import RolloutEntry, Rollouts, Search
from gym_viewer.index.row import COMPONENTS, LONGEST
from gym_viewer.index.search import Searched
from gym_viewer.index.store import FAILURES, STANDING
from gym_viewer.library import Library, NotThere, OpenRun

_ORDERS = {
    "n": "id",
    "reward": "reward",
    "task": "task",
    "status": "status",
    "seconds": "seconds",
    "model_seconds": "model_seconds",
    "tokens": "input_tokens + output_tokens",
    "cost": "cost",
    "finished": "finished_at",
    "model_calls": "model_calls",
    "tool_calls": "tool_calls",
}
_WITHIN = {"component:": "components", "field:": "fields"}
"""What one sorts by within a column that holds JSON."""
_COLUMNS = 24
_SHOWN = (
    "id, task, repeat, attempt, status, stop_reason, reward, components, error_class, error_phase, error_message, "
    "input_tokens, output_tokens, cost, seconds, model_seconds, waited_seconds, finished_at, model_calls, tool_calls, "
    "tool_errors, has_tokens, fields"
)


def rollouts(library: Library, query: Query) -> Rollouts:
    """`/api/runs/RUN/rollouts`."""
    opened = library.run(query.path["run"])
    opened.advance()
    where, values = selection(query)
    search: Search | None = None
    if searched := _searched(opened, query, where, values):
        where, values = f"{where} AND id IN (SELECT id FROM temp.found WHERE search = ?)", [*values, searched.number]
        search = {"searched": searched.searched, "of": searched.of}
    offset, limit = query.count("offset", 0), query.count("limit", 100, 1000)
    columns = _columns(query)
    order = _order(opened, query)
    read = opened.index.read
    counts = opened.counts()
    matched = counts["rollouts"] if not values else read(f"SELECT COUNT(*) FROM rollout WHERE {where}", values)[0][0]
    found = read(
        f"SELECT {_SHOWN} FROM rollout WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?",
        [*values, limit, offset],
    )
    entries = [entry_of(opened, row) for row in found]
    if columns:
        _put_values(opened, entries, columns)
    return {
        "total": counts["rollouts"],
        "matched": matched,
        "offset": offset,
        "rollouts": entries,
        "search": search,
    }


def entry(opened: OpenRun, number: int) -> RolloutEntry:
    """The rollout of an id."""
    found = opened.index.read(f"SELECT {_SHOWN} FROM rollout WHERE id = ?", (number,))
    if not found:
        raise NotThere(f"there is no rollout {name_of(number)} in {opened.path.name}")
    return entry_of(opened, found[0])


def latest(opened: OpenRun, after: tuple[int, int], limit: int) -> tuple[int, list[RolloutEntry]]:
    """How many rollouts came after these rows and failures, by `last_ids`, and the last of them."""
    where = f"standing AND ((id > ? AND id < {FAILURES}) OR id > ?)"
    count = opened.index.read(f"SELECT COUNT(*) FROM rollout WHERE {where}", after)[0][0]
    found = opened.index.read(
        f"SELECT {_SHOWN} FROM rollout WHERE {where} ORDER BY finished_at DESC LIMIT ?", [*after, limit]
    )
    return count, [entry_of(opened, row) for row in found]


def selection(query: Query) -> tuple[str, list[Any]]:
    """The rollouts that a query selects, as a condition of SQL and its values."""
    parts, values = [STANDING], list[Any]()

    def add(part: str, *given: Any) -> None:
        parts.append(part)
        values.extend(given)

    if statuses := query.texts("status"):
        failed = " OR reward IS NULL" if "failed" in statuses else ""
        add(f"(status IN ({_marks(statuses)}){failed})", *statuses)
    if stops := query.texts("stop_reason"):
        add(f"stop_reason IN ({_marks(stops)})", *stops)
    for name, sign in (("min_reward", ">="), ("max_reward", "<=")):
        if (number := query.number(name)) is not None:
            add(f"+reward {sign} ?", number)  # by no index: half of the rows may be meant
    if task := query.text("task"):
        add("instr(lower(task), lower(?))", task)
    if query.text("repeat"):
        add("repeat = ?", query.count("repeat", 0))
    if actor := query.text("actor"):
        add("EXISTS (SELECT 1 FROM json_each(actors) WHERE key = ?)", actor)
    if cause := query.text("cause"):
        add(
            "reward IS NULL AND status = ? AND COALESCE(error_class, '') = ? AND COALESCE(error_phase, '') = ?",
            *_cause(cause),
        )
    return " AND ".join(parts), values


def entry_of(opened: OpenRun, row: Sequence[Any]) -> RolloutEntry:
    """A rollout as a list says it."""
    (number, task, repeat, attempt, status, stop_reason, reward, components, error_class, error_phase, error_message,
     sent, received, cost, seconds, model_seconds, waited, finished, model_calls, tool_calls, tool_errors, has_tokens,
     fields) = row  # fmt: skip
    return {
        "n": name_of(number),
        "task_id": task,
        "repeat": repeat,
        "attempt": attempt,
        "status": status,
        "stop_reason": stop_reason,
        "reward": reward,
        "group_reward": opened.groups.rewards(task).get(repeat) if reward is not None else None,
        "components": orjson.loads(components),
        "error": None
        if error_class is None
        else {"error_class": error_class, "phase": error_phase or "", "message": error_message or ""},
        "input_tokens": sent,
        "output_tokens": received,
        "cost": cost,
        "seconds": seconds,
        "model_seconds": model_seconds,
        "waited_seconds": waited,
        "finished_at": finished,
        "model_calls": model_calls,
        "tool_calls": tool_calls,
        "tool_errors": tool_errors,
        "has_tokens": bool(has_tokens),
        "fields": orjson.loads(fields),
        "values": {},
    }


def _searched(opened: OpenRun, query: Query, where: str, values: Sequence[Any]) -> Searched | None:
    """What has to be looked for in the rows themselves, as far as it is found."""
    text = query.text("text")
    conditions = tuple(Condition.parse(one) for one in query.texts("where"))
    if not text and not conditions:
        return None
    key = orjson.dumps([opened.index.replaced, where, values, text, [str(one) for one in conditions]])
    return opened.searches.advance(key, text, conditions, where, values)


def _order(opened: OpenRun, query: Query) -> str:
    name, down = query.sort([*_ORDERS, *_WITHIN], "n")
    direction = "DESC" if down else "ASC"
    before, colon, inner = name.partition(":")
    order = f"json_extract({_WITHIN[before + colon]}, {_json_path(inner)})" if colon else _ORDERS[name]
    if order != "id":
        opened.index.order_by(f"{order} {direction}")
    return f"{order} {direction} NULLS LAST, id"


def _json_path(name: str) -> str:
    """A name within JSON as a literal of SQL: an order is kept of an expression that has no parameter."""
    if '"' in name or "\0" in name:
        raise UsageError("one cannot sort by a name that has a quote in it")
    quoted = name.replace("'", "''")
    return f"'$.\"{quoted}\"'"


def _columns(query: Query) -> Sequence[str]:
    """The paths of the fields that are to be shown besides."""
    columns = tuple(dict.fromkeys(query.texts("column")))
    if len(columns) > _COLUMNS:
        raise UsageError(f"{len(columns)} columns: one shows {_COLUMNS} at once")
    return columns


def _put_values(opened: OpenRun, entries: Sequence[RolloutEntry], columns: Sequence[str]) -> None:
    """Put into the entries what stands in the chosen columns: known of them, or read from the rows of this page."""
    unread = {}
    for entry in entries:
        known = entry["fields"] | {COMPONENTS + name: value for name, value in entry["components"].items()}
        entry["values"] = {name: known[name] for name in columns if name in known}
        if len(entry["values"]) < len(columns):
            unread[entry["n"]] = entry
    if not unread:
        return
    numbers = [number_of(n) for n in unread]
    for number, line in opened.index.lines(numbers):
        try:
            row = parse_json(line)
        except JsonError:
            continue
        values = unread[name_of(number)]["values"]
        for name in columns:
            if name not in values:
                values[name] = _short(field_value(row, name))


def _short(value: Any) -> Any:
    """A value as a cell can show it."""
    if value is None or type(value) in (bool, int, float):
        return value
    text = value if isinstance(value, str) else encode_json(value, fallback=str).decode()
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _cause(text: str) -> Sequence[str]:
    try:
        found = parse_json(text)
    except JsonError:
        found = None
    if not isinstance(found, list) or len(found) != 3 or not all(isinstance(part, str) for part in found):
        raise UsageError("cause= is not what a run's causes say")
    return found


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))
