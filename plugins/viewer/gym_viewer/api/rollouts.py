"""The rollouts of a run: selected, sorted, a page at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from gym_core import JsonError, UsageError, encode_json, parse_json
from gym_core.spi import field_value
from gym_results.conditions import Condition
from gym_viewer.api.conditions import conditions_of, names_of
from gym_viewer.api.query import Query, name_of, number_of
from gym_viewer.api.shapes import Neighbours, RolloutEntry, Rollouts, Search, UnknownField
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
    where, values, search = _selected(opened, query)
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


def neighbours(library: Library, query: Query) -> Neighbours:
    """`/api/runs/RUN/rollouts/N/neighbours`: what stands before and after it in the list that the query asks for."""
    opened = library.run(query.path["run"])
    opened.advance()
    number = query.rollout()
    entry(opened, number)
    where, values, search = _selected(opened, query)
    order, down = _order_by(opened, query)
    read = opened.index.read
    here = read(f"SELECT {order} FROM rollout WHERE id = ?", (number,))[0][0]

    def beside(after: bool) -> str | None:
        rising = after != down
        if order == "id":
            found = read(
                f"SELECT id FROM rollout WHERE {where} AND id {'>' if rising else '<'} ? "
                f"ORDER BY id {'ASC' if rising else 'DESC'} LIMIT 1",
                [*values, number],
            )
            return name_of(found[0][0]) if found else None
        sign, way = (">", "ASC") if rising else ("<", "DESC")
        later = "id > ?" if after else "id < ?"  # what is equal stands by its id, either way
        if here is None:
            beyond, given = f"({order} IS NULL AND {later}{'' if after else f' OR {order} IS NOT NULL'})", [number]
        else:
            none = f" OR {order} IS NULL" if after else ""
            beyond, given = f"({order} {sign} ? OR ({order} = ? AND {later}){none})", [here, here, number]
        found = read(
            f"SELECT id FROM rollout WHERE {where} AND {beyond} "
            f"ORDER BY {order} {way} NULLS {'LAST' if after else 'FIRST'}, id {'ASC' if after else 'DESC'} LIMIT 1",
            [*values, *given],
        )
        return name_of(found[0][0]) if found else None

    return {"previous": beside(False), "next": beside(True), "search": search}


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


def _selected(opened: OpenRun, query: Query) -> tuple[str, list[Any], Search | None]:
    """The rollouts that a query selects, those of a search among them as far as they are found."""
    where, values = selection(query)
    text, conditions = query.text("text"), conditions_of(opened, query)
    if not text and not conditions:
        return where, values, None
    searched = _searched(opened, text, conditions, where, values)
    search: Search = {
        "searched": searched.searched,
        "of": searched.of,
        "where": [str(one) for one in conditions],
        "unknown": [*_unknown(opened, searched, conditions)] if where == STANDING and not text else [],
    }
    where += " AND id IN (SELECT id FROM temp.found WHERE search = ?)"
    return where, [*values, searched.number], search


def _unknown(opened: OpenRun, searched: Searched, conditions: Sequence[Condition]) -> Iterator[UnknownField]:
    """The fields that no rollout of the run has, where all of them were looked at."""
    if not searched.of or searched.searched < searched.of:
        return
    fields = [one.field for one in conditions] + [one.other for one in conditions if one.other]
    for field in dict.fromkeys(fields):
        if field not in searched.known:
            yield {"field": field, "like": names_of(opened).like(field)}


def _searched(
    opened: OpenRun, text: str, conditions: Sequence[Condition], where: str, values: Sequence[Any]
) -> Searched:
    """What has to be looked for in the rows themselves, as far as it is found."""
    key = orjson.dumps([opened.index.replaced, where, values, text, [str(one) for one in conditions]])
    return opened.searches.advance(key, text, conditions, where, values)


def _order_by(opened: OpenRun, query: Query) -> tuple[str, bool]:
    """What the list is sorted by, as an expression of SQL, and whether the highest come first."""
    name, down = query.sort([*_ORDERS, *_WITHIN], "n")
    direction = "DESC" if down else "ASC"
    before, colon, inner = name.partition(":")
    order = f"json_extract({_WITHIN[before + colon]}, {_json_path(inner)})" if colon else _ORDERS[name]
    if order != "id":
        opened.index.order_by(f"{order} {direction}")
    return order, down


def _order(opened: OpenRun, query: Query) -> str:
    order, down = _order_by(opened, query)
    return f"{order} {'DESC' if down else 'ASC'} NULLS LAST, id"


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
