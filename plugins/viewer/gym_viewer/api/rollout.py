"""One rollout: its task, what was said, its verdict, what took time."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from starlette.responses import Response

from gym_core import JsonError, Rollout, parse_json
from gym_core.spi import MAIN, REQUEST_FIELD, remedy
from gym_viewer.api.conversations import Conversations
from gym_viewer.api.item_view import field_view, item_view, json_text
from gym_viewer.api.query import Query, name_of
from gym_viewer.api.rollouts import entry
from gym_viewer.api.run import repeats_of
from gym_viewer.api.runs import entry_of
from gym_viewer.api.shapes import (
    ErrorView,
    GroupView,
    Items,
    ItemView,
    RolloutView,
    Span,
    Spans,
    TaskView,
    TokensAbout,
    ToolView,
    VerdictView,
)
from gym_viewer.index.row import NOT_OF_THE_TASK
from gym_viewer.index.store import FAILURES
from gym_viewer.library import Library, NotThere, OpenRun

ITEMS = 100
"""Items of a branch in an answer, unless asked otherwise."""
_MOST = 1000
_SPANS = 2000
_SHOWN_ELSEWHERE = frozenset(
    {"run_id", "task_index", "repeat", "attempt", "status", "stop_reason", "stop_detail", "info", "error", "usage",
     "cost", "model_calls", "tool_calls", "items", "request", "seed", "rewards", "metrics", "task_id"}
)  # fmt: skip


class Opened:
    """A rollout that was read from its file."""

    def __init__(self, run: OpenRun, number: int) -> None:
        self.run = run
        self.number = number
        self.line = run.index.line(number)
        try:
            row = parse_json(self.line)
        except JsonError as error:
            raise NotThere(f"there is no rollout {name_of(number)}: {error}", hint="load the page again") from None
        self.rollout = Rollout(row)
        self.row: Mapping[str, Any] = row
        about = row.get("rollout")
        self.about: Mapping[str, Any] = about if isinstance(about, Mapping) else {}
        self.talks = Conversations(self.rollout)


def open_rollout(library: Library, query: Query) -> Opened:
    """The rollout of a request, which is kept for the next one. Raises `NotThere`."""
    run = library.run(query.path["run"])
    return opened_rollout(run, query.rollout())


def opened_rollout(run: OpenRun, number: int) -> Opened:
    """A rollout of a run, by its id in the index."""
    run.advance()
    entry(run, number)
    found: Opened = run.kept((number, run.index.replaced), lambda: Opened(run, number))
    return found


def rollout(library: Library, query: Query) -> RolloutView:
    """`/api/runs/RUN/rollouts/N`."""
    return view_of(library, open_rollout(library, query))


def view_of(library: Library, opened: Opened, *, limit: int = ITEMS) -> RolloutView:
    """A rollout with the first items of its first branch."""
    run, row, about, talks = opened.run, opened.row, opened.about, opened.talks
    path = run.index.paths[opened.number >= FAILURES]
    line = opened.number % FAILURES
    which = str(line) if opened.number < FAILURES else f"{opened.rollout.task_id}#{opened.rollout.repeat}"
    return {
        "run": entry_of(library, library.entry(run)),
        "entry": entry(run, opened.number),
        "place": f"{path.name}:{line}",
        "command": shlex.join(["gym", "show", os.path.relpath(run.path), which]),
        "others": [one for one in repeats_of(run, opened.rollout.task_id) if one["n"] != name_of(opened.number)],
        "task": _task(run, row, about),
        "verdict": _verdict(run, row, about),
        "stop_detail": opened.rollout.stop_detail,
        "error": _error(about.get("error")),
        "actors": [*talks.actors()],
        "items": items_of(talks, 0, 0, limit) if talks.branches else None,
        "spans": spans_of(opened, 0, _SPANS),
        "tokens": _tokens(opened),
        "seed": about.get("seed") if type(about.get("seed")) is int else None,
        "usage": opened.rollout.usage.to_wire(),
        "about": [field_view(name, value) for name, value in about.items() if name not in _SHOWN_ELSEWHERE],
    }


def items(library: Library, query: Query) -> Items:
    """`/api/runs/RUN/rollouts/N/items`."""
    talks = open_rollout(library, query).talks
    branch = query.count("branch", 0)
    if branch >= len(talks.branches):
        raise NotThere(f"there is no branch {branch}")
    return items_of(talks, branch, query.count("offset", 0), query.count("limit", ITEMS, _MOST))


def item(library: Library, query: Query) -> ItemView:
    """`/api/runs/RUN/rollouts/N/items/PLACE`."""
    talks = open_rollout(library, query).talks
    place: int = query.path["place"]
    if not 0 <= place < len(talks.items):
        raise NotThere(f"there is no item {place}")
    return item_view(talks, place, None, cut=None)


def spans(library: Library, query: Query) -> Spans:
    """`/api/runs/RUN/rollouts/N/spans`."""
    opened = open_rollout(library, query)
    return spans_of(opened, query.count("offset", 0), query.count("limit", _SPANS, 10_000))


def raw(library: Library, query: Query) -> Response:
    """`/api/runs/RUN/rollouts/N/raw`."""
    return Response(open_rollout(library, query).line, media_type="application/json")


def items_of(talks: Conversations, branch: int, offset: int, limit: int) -> Items:
    """Some items of a branch."""
    places = talks.branches[branch].places
    return {
        "branch": branch,
        "total": len(places),
        "offset": offset,
        "items": [item_view(talks, place, branch) for place in places[offset : offset + limit]],
    }


def _task(run: OpenRun, row: Mapping[str, Any], about: Mapping[str, Any]) -> TaskView:
    request = row.get(REQUEST_FIELD)
    request = request if isinstance(request, Mapping) else {}
    shared = run.shared_request(about.get("request"))
    sampling = shared.get("sampling")
    others = {name: value for name, value in request.items() if name not in ("input", "instructions", "tools")}
    others |= sampling if isinstance(sampling, Mapping) else {}
    tools = shared.get("tools") or request.get("tools")
    index = about.get("task_index")
    return {
        "task_id": Rollout({**row}).task_id,
        "index": index if type(index) is int else None,
        "instructions": str(request.get("instructions") or ""),
        "fields": [field_view(name, value) for name, value in row.items() if name not in NOT_OF_THE_TASK],
        "request": [field_view(name, value) for name, value in others.items()],
        "tools": [_tool(tool) for tool in tools if isinstance(tool, Mapping)] if isinstance(tools, list) else [],
    }


def _tool(tool: Mapping[str, Any]) -> ToolView:
    about = tool.get("function") if isinstance(tool.get("function"), Mapping) else tool
    assert isinstance(about, Mapping)
    return {
        "name": str(about.get("name") or about.get("type") or ""),
        "description": str(about.get("description") or ""),
        "schema": json_text(about.get("parameters") or {}),
    }


def _verdict(run: OpenRun, row: Mapping[str, Any], about: Mapping[str, Any]) -> VerdictView:
    rescored = about.get("rescored")
    before = rescored.get("from") if isinstance(rescored, Mapping) else None
    rollout = Rollout({**row})
    return {
        "reward": rollout.reward,
        "components": {**rollout.reward_components},
        "info": json_text(rollout.info) if rollout.info else "",
        "rewards": {**rollout.rewards},
        "metrics": {**rollout.metrics},
        "before": before if isinstance(before, int | float) else None,
        "group": _in_group(run, row),
    }


def _in_group(run: OpenRun, row: Mapping[str, Any]) -> GroupView | None:
    """What the environment said of the rollout beside the others of its task."""
    found = run.groups.joined({**row})["rollout"].get("group") if isinstance(row.get("rollout"), Mapping) else None
    if found is None:
        return None
    error, info = found.get("error"), found.get("info")
    return {
        "reward": found.get("reward"),
        "components": {**(found.get("components") or {})},
        "info": json_text(info) if info else "",
        "error": f"{error.get('class')}: {error.get('message')}" if error else "",
    }


def _error(error: Any) -> ErrorView | None:
    if not isinstance(error, Mapping):
        return None
    name, status, field = str(error.get("class") or "Error"), error.get("http_status"), error.get("field")
    causes = error.get("causes")
    return {
        "error_class": name,
        "phase": str(error.get("phase") or ""),
        "message": str(error.get("message") or ""),
        "retryable": error.get("retryable") is True,
        "http_status": status if type(status) is int else None,
        "field": field if isinstance(field, str) else None,
        "causes": [str(cause) for cause in causes] if isinstance(causes, list) else [],
        "remedy": remedy(name),
    }


def spans_of(opened: Opened, offset: int, limit: int) -> Spans:
    """Some spans of a rollout."""
    found = sorted(_all_spans(opened), key=lambda span: span["at"])
    seconds = _seconds(opened.about, "seconds")
    return {"total": len(found), "offset": offset, "seconds": seconds, "spans": found[offset : offset + limit]}


def _all_spans(opened: Opened) -> Iterator[Span]:
    talks = opened.talks
    for number, call in enumerate(talks.calls):
        usage = call.usage if isinstance(call.usage, Mapping) else {}
        yield _span(
            "model", call.actor, str(call.model or call.role), call.at, call.latency,
            waited=call.waited,
            attempts=call.attempts,
            turn=talks.turn_of(number),
            place=call.gave[0][0] if call.gave else None,
            branch=talks.branch_of[number],
            input_tokens=usage.get("input_tokens"),
            output_tokens=usage.get("output_tokens"),
            cost=call.cost,
            broken=call.tokens is not None and call.tokens.broken,
        )  # fmt: skip
    for run in talks.tool_runs:
        name = str(talks.items[run.call].get("name") or "")
        call_number = talks.given_by.get(run.call)
        yield _span(
            "tool", run.actor, name, run.at, run.seconds,
            turn=talks.turns.get(run.call),
            place=run.call,
            branch=None if call_number is None else talks.branch_of[call_number],
            error=run.error,
        )  # fmt: skip
    if verify := _seconds(opened.about, "verify_seconds"):
        yield _span("verify", MAIN, "verify", max(0.0, _seconds(opened.about, "seconds") - verify), verify)


def _span(kind: str, actor: str, label: str, at: float, seconds: float, **more: Any) -> Span:
    span: Any = {
        "kind": kind, "actor": actor, "label": label, "at": at, "seconds": seconds, "waited": 0.0, "attempts": 1,
        "turn": None, "place": None, "branch": None, "input_tokens": None, "output_tokens": None, "cost": None,
        "error": None, "broken": False, **more,
    }  # fmt: skip
    made: Span = span
    return made


def _seconds(about: Mapping[str, Any], name: str) -> float:
    timing = about.get("timing")
    value = timing.get(name) if isinstance(timing, Mapping) else None
    return float(value) if isinstance(value, int | float) else 0.0


def _tokens(opened: Opened) -> TokensAbout | None:
    tokens = [call.tokens for call in opened.talks.calls if call.tokens is not None]
    if not tokens:
        return None
    return {
        "calls": len(tokens),
        "breaks": sum(one.broken for one in tokens),
        "problems": sum(bool(one.problem) for one in tokens),
        "versions": [*dict.fromkeys(one.version for one in tokens if one.version is not None)],
    }
