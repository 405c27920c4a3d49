"""What a session returned as items, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gym_core.domain.errors import SessionError
from gym_core.domain.json_text import JsonError, plain_json, written_as_it_is
from gym_core.domain.responses import Item


def checked_items(answer: Any, function: str) -> Sequence[Item]:
    """What `setup` or `reply` returned as items that can be written. Raises `SessionError` for anything else."""
    try:
        if isinstance(answer, list | tuple) and all(isinstance(item, dict) for item in answer):
            items: Sequence[Item] = written_as_it_is(answer)
            return items
        made = plain_json(answer)  # a generator, or models, say
    except JsonError as error:
        raise SessionError(f"`{function}` returned items that are no JSON: {error}") from None
    if not isinstance(made, list):
        raise SessionError(f"`{function}` returned {kind_of(answer)}; it must be a list of items")
    odd = next((item for item in made if not isinstance(item, dict)), None)
    if odd is not None or None in made:
        raise SessionError(f"`{function}` returned a list with {shown(odd)} in it; an item is an object")
    return made


def kind_of(value: Any) -> str:
    """The type of a value by its name, with its module where that says more."""
    kind = type(value)
    module = kind.__module__.partition(".")[0]
    shape = getattr(value, "shape", ())
    about = f" of shape {tuple(shape)}" if isinstance(shape, tuple) and shape else ""
    return kind.__name__ + about if module in ("builtins", "") else f"{module}.{kind.__name__}{about}"


def shown(value: Any) -> str:
    """A value in a message."""
    try:
        text = repr(value)
    except Exception:
        return "something"
    return text if len(text) <= 100 else f"{text[:100]}..."
