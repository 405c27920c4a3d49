"""Items that were handed out over HTTP, told again when they come back as other clients write them.

The record knows an item by what it says, word for word. What comes from a client library means the same, and says it
otherwise; giving the engine the item that it knows keeps the record the same.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import orjson

from gym_core import FunctionCall, Item, encode_json
from gym_core.responses import call_id_of, content_parts, item_text
from gym_core.spi import arguments_text, id_text

_TEXT_PARTS = ("input_text", "output_text", "text")


class HandedOut:
    """The items of one rollout as its agent has them: what it was given and what it added, in order."""

    __slots__ = ("_items", "_places", "_sorted")

    def __init__(self, items: Sequence[Item]) -> None:
        self._items: list[Item] = [*items]
        self._places: dict[Hashable, list[int]] = {}
        self._sorted = 0

    def add(self, items: Sequence[Item]) -> None:
        """Note items that the agent is given now."""
        self._items += items

    def tell(self, received: Sequence[Item], *, chat: bool = False) -> list[Item]:
        """The items as they were handed out, where they mean the same; the others are noted as the agent's own.

        `chat`: they were chat messages, which have no reasoning: that is put back.
        """
        known, places = self._items, self._by_meaning()
        found: list[Item] = []
        at = 0
        for item in received:
            candidates = places.get(_gist(item))
            if candidates is None:
                known.append(item)
                found.append(item)
                continue
            place = next((place for place in candidates if place >= at), candidates[0])
            if chat and place > at and all(_is_reasoning(skipped) for skipped in known[at:place]):
                found += known[at:place]
            found.append(known[place])
            at = place + 1
        return found

    def called(self, calls: Sequence[Item]) -> list[Item]:
        """Function calls as they were handed out; one that the agent made up stays as it is."""
        places = self._by_meaning()
        told = (places.get(_gist(call)) for call in calls)
        return [call if at is None else self._items[at[-1]] for call, at in zip(calls, told, strict=True)]

    def _by_meaning(self) -> Mapping[Hashable, list[int]]:
        for place in range(self._sorted, len(self._items)):
            self._places.setdefault(_gist(self._items[place]), []).append(place)
        self._sorted = len(self._items)
        return self._places


def _is_reasoning(item: Item) -> bool:
    return item.get("type") == "reasoning"


def _exact(item: Any) -> Hashable:
    return encode_json(item, orjson.OPT_SORT_KEYS)


def _gist(item: Item) -> Hashable:
    """What an item says to a model, whatever client wrote it."""
    kind = item.get("type") or "message"
    if kind == "message":
        return kind, item.get("role"), _words(item)
    if kind.endswith("_call_output"):
        return kind, id_text(item.get("call_id")), _words({"content": item.get("output")})
    if kind.endswith("_call"):
        written = FunctionCall(item).arguments if kind == "function_call" else _given(item)
        return kind, call_id_of(item), item.get("name"), written
    said = {name: item[name] for name in ("content", "summary", "encrypted_content") if item.get(name)}
    return kind, _exact(said or {"id": item.get("id")})


def _given(item: Item) -> str:
    return arguments_text(item.get("arguments") or item.get("input"))


def _words(item: Item) -> Hashable:
    parts = content_parts(item)
    if all(part.get("type") in _TEXT_PARTS for part in parts):
        return item_text(item)
    return _exact(item.get("content"))
