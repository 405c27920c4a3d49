"""A task: one JSON row, kept untouched, and what is read from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gym_core.domain.errors import MissingField
from gym_core.domain.flat_tools import with_flat_tools
from gym_core.domain.json_text import JsonError, encode_json, plain_json, whole_text
from gym_core.domain.parts import Content
from gym_core.domain.responses import Item, Request, as_items, user_message
from gym_core.domain.sampling import BACKEND_FIELDS

REQUEST_FIELD = "responses_create_params"
"""The field of a row that holds the request to the model."""

RESULT_FIELDS = ("response", "reward", "reward_components", "rollout")
"""What a result row adds to its task row, beside `task_id`. A task row must not use these names."""


class Task(Mapping[str, Any]):
    """One problem: a mapping over the fields of its row.

    `row`: the JSON object as it was read. `task_id`: what identifies it within a run. `index`: its place in the input,
    from 0. `source`: the line it was read from, if it came from a file. `named`: whether it was given its `task_id`,
    and not just called by what its row says or by its place. `self.task["answer"]` in a session reads the row's field
    `answer`.
    """

    __slots__ = ("index", "named", "row", "source", "task_id")

    def __init__(self, row: dict[str, Any], *, task_id: str = "", index: int = 0, source: bytes | None = None) -> None:
        self.row = row
        self.index = index
        self.source = source
        given = id_text(task_id)
        self.named = given is not None
        self.task_id = given or own_task_id(row) or str(index)

    @classmethod
    def ask(
        cls,
        *content: Content,
        task_id: str = "",
        instructions: str | None = None,
        params: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Task:
        """A task of one user message; `fields` reach the session, `params` the model (`temperature`, `tools`, ...).

        `content`: see `user_message`: a text, or texts and parts such as `image_part(Path("map.png"))`.
        """
        request: dict[str, Any] = {"input": [user_message(*content)], **(params or {})}
        if instructions is not None:
            request["instructions"] = instructions
        row: dict[str, Any] = {REQUEST_FIELD: request, **fields}
        return cls({"task_id": task_id, **row} if task_id else row)

    @property
    def input(self) -> list[Item]:
        """The conversation that the row opens with, as items."""
        return as_items(self.row[REQUEST_FIELD]["input"])

    @property
    def request(self) -> Request:
        """The row's request without the fields that belong to the backend, with tools as the Responses API has them."""
        params: dict[str, Any] = self.row[REQUEST_FIELD]
        body = {name: value for name, value in params.items() if name not in BACKEND_FIELDS and value is not None}
        body["input"] = as_items(params["input"])
        if body.get("tools") or "tool_choice" in body:
            body = with_flat_tools(body)
        return Request(body)

    def __getitem__(self, field: str) -> Any:
        try:
            return self.row[field]
        except KeyError:
            raise MissingField(field) from None

    def get(self, field: str, default: Any = None) -> Any:
        """The field, or `default` where the row has none. Without the exception by which `Mapping` would find out."""
        return self.row.get(field, default)

    def __contains__(self, field: object) -> bool:
        return field in self.row

    def __iter__(self) -> Iterator[str]:
        return iter(self.row)

    def __len__(self) -> int:
        return len(self.row)

    def __repr__(self) -> str:
        return f"Task({self.task_id!r})"


def own_task_id(row: Mapping[str, Any]) -> str | None:
    """The row's `task_id`, else its `id`, as text; None when it has neither."""
    return id_text(row.get("task_id")) or id_text(row.get("id"))


def result_task_id(row: Mapping[str, Any]) -> str:
    """The id of the task that a result is of. It is the row's `task_id` unless `rollout` says otherwise."""
    about = row.get("rollout")
    named = about.get("task_id") if isinstance(about, Mapping) else None
    return named or id_text(row.get("task_id")) or ""


def id_text(value: Any) -> str | None:
    """A task id as text: text as it is, other values as JSON writes them; None for what is written as null or "".

    It is the same for a value from Python and for what is read where that was written.
    """
    if type(value) is str:
        return (value if value.isascii() else whole_text(value)) or None
    if type(value) is int:
        return str(value)
    if value is None:
        return None
    try:
        written = plain_json(value)
        return id_text(written) if type(written) is str or written is None else encode_json(written).decode()
    except JsonError:
        return None


def is_result(row: Mapping[str, Any]) -> bool:
    """Whether a row is one that gym wrote, so that it can be read as a task again."""
    rollout = row.get("rollout")
    return isinstance(rollout, Mapping) and "run_id" in rollout and "response" in row


def without_result(row: dict[str, Any]) -> dict[str, Any]:
    """A result row as the task row it came from."""
    return {name: value for name, value in row.items() if name not in RESULT_FIELDS}


def check_row(row: Any) -> dict[str, Any]:
    """A parsed JSON line as a task row. Raises `ValueError` with one sentence about what is wrong."""
    if not isinstance(row, dict):
        raise ValueError(f"a task must be a JSON object, this is {_kind(row)}")
    if is_result(row):
        row = without_result(row)
    used = [name for name in RESULT_FIELDS if name in row]
    if used:
        raise ValueError(f"the field `{used[0]}` is one that gym writes; rename it in the input")
    checked: dict[str, Any] = row
    params = row.get(REQUEST_FIELD)
    if not isinstance(params, dict):
        raise ValueError(f"`{REQUEST_FIELD}` is missing" if params is None else f"`{REQUEST_FIELD}` must be an object")
    if "input" not in params:
        raise ValueError(f"`{REQUEST_FIELD}.input` is missing")
    try:
        as_items(params["input"])
    except ValueError as error:
        raise ValueError(f"in `{REQUEST_FIELD}`, {error}") from None
    tools = params.get("tools")
    if tools is not None and not (isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools)):
        raise ValueError(f"`{REQUEST_FIELD}.tools` must be a list of objects")
    return checked


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return "null" if value is None else names.get(type(value), f"of type {type(value).__name__}")
