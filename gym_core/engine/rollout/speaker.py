"""How an actor speaks: what its model has seen and said, and what is known of a request before it is answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

from gym_core.domain.responses import Item
from gym_core.engine.rollout.equal_items import EqualItems, PrefixTree


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
