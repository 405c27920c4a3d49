"""The tasks that an environment ships: can each be read, told from the others, and asked?"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

from gym_check.audit.finding import Finding, error, info, warning
from gym_check.audit.prompts import prompt_of
from gym_core import Item, JsonError, ResourceServer, Task, encode_json
from gym_core.spi import REQUEST_FIELD, asked_to_end, check_row, described, named_by

ROLES = frozenset({"user", "assistant", "system", "developer"})


class TaskAudit:
    """The first `limit` tasks of an environment. `tasks`: those that are sound enough to be run."""

    def __init__(self, server: ResourceServer, limit: int, by: str | None = None) -> None:
        self._by = by
        self._server = server
        self._limit = limit
        self._places: dict[str, int] = {}
        self._prompts: dict[str, list[str]] = {}
        self._broken: dict[str, list[tuple[str | None, str]]] = {}
        self.tasks: list[Task] = []
        self.read = 0
        self.findings: list[Finding] = []

    async def run(self) -> None:
        """Read the tasks, and read them once more to see whether they are the same."""
        rows: list[bytes] = []
        try:
            async for item in _listed(self._server, self._limit):
                self.read += 1
                rows.append(self._take(item))
        except BaseException as failed:
            if asked_to_end(failed):
                raise
            self.findings.append(
                error(
                    "tasks-fail",
                    f"its tasks cannot be listed: after {self.read} of them, {described(failed)}",
                    "`tasks` must not raise; make it yield every task",
                )
            )
        else:
            await self._read_again(rows)
        self._conclude()

    def _take(self, item: Any) -> bytes:
        row, place = item.row if isinstance(item, Task) else item, self.read
        try:
            encoded = encode_json(row)
        except JsonError as failed:
            self._note("task-not-json", None, f"task {place} is no JSON: {failed}")
            return b""
        try:
            row = check_row(row)
            own = named_by(row, self._by)
        except ValueError as failed:
            self._note("task-malformed", None, f"task {place}: {failed}")
            return encoded
        named = item.task_id if isinstance(item, Task) and item.named and self._by is None else None
        task_id = named or own or str(place)
        task = Task(row, task_id=task_id, index=place - 1)
        if task_id in self._places:
            self._note("task-id-twice", task_id, f"tasks {self._places[task_id]} and {place} are both `{task_id}`")
            return encoded
        self._places[task_id] = place
        problem = _request_problem(task)
        if problem:
            self._note("task-request", task_id, f"task `{task_id}`: {problem}")
            return encoded
        if "model" in row[REQUEST_FIELD]:
            self._note("task-names-model", task_id, f"task `{task_id}` names a model, which is ignored")
        self.tasks.append(task)
        self._prompts.setdefault(prompt_of(task.request), []).append(task_id)
        return encoded

    def _note(self, id: str, task_id: str | None, message: str) -> None:
        self._broken.setdefault(id, []).append((task_id, message))

    async def _read_again(self, rows: list[bytes]) -> None:
        listed = _listed(self._server, self._limit)
        try:
            again = [encode_json(item.row if isinstance(item, Task) else item) async for item in listed]
        except BaseException as failed:
            if asked_to_end(failed):
                raise
            problem = f"its tasks can be listed only once: {described(failed)}"
        else:
            if again == rows or b"" in rows:
                return
            problem = "its tasks are others when they are listed again"
        fix = "`tasks` must give the same tasks in the same order each time; seed whatever is random in it"
        self.findings.append(warning("tasks-differ", problem, fix))

    def _conclude(self) -> None:
        for id, noted in self._broken.items():
            task_id, message = noted[0]
            more = f" (and {len(noted) - 1} more)" if len(noted) > 1 else ""
            make = info if id == "task-names-model" else error
            self.findings.append(make(id, message + more, _MENDS[id], task_id, len(noted)))
        if not self.read and not self.findings:
            problem = "it ships no tasks, so that nothing could be tried"
            self.findings.append(
                warning("no-tasks", problem, "give it `tasks`, or audit it with options that have some")
            )
        twins = [ids for ids in self._prompts.values() if len(ids) > 1]
        if twins:
            count = sum(len(ids) - 1 for ids in twins)
            ids = ", ".join(f"`{task_id}`" for task_id in twins[0][:3])
            problem = f"{count} of {len(self.tasks)} tasks repeat the prompt of another: {ids}"
            fix = "remove the copies, unless `setup` tells the model what sets them apart"
            self.findings.append(warning("prompt-twice", problem, fix, twins[0][1], count))


_MENDS = {
    "task-not-json": "use text, numbers, lists and objects only",
    "task-malformed": "make tasks with `Task.ask(...)`, or rows as `gym run --input` takes them",
    "task-id-twice": "give each task a `task_id` of its own",
    "task-request": "make `responses_create_params.input` a list of messages that say something",
    "task-names-model": "leave it out: the model is chosen with `--model`",
}


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
