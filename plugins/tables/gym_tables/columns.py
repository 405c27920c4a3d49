"""The columns of a table: those that every rollout has, and those that the rows show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from gym_core import Rollout
from gym_core.spi import FLAT_COLUMNS, REQUEST_FIELD, RESULT_FIELDS, Column, Json, flat_row

Row: TypeAlias = Mapping[str, Any]

_INT64 = 1 << 63

FAMILIES: Mapping[str, tuple[Callable[[Rollout], Mapping[str, Any]], str]] = {
    "component": (lambda rollout: rollout.reward_components, "a component of the reward"),
    "metric": (lambda rollout: rollout.metrics, "a number of the environment's own"),
    "reward": (lambda rollout: rollout.rewards, "the reward of an actor, where there are several"),
    "field": (lambda rollout: _task_fields(rollout.row), "a field of the task"),
}
"""Columns by what the rows have, each called `FAMILY_NAME`."""


@dataclass(slots=True)
class Shape:
    """The columns of a table, found while its rows are made. Names that differ in case alone are told apart."""

    types: dict[str, Column | None] = field(default_factory=dict)
    _names: dict[tuple[str, str], str] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=lambda: {*FLAT_COLUMNS})

    def row(self, rollout: Rollout) -> dict[str, Any]:
        """A rollout as a row."""
        row = flat_row(rollout)
        for family, (read, _) in FAMILIES.items():
            for name, value in read(rollout).items():
                column = self._names.get((family, name)) or self._named(family, name)
                row[column] = value
                if value is not None:
                    self.types[column] = _wider(self.types[column], value)
        return row

    def columns(self) -> dict[str, Column]:
        """All columns by name. What held nothing is text."""
        fixed = {name: column for name, (column, _, _) in FLAT_COLUMNS.items()}
        order = {family: number for number, family in enumerate(FAMILIES)}
        found = sorted(self._names.items(), key=lambda entry: order[entry[0][0]])
        return fixed | {column: self.types[column] or str for _, column in found}

    def _named(self, family: str, name: str) -> str:
        wanted = column = f"{family}_{name}"
        number = 1
        while column.lower() in self._taken:
            number += 1
            column = f"{wanted}_{number}"
        self._taken.add(column.lower())
        self._names[family, name] = column
        self.types[column] = None
        return column


def _wider(known: Column | None, value: Any) -> Column:
    """The type that fits what was there and a value."""
    if isinstance(value, bool):
        found: Column = bool
    elif isinstance(value, int):
        found = int if -_INT64 <= value < _INT64 else Json
    elif isinstance(value, float | str):
        found = type(value)
    else:
        found = Json
    if known is None or known is found:
        return found
    return float if {known, found} == {int, float} else Json


def _task_fields(row: Mapping[str, Any]) -> Mapping[str, Any]:
    taken = (*RESULT_FIELDS, REQUEST_FIELD, "task_id")
    return {name: value for name, value in row.items() if name not in taken}
