"""The rollouts of a run: with what their rows are written from, or as the line of a row that came from another process.

Such a line is decoded only if somebody asks for what is in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gym_core.domain.json_text import parse_json
from gym_core.domain.rollout import Rollout, Status
from gym_core.domain.task import result_task_id
from gym_core.engine.metrics.breakdown import field_value, label
from gym_core.engine.storage.requests import Cited


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


def counted(rollout: Rollout) -> dict[str, Any]:
    """The row of a rollout, or as much of it as is counted."""
    return rollout.account if isinstance(rollout, EncodedRollout) else rollout.row


def changeable(rollout: Rollout) -> Rollout:
    """The rollout, or one like it, whose row may be changed."""
    return rollout.with_row(parse_json(rollout.line)) if isinstance(rollout, EncodedRollout) else rollout


def account_of(row: dict[str, Any], *, by: tuple[str, ...] = (), calls: bool = False) -> dict[str, Any]:
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
