"""Models with bounds and prices, for tests of budgets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gym_core import Options, Response
from tests.support.loop import settle
from tests.support.models import ScriptedModel, response, say

PRICES = "[scripted]\ninput = 1\noutput = 10\n"
"""A price file for `bounded`."""


class Bounded(Options):
    """Options of a model whose answers have a bound."""

    max_output_tokens: int = 100


class BoundedModel(ScriptedModel):
    """A model that answers with at most 100 tokens and is asked again at once."""

    max_retries = 3


def bounded(*script: Any, **given: Any) -> ScriptedModel:
    """A model that answers with at most 100 tokens, because the user said so."""
    return BoundedModel(*script, options=Bounded(max_output_tokens=100), **given)


def using(inputs: int, outputs: int, text: str = "done") -> Response:
    """An answer that took so many tokens."""
    return response(say(text), usage={"input_tokens": inputs, "output_tokens": outputs})


async def until(condition: Callable[[], object]) -> None:
    """Let others run until something holds."""
    while not condition():
        await settle(1)
