"""Items that were handed out over HTTP, told again when they come back as copies.

In process an agent sends the very objects that it was given, and the engine records a conversation as stretches of what
is there already. What comes over HTTP is a copy, of which an agent may have left items out, put some in another order,
or, with a client library, written some otherwise. Giving the engine the object it knows keeps the record the same.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import orjson

from gym_core import FunctionCall, Item, encode_json
from gym_core.responses import call_id_of, content_parts, item_text
from gym_core.spi import arguments_text, id_text

_TEXT_PARTS = ("input_text", "output_text", "text")


class HandedOut:
    """The conversation of one rollout as its agent has it: what it was given and what it added, in order."""

    __slots__ = ("_items",)

    def __init__(self, items: Sequence[Item]) -> None:
        self._items: list[Item] = [*items]

    def add(self, items: Sequence[Item]) -> None:
        """Note items that the agent is given now."""
        self._items += items

    def tell(self, received: Sequence[Item], *, exactly: bool = True) -> list[Item]:
        """The items as the objects that were handed out, where they are; the others are noted as the agent's own.

        `exactly`: a copy says the very same. Otherwise it is enough that it means the same, for agents whose client
        adds ids and empty fields, or speaks Chat Completions, which has no reasoning: that is put back then.
        """
        known = self._items
        if received == known[: len(received)]:
            return known[: len(received)]
        meaning = _exact if exactly else _gist
        places: dict[Hashable, list[int]] = {}
        for place, item in enumerate(known):
            places.setdefault(meaning(item), []).append(place)
        found: list[Item] = []
        at = 0
        for item in received:
            candidates = places.get(meaning(item))
            if candidates is None:
                known.append(item)
                found.append(item)
                continue
            place = next((place for place in candidates if place >= at), candidates[0])
            if not exactly and place > at and all(_is_reasoning(skipped) for skipped in known[at:place]):
                found += known[at:place]
            found.append(known[place])
            at = place + 1
        return found


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
