"""A rollout of another process, as the line of its row: it is decoded only if somebody asks for what is in it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from gym_core import JsonError, Rollout, Status, encode_json, parse_json
from gym_core.spi import Cited, FreshRollout, Redactor, as_fresh, field_value, label, result_task_id, unwritable


class EncodedRollout(FreshRollout):
    """`encoded`: the row as it goes to disk, secrets masked. `account`: the part of the row that is counted."""

    __slots__ = ("_repeat", "_row", "account", "encoded")

    def __init__(
        self,
        encoded: bytes,
        account: dict[str, Any],
        repeat: int,
        *,
        source: bytes | None,
        names_task: bool,
        cited: Cited = (),
    ) -> None:
        self.encoded = encoded
        self._repeat = repeat
        self.account = account
        self._row: dict[str, Any] | None = None
        self.source = source
        self.names_task = names_task
        self.cited = cited

    @classmethod
    def of(cls, rollout: Rollout, redactor: Redactor, *, by: Collection[str], calls: bool) -> EncodedRollout:
        """A rollout of this process as another is to have it; `by` and `calls` as in `account_of`.

        What has no JSON form makes it a failure.
        """
        fresh = as_fresh(rollout)
        try:
            encoded = fresh.line(redactor)
        except JsonError as error:
            fresh = unwritable(fresh, error)
            encoded = fresh.line(redactor)
        account = account_of(fresh.row, by=by, calls=calls)
        if account["rollout"]["error"]:
            account = parse_json(redactor.redact_bytes(encode_json(account)))
        return cls(encoded, account, fresh.repeat, source=None, names_task=fresh.names_task, cited=fresh.cited)

    def line(self, redactor: Redactor) -> bytes:
        """The row as it goes to disk, masked where it comes from."""
        return self.encoded

    @property
    def counted(self) -> dict[str, Any]:
        """As much of the row as is counted."""
        return self.account

    @property
    def changeable(self) -> FreshRollout:
        """One like it, whose row may be changed."""
        return self.with_row(parse_json(self.encoded))

    @property
    def row(self) -> dict[str, Any]:  # type: ignore[override]  # a slot there, read when it is asked for here
        """The row, decoded when it is first asked for. It is not to be changed."""
        if self._row is None:
            self._row = parse_json(self.encoded)
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
