"""The rollouts of a run: with what their rows are written from, or as the line of a row that came from another process.

Such a line is decoded only if somebody asks for what is in it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import orjson

from gym_core.domain.json_text import encode_json, parse_json
from gym_core.domain.rollout import Rollout, Status
from gym_core.domain.task import RESULT_FIELDS, result_task_id
from gym_core.engine.metrics.breakdown import field_value, label
from gym_core.engine.storage.requests import Cited
from gym_core.wiring.secrets import Redactor


class FreshRollout(Rollout):
    """A rollout of this run.

    `source`: the line its task was read from, if it came from a file. `names_task`: whether the row says a `task_id`
    that the task's line does not. `cited`: what is to be written before the row is.
    """

    __slots__ = ("cited", "names_task", "source")

    def __init__(self, row: dict[str, Any], *, source: bytes | None, names_task: bool, cited: Cited = ()) -> None:
        self.row = row
        self.source = source
        self.names_task = names_task
        self.cited = cited

    def with_row(self, row: dict[str, Any]) -> FreshRollout:
        """The same with another row."""
        return FreshRollout(row, source=self.source, names_task=self.names_task, cited=self.cited)


class EncodedRollout(FreshRollout):
    """`line`: the row as it goes to disk, secrets masked. `account`: the part of the row that is counted."""

    __slots__ = ("_repeat", "_row", "account", "line")

    def __init__(
        self,
        line: bytes,
        account: dict[str, Any],
        repeat: int,
        *,
        source: bytes | None,
        names_task: bool,
        cited: Cited = (),
    ) -> None:
        self.line = line
        self._repeat = repeat
        self.account = account
        self._row: dict[str, Any] | None = None
        self.source = source
        self.names_task = names_task
        self.cited = cited

    @classmethod
    def of(cls, rollout: Rollout, redactor: Redactor, *, by: Collection[str], calls: bool) -> EncodedRollout:
        """A rollout of this process as another is to have it; `by` and `calls` as in `account_of`.

        Raises `JsonError` for what has no JSON form.
        """
        line = redactor.redact_bytes(encode(rollout))
        account = account_of(rollout.row, by=by, calls=calls)
        if account["rollout"]["error"]:
            account = parse_json(redactor.redact_bytes(encode_json(account)))
        fresh = rollout if isinstance(rollout, FreshRollout) else None
        return cls(
            line,
            account,
            rollout.repeat,
            source=None,
            names_task=fresh is not None and fresh.names_task,
            cited=fresh.cited if fresh is not None else (),
        )

    @property
    def row(self) -> dict[str, Any]:  # type: ignore[override]  # a slot there, read when it is asked for here
        """The row, decoded when it is first asked for. It is not to be changed."""
        if self._row is None:
            self._row = parse_json(self.line)
        return self._row

    @property
    def task_id(self) -> str:
        """Which task it was."""
        return str(self.account["task_id"])

    @property
    def repeat(self) -> int:
        """Which of the task's repeats."""
        return self._repeat

    @property
    def reward(self) -> float | None:
        """The reward; None for a failure."""
        reward: float | None = self.account["reward"]
        return reward

    @property
    def status(self) -> Status:
        """How it ended."""
        return Status(self.account["rollout"]["status"])

    @property
    def error(self) -> Mapping[str, Any] | None:
        """What failed."""
        error: Mapping[str, Any] | None = self.account["rollout"]["error"]
        return error


def encode(rollout: Rollout) -> bytes:
    """A row as one line. The fields of its task stand as they were read, byte for byte, where they came from a file.

    Raises `JsonError` for what has no JSON form.
    """
    row = rollout.row
    if not isinstance(rollout, FreshRollout) or (source := rollout.source) is None:
        return encode_json(row, orjson.OPT_APPEND_NEWLINE)
    if rollout.names_task and b'"task_id"' in source:  # something in it has the name
        return encode_json(row, orjson.OPT_APPEND_NEWLINE)
    added = {name: row[name] for name in RESULT_FIELDS}
    if rollout.names_task:
        added = {"task_id": row["task_id"], **added}
    return source.rstrip()[:-1].rstrip() + b"," + encode_json(added, orjson.OPT_APPEND_NEWLINE)[1:]


def counted(rollout: Rollout) -> dict[str, Any]:
    """The row of a rollout, or as much of it as is counted."""
    return rollout.account if isinstance(rollout, EncodedRollout) else rollout.row


def changeable(rollout: Rollout) -> Rollout:
    """The rollout, or one like it, whose row may be changed."""
    return rollout.with_row(parse_json(rollout.line)) if isinstance(rollout, EncodedRollout) else rollout


def account_of(row: dict[str, Any], *, by: Collection[str] = (), calls: bool = False) -> dict[str, Any]:
    """The part of a row that `Progress.add` reads. `by`: fields that are broken down; `calls`: with its model calls."""
    about = row["rollout"]
    counted = {name: about[name] for name in ("status", "error", "usage", "cost", "tools")}
    for name in ("metrics", "token_breaks", "token_problems", "weight_versions"):
        if name in about:
            counted[name] = about[name]
    timing = about["timing"]
    counted["timing"] = {name: timing[name] for name in ("seconds", "model_seconds", "waited_seconds")}
    if calls:
        counted["model_calls"] = [
            {"role": call["role"], "usage": call["usage"], "cost": call.get("cost")} for call in about["model_calls"]
        ]
    account: dict[str, Any] = {field: label(field_value(row, field)) for field in by}
    account |= {name: row[name] for name in ("reward", "reward_components")}
    account["task_id"] = result_task_id(row)
    account["rollout"] = counted
    return account
