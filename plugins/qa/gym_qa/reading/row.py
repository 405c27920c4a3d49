"""One row of a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from gym_core.errors import InputError


@dataclass(frozen=True, slots=True)
class Row:
    """The columns of a row by name. `place`: the file and the line or number, for who has to find it."""

    place: str
    values: dict[str, Any]


Found: TypeAlias = Row | InputError
"""A row, or why there is none in its place."""
