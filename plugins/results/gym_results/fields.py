"""Fields of rows, by their dotted paths: those that were meant, and those that no row has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from gym_core.spi import field_value, nearest

_DEEP = 3
_PATHS = 400
HINT_TO_FIELDS = "`gym show RUN --json` shows a row with all of its fields"
"""How to find the fields there are."""


def fields_like(wanted: str, paths: Iterable[str], most: int = 1) -> list[str]:
    """Of these paths those that may have been meant, the likeliest first: by their last names, or as a whole."""
    known: dict[str, str] = {}
    for path in paths:
        for name in (path, path.rpartition(".")[2]):
            known.setdefault(name, path)
    found = [*nearest(wanted.rpartition(".")[2], known, most=2, cutoff=0.7), *nearest(wanted, known, most=most)]
    return [*dict.fromkeys(known[name] for name in found)][:most]


class SoughtFields:
    """Fields that were asked for, and whether rows have them: one that no row has is misspelt, mostly.

    `null_counts`: whether a field that is null is there.
    """

    def __init__(self, paths: Iterable[str], *, null_counts: bool = False) -> None:
        self._missing = [*dict.fromkeys(paths)]
        self._null_counts = null_counts
        self._known: list[str] = []

    @property
    def missing(self) -> list[str]:
        """Those that none of the rows so far has; without a row nothing can be said."""
        return self._missing if self._known else []

    def look(self, row: Mapping[str, Any]) -> bool:
        """Whether all have been found by now, with those of this row."""
        if self._missing:
            self._missing = [path for path in self._missing if not self._has(row, path)]
            self._known = self._known or [*islice(_paths(row, "", 1), _PATHS)]
        return not self._missing

    def hint(self, path: str) -> str:
        """What to do about one that is missing."""
        near = fields_like(path, self._known)
        return f"did you mean `{near[0]}`?" if near else HINT_TO_FIELDS

    def _has(self, row: Mapping[str, Any], path: str) -> bool:
        if field_value(row, path) is not None:
            return True
        before, _, last = path.rpartition(".")
        inner = field_value(row, before) if before else row
        return self._null_counts and isinstance(inner, Mapping) and last in inner


def _paths(row: Mapping[str, Any], before: str, depth: int) -> Iterator[str]:
    """The fields of a row, and those within its objects."""
    for name, value in row.items():
        yield before + name
        if isinstance(value, Mapping) and depth < _DEEP:
            yield from _paths(value, f"{before}{name}.", depth + 1)
