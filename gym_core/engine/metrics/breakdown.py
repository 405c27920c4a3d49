"""The reward per value of one field of the rows: what `--by FIELD` asks for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gym_core.domain.json_text import JsonError, encode_json
from gym_core.engine.metrics.statistics import ClusteredMean, rounded

SHOWN = 50
"""How many values of a field are reported, those with the most rollouts."""
TRACKED = 1_000
"""How many values of a field are told apart; rollouts with further ones are counted together."""
LABEL = 200
NO_VALUE = "(none)"
"""Stands for a field that a row lacks, or that is null there."""


def field_value(row: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path, None where there is none. A number in the path is a place in a list.

    A field of the row whose own name has a dot in it is found by that name.
    """
    if path in row:
        return row[path]
    value: Any = row
    for name in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(name)
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value


def label(value: Any) -> str:
    """A value as it stands in tables and summaries: text as it is, anything else as JSON writes it."""
    if isinstance(value, str):
        text = value
    elif value is None:
        text = NO_VALUE
    else:
        text = _json(value)
    return text if len(text) <= LABEL else text[: LABEL - 1] + "…"


def _json(value: Any) -> str:
    try:
        return encode_json(value).decode()
    except JsonError as error:
        return f"({error})"


class Breakdown:
    """Rewards per value of one field, in bounded memory."""

    def __init__(self, field: str) -> None:
        self.field = field
        self._groups: dict[str, ClusteredMean] = {}
        self._failures: dict[str, int] = {}
        self._rest = ClusteredMean()
        self._rest_failures = 0

    def group(self, row: Mapping[str, Any], *, failed: bool) -> ClusteredMean:
        """Where the reward of a row belongs. One that `failed` has none and is only counted."""
        value = label(field_value(row, self.field))
        group = self._groups.get(value)
        if group is None:
            if len(self._groups) >= TRACKED:
                self._rest_failures += failed
                return self._rest
            group = self._groups[value] = ClusteredMean()
        if failed:
            self._failures[value] = self._failures.get(value, 0) + 1
        return group

    def result(self) -> dict[str, Any]:
        """`values`: each with `mean, standard_error, rollouts, left_out`; `others`: what is not among them.

        `others` is None, or `values` (how many), `more` (whether there were too many to count), `rollouts`, `left_out`
        and `mean`.
        """

        def rollouts(value: str) -> int:
            return self._groups[value].count + self._failures.get(value, 0)

        most_first = sorted(self._groups, key=lambda value: (-rollouts(value), value))
        shown, hidden = most_first[:SHOWN], most_first[SHOWN:]
        values = {
            value: {**self._groups[value].to_wire(), "left_out": self._failures.get(value, 0)}
            for value in sorted(shown, key=_natural)
        }
        more = bool(self._rest.count or self._rest_failures)
        others = None
        if hidden or more:
            means = [*(self._groups[value] for value in hidden), self._rest]
            count = sum(mean.count for mean in means)
            others = {
                "values": len(hidden),
                "more": more,
                "rollouts": count,
                "left_out": sum(self._failures.get(value, 0) for value in hidden) + self._rest_failures,
                "mean": rounded(sum(mean.total for mean in means) / count if count else None),
            }
        return {"values": values, "others": others}


def _natural(value: str) -> tuple[Any, ...]:
    """Sorts numbers by size, and `level 10` after `level 9`; what has no value comes last."""
    parts = [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", value) if part]
    return (value == NO_VALUE, parts)
