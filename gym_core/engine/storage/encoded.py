"""A rollout that came from another process as the line of its row: nobody reads it unless somebody asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gym_core.domain.json_text import parse_json
from gym_core.domain.rollout import Rollout, Status
from gym_core.domain.task import result_task_id
from gym_core.engine.metrics.breakdown import field_value, label


class EncodedRollout(Rollout):
    """`line`: the row as it goes to disk, secrets masked. `account`: the part of the row that is counted.

    `source` and `names_task` as `Rollout` has them, for a row that is changed after all.
    """

    __slots__ = ("_account", "_row", "line")

    def __init__(self, line: bytes, account: dict[str, Any], *, source: bytes | None, names_task: bool) -> None:
        self.line = line
        self._account = account
        self._row: dict[str, Any] | None = None
        self.source = source
        self.names_task = names_task

    @property
    def row(self) -> dict[str, Any]:  # type: ignore[override]  # a slot there, read when it is asked for here
        """The row, decoded when it is first asked for. It is not to be changed."""
        if self._row is None:
            self._row = parse_json(self.line)
        return self._row

    @property
    def account(self) -> dict[str, Any]:
        """The part of the row that is counted."""
        return self._account

    @property
    def task_id(self) -> str:
        """Which task it was."""
        return str(self._account["task_id"])

    @property
    def reward(self) -> float | None:
        """The reward; None for a failure."""
        reward: float | None = self._account["reward"]
        return reward

    @property
    def status(self) -> Status:
        """How it ended."""
        return Status(self._account["rollout"]["status"])

    @property
    def error(self) -> Mapping[str, Any] | None:
        """What failed."""
        error: Mapping[str, Any] | None = self._account["rollout"]["error"]
        return error

    def plain(self) -> Rollout:
        """A copy whose row may be changed."""
        return Rollout(parse_json(self.line), source=self.source, names_task=self.names_task)


def account_of(row: dict[str, Any], *, by: tuple[str, ...] = (), calls: bool = False) -> dict[str, Any]:
    """The part of a row that `Progress.add` reads. `by`: fields that are broken down; `calls`: with its model calls."""
    about = row["rollout"]
    counted = {name: about[name] for name in ("status", "error", "usage", "cost", "tools")}
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
