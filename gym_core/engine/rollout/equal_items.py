"""Which items of a rollout say the same, and which requests begin alike. Needed once a conversation has branched."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from gym_core.domain.responses import Item

NEW = -1
"""The class of an item that nobody has said yet."""


class EqualItems:
    """The items of a recording by what they say. Two are equal where Python says so of the JSON that they are.

    `items`: those recorded, `handed_out`: the objects that others hold, which are mostly what is asked for.
    `classes`: of each item the number of the first that says the same.
    """

    __slots__ = ("_handed_out", "_items", "_known", "_numbers", "classes")

    def __init__(self, items: Sequence[Item], handed_out: Sequence[Item]) -> None:
        self._items = items
        self._handed_out = handed_out
        self._known: dict[int, int] = {}
        self._numbers: dict[Hashable, list[int]] = {}
        self.classes: list[int] = []

    def catch_up(self) -> None:
        """Take note of items that were recorded since."""
        for number in range(len(self.classes), len(self._items)):
            numbers = self._numbers.setdefault(_key(self._items[number]), [])
            numbers.append(number)
            self.classes.append(numbers[0])
            self._known[id(self._handed_out[number])] = number

    def class_of(self, item: Item) -> int:
        """The number of the first item that says the same, `NEW` where there is none."""
        known = self._known.get(id(item))
        if known is not None and self._items[known] == item:
            return self.classes[known]
        numbers = self._numbers.get(_key(item))
        return numbers[0] if numbers else NEW

    def number_after(self, item: Item, before: int) -> int:
        """The number of the first item after another that says the same, else of the first of all; `NEW` without."""
        found = self.class_of(item)
        if found == NEW:
            return NEW
        numbers = self._numbers[_key(self._items[found])]
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


class _Branch:
    __slots__ = ("branches", "latest", "part")

    def __init__(self, part: list[int], latest: int, branches: dict[int, _Branch] | None = None) -> None:
        self.part = part
        self.latest = latest
        self.branches: dict[int, _Branch] = branches if branches is not None else {}


class PrefixTree:
    """The paths of an actor's model calls, as classes of items: those that begin alike share a branch.

    A path costs at most two branches, whose parts together are no longer than what it does not share.
    """

    __slots__ = ("_root",)

    def __init__(self) -> None:
        self._root = _Branch([], -1)

    def add(self, path: Sequence[int], number: int) -> None:
        """Add the path of the call of this number, which is higher than all before."""
        branch, at = self._root, 0
        while at < len(path):
            below = branch.branches.get(path[at])
            if below is None:
                branch.branches[path[at]] = _Branch([*path[at:]], number)
                return
            size = common(path[at : at + len(below.part)], below.part)
            at += size
            if size < len(below.part):
                upper = _Branch(below.part[:size], number, {below.part[size]: below})
                branch.branches[upper.part[0]] = upper
                below.part = below.part[size:]
                branch = upper
            else:
                below.latest = number
                branch = below

    def find(self, request: Sequence[int]) -> tuple[int, int | None]:
        """How many items a request shares with the path that shares most, and the latest call of such a path."""
        branch, at, latest = self._root, 0, None
        while at < len(request):
            below = branch.branches.get(request[at])
            if below is None:
                break
            size = common(request[at : at + len(below.part)], below.part)
            at += size
            latest = below.latest
            if size < len(below.part):
                break
            branch = below
        return at, latest


def common(one: Sequence[Any], other: Sequence[Any]) -> int:
    """How many elements two lists have in common from their start on."""
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    # Comparing runs of them is done in C: halving the run is faster than going from one to the next.
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low
