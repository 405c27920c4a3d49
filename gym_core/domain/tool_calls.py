"""Function calls as models write them: their arguments, their ids, and which output answers which call.

What a model wrote is kept as it is. Everybody reads it through the functions here, so that a tool, a verifier and a
server that is sent the conversation again agree on what it says.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gym_core.domain.arguments import arguments_text, has_id, is_sendable, sent_arguments
from gym_core.domain.responses import Item, Request, call_id_of, id_text

_ALIEN = re.compile(r"[^A-Za-z0-9_-]")
_NO_NAME = "unknown"


def sent_items(items: Sequence[Item], tools: Sequence[Mapping[str, Any]] = ()) -> Sequence[Item]:
    """A conversation as every server takes it: see `sent_arguments`. The same object where nothing is to be changed.

    `tools`: what the model is offered. A name that is none of theirs, and one that no tool could have, is changed as
    little as is needed. Where an id is missing or no text, as in histories that others wrote, calls are given theirs
    by `with_unique_ids`.
    """
    odd = [place for place, item in enumerate(items) if not is_sendable(item)]
    if not odd:
        return items
    changed = [*items]
    for place in odd:
        item = items[place]
        if item["type"] == "function_call":
            name = _sent_name(item.get("name"), tools)
            changed[place] = {**item, "arguments": sent_arguments(item.get("arguments")), "name": name}
    return changed if all(has_id(items[place]) for place in odd) else with_unique_ids(changed)


def sent_request(request: Request) -> Request:
    """A request whose conversation is one that every server takes; the same object where it is that already."""
    items = request.body.get("input")
    sent = sent_items(items, request.tools) if isinstance(items, list) else items
    return request if sent is items else Request({**request.body, "input": sent})


def _sent_name(name: Any, tools: Sequence[Mapping[str, Any]]) -> str:
    text = id_text(name)
    if any(tool.get("name") == text for tool in tools):
        return text
    return _ALIEN.sub("_", text)[:64] or _NO_NAME


def whole_call(call: Item) -> Item:
    """A call with the id and the text that everybody counts on; an id that is missing is made, unlike any other."""
    return {
        **call,
        "call_id": call_id_of(call) or new_call_id(),
        "arguments": arguments_text(call.get("arguments")),
    }


def new_call_id() -> str:
    """An id for a call that came without."""
    return f"call_{os.urandom(12).hex()}"


def answered_calls(items: Iterable[Mapping[str, Any]]) -> dict[int, int]:
    """Which call each output answers, as far as items tell: places of outputs among them, each with that of its call.

    By order, as ids may be repeated, missing or made up: an output belongs to the first call of its id in the latest
    response that has no output yet, then to one before; where either has no id, to the first without an output. So a
    call has one output, the first.
    """
    found: dict[int, int] = {}
    waiting: list[tuple[int, str]] = []
    latest = 0  # so many of those that wait are of the latest response: they come first
    answering = False
    for place, item in enumerate(items):
        kind = item.get("type")
        if kind == "function_call":
            if answering:
                latest, answering = 0, False
            waiting.insert(latest, (place, call_id_of(item)))
            latest += 1
        elif kind == "function_call_output":
            answering = True
            answered = id_text(item.get("call_id"))
            for number, (call, call_id) in enumerate(waiting):
                if call_id == answered or not call_id or not answered:
                    found[place] = call
                    del waiting[number]
                    latest -= number < latest
                    break
        elif kind == "message" and item.get("role") != "assistant":
            answering = True
    return found


def with_unique_ids(items: Sequence[Item], answers: Mapping[int, int] | None = None) -> list[Item]:
    """The items with ids that tell calls apart, for readers who pair calls and outputs by id.

    `answers`: the call that each output answers, both by their places among the items; read from the items by default.

    An id that an earlier call has, or that is missing, is replaced, in the call and in its output; an output that
    answers no call keeps an id only where no call has it.
    """
    if answers is None:
        answers = answered_calls(items)
    names: dict[int, str] = {}
    numbers: dict[str, int] = {}
    taken: set[str] = set()

    def new(own: str) -> str:
        name, number = own, numbers.get(own, 1)
        while name in taken:
            number += 1
            name = f"{own}_{number}"
        numbers[own] = number
        taken.add(name)
        return name

    for place, item in enumerate(items):
        if item.get("type") == "function_call":
            names[place] = new(call_id_of(item) or "call")
    unique: list[Item] = []
    for place, item in enumerate(items):
        name = names.get(answers.get(place, place), "")
        if item.get("type") == "function_call_output" and not name:
            own = id_text(item.get("call_id"))
            name = new(f"{own}_unasked") if own in taken else own
        unique.append({**item, "call_id": name} if name and item.get("call_id") != name else item)
    return unique
