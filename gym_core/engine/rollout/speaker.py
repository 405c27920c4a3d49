"""How an actor speaks: what its model has seen and said, and which of its calls the next one continues.

While each request goes on from the one before it, nothing else is kept. Once one does not, items are told apart by what
they say (`EqualItems`), and the paths of the actor's calls are known by their beginnings (`PrefixTree`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, compress, count, islice
from operator import ne
from typing import Any

from gym_core.domain.responses import Item


@dataclass(slots=True, eq=False)
class Speaker:
    """An actor as the recording knows it.

    `path`: the items that its model has seen and said, up to its last call and with what the session has said to it
    since, and `numbers` theirs; `length`: how many of them belong to the call. `last`: the number of that call, None
    before the first. `unanswered`: the numbers of the function calls that its model wrote and nobody has carried out.
    `paths`: those of all its calls; None as long as each went on from the one before.
    """

    name: str
    role: str
    path: list[Item] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    length: int = 0
    last: int | None = None
    unanswered: list[int] = field(default_factory=list)
    paths: PrefixTree | None = None

    def part(self, equal: EqualItems) -> PrefixTree:
        """Have the paths of its calls. Until now each was the beginning of the next, so that the last is all of them.

        `equal`: all items that were recorded.
        """
        if self.paths is None:
            self.paths = PrefixTree()
            if self.last is not None:
                self.plant(0, equal)
        return self.paths

    def plant(self, shared: int, equal: EqualItems) -> None:
        """Add the path of its last call. `shared`: how many of its items are the first ones of the call's before."""
        if self.paths is not None and self.last is not None:
            numbers = self.numbers[shared : self.length]
            self.paths.add(shared, map(equal.classes.__getitem__, numbers), self.last)

    def continued(self, items: Sequence[Item], followed: int, equal: EqualItems) -> tuple[int | None, int]:
        """Which of its calls shares most with a request, and how many items; nothing where those only instruct.

        `followed`: how many items of `path` the request begins with.
        """
        begin = min(followed, self.length)
        known = map(equal.classes.__getitem__, self.numbers[begin:followed])
        kept, call = self.part(equal).find(begin, chain(known, map(equal.class_of, items[followed:])))
        return (None, 0) if all(map(instructs, islice(items, kept))) else (call, kept)


@dataclass(slots=True, eq=False)
class Question:
    """What is known of a model call when it begins.

    `continues`, `kept`: as they will be recorded. `shown`: the numbers of what it shows beyond that, as far as they are
    known; `given`: the agent's own objects of the items after those, and `copies` of them. `goes_on`: whether it begins
    with all that its actor's last call was shown and gave.
    """

    continues: int | None
    kept: int
    shown: list[int]
    given: Sequence[Item]
    copies: Sequence[Item]
    goes_on: bool


def instructs(item: Item) -> bool:
    """Whether an item is a system prompt, as conversations that have nothing else in common begin with."""
    return item.get("role") in _INSTRUCTING and item.get("type", "message") == "message"


_INSTRUCTING = frozenset({"system", "developer"})


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
