"""The model backend of the kit, with the numbers and the shorthands of these tests."""

from __future__ import annotations

import json
from typing import Any

from gym_core import Item, Response
from gym_testing import models as kit
from gym_testing import say

__all__ = ["USAGE", "ScriptedModel", "Turn", "call", "response", "say"]

Turn = kit.ModelTurn

USAGE = {"input_tokens": 10, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 4}}


class ScriptedModel(kit.ScriptedModel):
    """Answers with `USAGE`."""

    usage = USAGE


def call(name: str, arguments: Any = None, call_id: str = "c1") -> Item:
    """A function call; `arguments` as text stand as they are."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": text}


def response(*output: Item, usage: Any = USAGE, **fields: Any) -> Response:
    """A response with these output items."""
    return kit.response(*output, usage=usage, **fields)
