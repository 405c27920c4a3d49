"""The tasks that an environment ships: can each be read, told from the others, and asked?"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import orjson

from gym_core import Item, JsonError, ResourceServer, Task, encode_json
from gym_core.spi import REQUEST_FIELD, asked_to_end, check_row, described, named_by
from gym_testing.checks.problem import Problem
from gym_testing.checks.prompts import prompt_of

ROLES = frozenset({"user", "assistant", "system", "developer"})


class TaskCheck:
    """Tasks as an environment lists them. `tasks`: those that are sound enough to be run. `rows`: all, as JSON."""

    def __init__(self, by: str | None = None) -> None:
        self._by = by
        self._places: dict[str, int] = {}
        self._prompts: dict[str, list[str]] = {}
        self._broken: dict[str, list[tuple[str | None, str]]] = {}
        self.tasks: list[Task] = []
        self.rows: list[bytes] = []

    def take(self, item: Any) -> None:
        """Look at the next one: a task or, as it may be listed, a row."""
        row, place = item.row if isinstance(item, Task) else item, len(self.rows) + 1
        self.rows.append(_encoded(row))
        problem = _json_problem(row)
        if problem:
            self._note("task-not-json", None, f"task {place}: {problem}")
            return
        try:
            row = check_row(row)
            own = named_by(row, self._by)
        except ValueError as failed:
            self._note("task-malformed", None, f"task {place}: {failed}")
            return
        named = item.task_id if isinstance(item, Task) and item.named and self._by is None else None
        task_id = named or own or str(place)
        task = Task(row, task_id=task_id, index=place - 1)
        if task_id in self._places:
            self._note("task-id-twice", task_id, f"tasks {self._places[task_id]} and {place} are both `{task_id}`")
            return
        self._places[task_id] = place
        problem = _request_problem(task)
        if problem:
            self._note("task-request", task_id, f"task `{task_id}`: {problem}")
            return
        if "model" in row[REQUEST_FIELD]:
            self._note("task-names-model", task_id, f"task `{task_id}` names a model, which is ignored")
        self.tasks.append(task)
        self._prompts.setdefault(prompt_of(task.request), []).append(task_id)

    def _note(self, id: str, task_id: str | None, message: str) -> None:
        self._broken.setdefault(id, []).append((task_id, message))

    def problems(self) -> Iterator[Problem]:
        """What is wrong with them, one problem of each kind."""
        for code, noted in self._broken.items():
            task_id, message = noted[0]
            more = f" (and {len(noted) - 1} more)" if len(noted) > 1 else ""
            yield Problem(code, message + more, _MENDS[code], task_id, len(noted))
        twins = [ids for ids in self._prompts.values() if len(ids) > 1]
        if twins:
            count = sum(len(ids) - 1 for ids in twins)
            ids = ", ".join(f"`{task_id}`" for task_id in twins[0][:3])
            problem = f"{count} of {len(self.tasks)} tasks repeat the prompt of another: {ids}"
            fix = "remove the copies, unless `setup` tells the model what sets them apart"
            yield Problem("prompt-twice", problem, fix, twins[0][1], count)


async def listing_problems(server: ResourceServer, check: TaskCheck, limit: int) -> list[Problem]:
    """What is wrong with how the first `limit` tasks are listed, which `check` takes; they are listed twice."""
    if failed := await _failure(server, limit, check):
        message = f"its tasks cannot be listed: after {len(check.rows)} of them, {failed}"
        return [Problem("tasks-fail", message, "`tasks` must not raise; make it yield every task")]
    if not check.rows:
        message = "it ships no tasks, so that nothing could be tried"
        return [Problem("no-tasks", message, "give it `tasks`, or audit it with options that have some")]
    again = TaskCheck()
    if failed := await _failure(server, limit, again):
        return [Problem("tasks-differ", f"its tasks can be listed only once: {failed}", _ORDER)]
    return order_problems(check.rows, again.rows)


async def _failure(server: ResourceServer, limit: int, check: TaskCheck) -> str:
    """List tasks for a check; what failed while they were listed, empty where nothing did."""
    try:
        async for item in _listed(server, limit):
            check.take(item)
    except BaseException as failed:
        if asked_to_end(failed):
            raise
        return described(failed)
    return ""


def order_problems(first: Sequence[bytes], second: Sequence[bytes]) -> list[Problem]:
    """Whether two listings are the same, by their rows as JSON; where one is no JSON, nobody can tell."""
    if first == second or b"" in first:
        return []
    pairs = zip_longest(first, second)
    place = next(number for number, (one, other) in enumerate(pairs, 1) if one != other)
    return [Problem("tasks-differ", f"its tasks are others when they are listed again, from task {place} on", _ORDER)]


_ORDER = "`tasks` must give the same tasks in a fixed order each time; seed whatever is random in it"
_MENDS = {
    "task-not-json": "use text, numbers, lists and objects only",
    "task-malformed": "make tasks with `Task.ask(...)`, or rows as `gym run --input` takes them",
    "task-id-twice": "give each task a `task_id` of its own",
    "task-request": "make `responses_create_params.input` a list of messages that say something",
    "task-names-model": "leave it out: the model is chosen with `--model`",
}


def _encoded(row: Any) -> bytes:
    try:
        return encode_json(row)
    except JsonError:
        return b""


def _json_problem(row: Any) -> str:
    """Whether a row would be another one once it has been written and read."""
    for name, value in row.items() if isinstance(row, Mapping) else ():
        encoded = _encoded(value)
        if not encoded or orjson.loads(encoded) != value:
            return f"the field `{name}` is no plain JSON: {value!r:.100}"
    return "" if _encoded(row) else f"{row!r:.100} is no JSON"


def _request_problem(task: Task) -> str:
    items = task.input
    if not items:
        return "its input is empty"
    for number, item in enumerate(items, 1):
        problem = _item_problem(item)
        if problem:
            return f"item {number} of its input {problem}"
    # Pictures and files may stand in place of words.
    if not prompt_of(task.request).strip() and not any(isinstance(item.get("content"), list) for item in items):
        return "its prompt says nothing"
    return ""


def _item_problem(item: Item) -> str:
    if item.get("type", "message") != "message":
        return ""
    role, content = item.get("role"), item.get("content")
    if role not in ROLES:
        return f"has the role {role!r}, which is none of {', '.join(sorted(ROLES))}"
    if not isinstance(content, str) and not (isinstance(content, list) and all(isinstance(p, dict) for p in content)):
        return "has a content that is neither text nor a list of parts"
    return ""


async def _listed(server: ResourceServer, limit: int) -> AsyncIterator[Any]:
    tasks = server.tasks()
    number = 0
    if isinstance(tasks, AsyncIterable):
        async for task in tasks:
            yield task
            number += 1
            if number >= limit:
                return
        return
    for task in tasks:
        yield task
        number += 1
        if number >= limit:
            return
