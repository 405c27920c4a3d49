"""Conditions on fields as somebody who looks at the page writes them: by the names that stand there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gym_core import JsonError, parse_json
from gym_core.spi import field_value
from gym_results.conditions import Condition
from gym_results.fields import fields_like
from gym_viewer.api.query import Query
from gym_viewer.index.row import COMPONENTS, INFO, OF_A_ROLLOUT
from gym_viewer.library import OpenRun
from gym_viewer.sums import sums

_DEEP = 3
_PATHS = 400
_LIKE = 4
_JSON_SIGNS = frozenset('"\0')


def conditions_of(opened: OpenRun, query: Query) -> Sequence[Condition]:
    """What `where` asks for, each field by its whole path. Raises `UsageError` for what is no condition."""
    written = [Condition.parse(one, option="") for one in query.texts("where")]
    if not written:
        return ()
    names = names_of(opened)
    return tuple(names.meant(one) for one in written)


def names_of(opened: OpenRun) -> Names:
    """The names of a run as it is: made once for whoever asks over and over."""
    names: Names = opened.kept(("names", opened.index.generation), lambda: Names(opened))
    return names


class Names:
    """The fields of a run, by what the page calls them."""

    def __init__(self, opened: OpenRun) -> None:
        self._opened = opened
        made = sums(opened.index, older=True)
        self._fields = [str(field["name"]) for field in made["fields"]]
        self._components = [str(name) for name in made["components"]]
        self._first = _first_row(opened)

    def meant(self, condition: Condition) -> Condition:
        """The same with the paths of the fields that were meant."""
        field = self._path(condition.field) or condition.field
        other = condition.other
        if other is not None:
            other = self._path(other) or other
        elif condition.pattern is None and not condition.literal:
            other = self._other(field, condition.text)
        if other is None:
            return replace(condition, field=field)
        return replace(condition, field=field, text=f"{{{other}}}", other=other)

    def like(self, field: str) -> list[str]:
        """Fields that may have been meant by one that no row has."""
        paths = [*(COMPONENTS + name for name in self._components), *self._fields, *_paths(self._first)]
        return fields_like(field, paths, most=_LIKE)

    def _path(self, name: str) -> str | None:
        """The path of a field that the run is known to have."""
        if name in self._fields or field_value(self._first, name) is not None:
            return name
        if name in self._components:
            return COMPONENTS + name
        if INFO + name in self._fields:
            return INFO + name
        return OF_A_ROLLOUT.get(name)

    def _other(self, field: str, text: str) -> str | None:
        """The path of the field that stands where a value could, unless that is a value of the first one."""
        path = self._path(text) if text != field else None
        if path is None or _JSON_SIGNS & set(field):
            return None
        quoted = field.replace("'", "''")
        known = self._opened.index.read(
            f"SELECT 1 FROM rollout WHERE json_extract(fields, '$.\"{quoted}\"') = ? LIMIT 1", (text,)
        )
        return None if known else path


def _first_row(opened: OpenRun) -> Mapping[str, Any]:
    for (number,) in opened.index.read("SELECT MIN(id) FROM rollout WHERE standing"):
        if number is None:
            break
        try:
            found = parse_json(opened.index.line(number))
        except JsonError:
            break
        if isinstance(found, Mapping):
            return found
    return {}


def _paths(row: Mapping[str, Any]) -> Sequence[str]:
    """What a row has that a number, a text or a truth stands at."""

    def below(value: Mapping[str, Any], before: str, depth: int) -> Iterator[str]:
        for name, one in value.items():
            if isinstance(one, Mapping):
                if depth < _DEEP:
                    yield from below(one, f"{before}{name}.", depth + 1)
            elif not isinstance(one, list):
                yield before + name

    return [path for path, _ in zip(below(row, "", 1), range(_PATHS), strict=False)]
