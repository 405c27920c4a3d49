"""Searches that no column answers: for a text, or for any field. Rows are read in order, a while at a time."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gym_core import JsonError, encode_json, parse_json
from gym_core.spi import field_value
from gym_results.conditions import Condition
from gym_viewer.index.store import FAILURES, RunIndex

_SECONDS = 0.5
_KEPT = 16
_AT_ONCE = 500
_ENDS = (FAILURES, 1 << 62)
"""Below these are the ids of rows, and those of failures. Either may grow while the other is looked at."""


@dataclass(slots=True)
class Searched:
    """A search. `number`: by which `temp.found` has what was found; `searched` of `of` rollouts were looked at.

    `last`: the ids of the last row and of the last failure that were looked at; `known`: the fields of its conditions
    that any of them has.
    """

    number: int
    of: int = 0
    searched: int = 0
    last: list[int] = field(default_factory=lambda: [0, FAILURES])
    known: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Searches:
    """The searches over one run. Asked for again, one goes on where it stopped."""

    def __init__(self, index: RunIndex) -> None:
        self._index = index
        self._known: OrderedDict[bytes, Searched] = OrderedDict()
        self._count = 0
        self._lock = threading.Lock()

    def advance(
        self, key: bytes, text: str, conditions: Sequence[Condition], where: str, values: Sequence[Any]
    ) -> Searched:
        """Search on for a while among the rollouts for which `where` holds. `key`: what makes it another search."""
        with self._lock:
            search = self._known.get(key) or self._begin(key)
        # Several may ask for the same search at once, as two tabs do: both would look at the same rows.
        with search.lock:
            self._go_on(search, _holding(text, conditions, search.known), where, values)
        return search

    def _go_on(self, search: Searched, holds: Callable[[bytes], bool], where: str, values: Sequence[Any]) -> None:
        until = time.monotonic() + _SECONDS
        search.of = self._index.read(f"SELECT COUNT(*) FROM rollout WHERE {where}", values)[0][0]
        for part, end in enumerate(_ENDS):
            while found := self._index.read(
                f"SELECT id FROM rollout WHERE {where} AND id > ? AND id < ? ORDER BY id LIMIT ?",
                [*values, search.last[part], end, _AT_ONCE],
            ):
                numbers = [row[0] for row in found]
                self._index.note_found(search.number, [n for n, line in self._index.lines(numbers) if holds(line)])
                search.searched += len(numbers)
                search.last[part] = numbers[-1]
                if time.monotonic() >= until:
                    search.searched = min(search.searched, search.of - 1)  # some may stand no longer
                    return
        search.searched = search.of

    def _begin(self, key: bytes) -> Searched:
        self._count += 1
        search = self._known[key] = Searched(self._count)
        while len(self._known) > _KEPT:
            self._index.forget_found(self._known.popitem(last=False)[1].number)
        return search


def _holding(text: str, conditions: Sequence[Condition], known: set[str]) -> Callable[[bytes], bool]:
    """Whether a row has the text, in capitals or not, and whether all conditions hold in it. `known`: gains fields."""
    wanted = encode_json(text)[1:-1].lower()
    fields = {name for one in conditions for name in (one.field, one.other) if name} - known

    def holds(line: bytes) -> bool:
        if wanted and wanted not in line.lower():
            return False
        if not conditions:
            return True
        try:
            row = parse_json(line)
        except JsonError:
            return False
        for name in [name for name in fields if field_value(row, name) is not None] if fields else ():
            fields.discard(name)
            known.add(name)
        return all(condition.holds(row) for condition in conditions)

    return holds
