"""Which items of a rollout say the same, and which requests begin alike. Needed once a conversation has branched."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import compress, count
from operator import ne
from typing import Any

from gym_core.domain.responses import Item

NEW = -1
"""The class of an item that nobody has said yet."""


class EqualItems:
    """The items of a recording by what they say. Two are equal where Python says so of the JSON that they are.

    `items`: those recorded, `handed_out`: the objects that others hold, which are mostly what is asked for.
    `classes`: of each item the number of the first that says the same.
    """

    __slots__ = ("_handed_out", "_items", "_known", "_numbers", "_same", "classes")

    def __init__(self, items: Sequence[Item], handed_out: Sequence[Item]) -> None:
        self._items = items
        self._handed_out = handed_out
        self._known: dict[int, int] = {}
        self._numbers: dict[Hashable, list[int]] = {}
        self._same: dict[int, list[int]] = {}
        self.classes: list[int] = []

    def catch_up(self) -> None:
        """Take note of items that were recorded since."""
        for number in range(len(self.classes), len(self._items)):
            numbers = self._numbers.setdefault(_key(self._items[number]), [])
            numbers.append(number)
            self.classes.append(numbers[0])
            self._same[numbers[0]] = numbers
            self._known[id(self._handed_out[number])] = number

    def class_of(self, item: Item, given: Item | None = None) -> int:
        """The number of the first item that says the same, `NEW` where there is none.

        `given`: the object that `item` is a copy of, by which it is found in less time.
        """
        known = self._known.get(id(item if given is None else given))
        if known is not None and self._items[known] == item:
            return self.classes[known]
        numbers = self._numbers.get(_key(item))
        return numbers[0] if numbers else NEW

    def number_after(self, item: Item, before: int, given: Item | None = None) -> int:
        """The number of the first item after another that says the same, else of the first of all; `NEW` without."""
        found = self.class_of(item, given)
        if found == NEW:
            return NEW
        numbers = self._same[found]
        place = bisect_right(numbers, before)
        return numbers[place] if place < len(numbers) else numbers[0]


def _key(value: Any) -> Hashable:
    """JSON as something by which it is looked up; what is none, or nests too deeply, is equal to nothing."""
    try:
        return _frozen(value)
    except (RecursionError, TypeError):
        return object()


def _frozen(value: Any) -> Hashable:
    if isinstance(value, Mapping):
        return frozenset([(name, _frozen(inner)) for name, inner in value.items()])
    if isinstance(value, list):
        return tuple([_frozen(inner) for inner in value])
    hash(value)
    return value  # type: ignore[no-any-return]


class PrefixTree:
    """The paths of an actor's model calls, as classes of items: those that begin alike share what they begin with.

    Every beginning has a number, 0 the empty one, and is found by the number of the one that is an item shorter and
    the class of that item. A path costs what it does not share with the one before it, which mostly is little.
    """

    __slots__ = ("_call", "_latest", "_longer", "_path")

    def __init__(self) -> None:
        self._longer: dict[tuple[int, int], int] = {}
        self._path: list[int] = []
        self._call = -1
        # All beginnings of the last path are that call's. Which call the others are of is written when a path leaves
        # them: else every call would have to be written to each of its beginnings.
        self._latest: dict[int, int] = {}

    def add(self, shared: int, rest: Iterable[int], call: int) -> None:
        """Add the path of the call of this number, which is higher than all before.

        `shared`: how many of its items are the first ones of the last path that was added; `rest`: those after them.
        """
        path, longer = self._path, self._longer
        self._latest.update(dict.fromkeys(path[shared:], self._call))
        del path[shared:]
        beginning = path[-1] if path else 0
        for item in rest:
            beginning = longer.setdefault((beginning, item), len(longer) + 1)
            path.append(beginning)
        self._call = call

    def find(self, shared: int, rest: Iterable[int]) -> tuple[int, int | None]:
        """How many items a request shares with the path that shares most, and the latest call of such a path.

        `shared`, `rest`: as for `add`.
        """
        path = self._path
        beginning = path[shared - 1] if shared else 0
        for item in rest:
            further = self._longer.get((beginning, item))
            if further is None:
                break
            beginning, shared = further, shared + 1
        if not shared:
            return 0, None
        is_last = shared <= len(path) and path[shared - 1] == beginning
        return shared, self._call if is_last else self._latest[beginning]


def common(one: Sequence[Any], other: Sequence[Any]) -> int:
    """How many elements two lists have in common from their start on."""
    # All of it is done in C, element by element: most lists of items part near their ends.
    return next(compress(count(), map(ne, one, other)), min(len(one), len(other)))
