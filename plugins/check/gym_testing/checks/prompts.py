"""What a model is told at first, as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gym_core import Request
from gym_core.responses import item_text


def texts(items: Iterable[Mapping[str, Any]]) -> list[str]:
    """The texts of the messages among the items, empty ones left out."""
    found = (item_text(item) for item in items if item.get("type", "message") == "message")
    return [text for text in found if text.strip()]


def prompt_of(request: Request) -> str:
    """Instructions and messages of a request, a paragraph each."""
    instructions = request.instructions
    return "\n".join([instructions, *texts(request.input)] if instructions else texts(request.input))
