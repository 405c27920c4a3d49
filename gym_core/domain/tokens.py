"""The tokens of model calls: what a server read and sampled, as it said it, never encoded anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gym_core.domain.responses import Item

TOKEN_FIELDS = ("prompt_token_ids", "generation_token_ids", "generation_log_probs")
"""What protocols that carry tokens on items call them; they stand on the last item that a call gave."""

PROMPT_IDS, SAMPLED_IDS, LOG_PROBS = TOKEN_FIELDS


@dataclass(slots=True)
class Tokens:
    """The tokens of one model call.

    `prompt`: the ids of all that the model read; `sampled`: the ids of what it wrote, the end of its turn included
    where the server says it; `logprobs`: one for each of those. `version`: of the weights. `routed_experts`: as the
    server sent them. `problem`: why there are none, empty where there are.
    """

    prompt: Sequence[int]
    sampled: Sequence[int]
    logprobs: Sequence[float]
    version: str | None = None
    routed_experts: Any = None
    problem: str = ""

    def fields(self) -> dict[str, Any]:
        """The tokens as protocols carry them on items: in tuples, which nobody copies or changes."""
        return dict(zip(TOKEN_FIELDS, map(tuple, (self.prompt, self.sampled, self.logprobs)), strict=True))

    def on_items(self, output: Sequence[Item]) -> list[Item]:
        """A call's items with its tokens on the last of them."""
        return [*output[:-1], {**output[-1], **self.fields()}] if output and not self.problem else [*output]


def tokens_on(item: Mapping[str, Any]) -> Tokens | None:
    """The tokens that an item carries; None unless all three fields are there, as lists, and of fitting lengths."""
    prompt, sampled, logprobs = (item.get(name) for name in TOKEN_FIELDS)
    if not all(isinstance(value, list | tuple) for value in (prompt, sampled, logprobs)):
        return None
    if len(sampled) != len(logprobs):  # type: ignore[arg-type]
        return None
    return Tokens(prompt, sampled, logprobs)  # type: ignore[arg-type]


def without_tokens(item: Item) -> Item:
    """An item without tokens; the item itself where it carries none."""
    if SAMPLED_IDS not in item and PROMPT_IDS not in item and LOG_PROBS not in item:
        return item
    return {name: value for name, value in item.items() if name not in TOKEN_FIELDS}
