"""Which items of a rollout say the same, and which requests begin alike. Needed once a conversation has branched."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Mapping, Sequence
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


class _Branch:
    __slots__ = ("branches", "latest", "part")

    def __init__(self, part: list[int], latest: int, branches: dict[int, _Branch] | None = None) -> None:
        self.part = part
        self.latest = latest
        self.branches: dict[int, _Branch] = branches if branches is not None else {}


class PrefixTree:
    """The paths of an actor's model calls, as classes of items: those that begin alike share a branch.

    A path costs at most two branches, whose parts together are no longer than what it does not share. One that begins
    as the path before it did, which nearly all do, costs no more time either: the walk begins where the two part.
    """

    __slots__ = ("_ends", "_number", "_path", "_root", "_walked")

    def __init__(self) -> None:
        self._root = _Branch([], -1)
        self._path: list[int] = []
        self._number = -1
        # The branches of the last path, and where each ends in it. Their `latest` is written when the walk leaves them.
        self._walked: list[_Branch] = []
        self._ends: list[int] = []

    def add(self, shared: int, rest: Sequence[int], number: int) -> None:
        """Add the path of the call of this number, which is higher than all before.

        `shared`: how many of its items are the first ones of the last path that was added; `rest`: those after them.
        """
        branch, at = self._leave(shared)
        path = self._path
        path[shared:] = rest
        self._number = number
        while at < len(path):
            below = branch.branches.get(path[at])
            if below is None:
                below = branch.branches[path[at]] = _Branch(path[at:], number)
                at = len(path)
            else:
                size = common(path[at : at + len(below.part)], below.part)
                at += size
                if size < len(below.part):
                    upper = _Branch(below.part[:size], number, {below.part[size]: below})
                    branch.branches[upper.part[0]] = upper
                    below.part = below.part[size:]
                    below = upper
            self._walked.append(below)
            self._ends.append(at)
            branch = below

    def _leave(self, shared: int) -> tuple[_Branch, int]:
        """Go back on the last path to the end of a branch; returns that and where it is."""
        keep = bisect_right(self._ends, shared)
        for branch in self._walked[keep:]:
            branch.latest = self._number
        del self._walked[keep:], self._ends[keep:]
        return (self._walked[-1], self._ends[-1]) if keep else (self._root, 0)

    def find(self, shared: int, rest: Sequence[int]) -> tuple[int, int | None]:
        """How many items a request shares with the path that shares most, and the latest call of such a path.

        `shared`, `rest`: as for `add`.
        """
        keep = bisect_right(self._ends, shared)
        branch, begin = (self._walked[keep - 1], self._ends[keep - 1]) if keep else (self._root, 0)
        latest = self._number if keep else None
        request = [*self._path[begin:shared], *rest]
        at, end = 0, len(request)
        while at < end:
            below = branch.branches.get(request[at])
            if below is None:
                break
            size = common(request[at : at + len(below.part)], below.part)
            at += size
            latest = self._number if self._is_walked(below, keep) else below.latest
            keep += 1
            if size < len(below.part):
                break
            branch = below
        return begin + at, latest

    def _is_walked(self, branch: _Branch, depth: int) -> bool:
        return depth < len(self._walked) and self._walked[depth] is branch


def common(one: Sequence[Any], other: Sequence[Any]) -> int:
    """How many elements two lists have in common from their start on."""
    # All of it is done in C, element by element: most lists of items part near their ends.
    return next(compress(count(), map(ne, one, other)), min(len(one), len(other)))
