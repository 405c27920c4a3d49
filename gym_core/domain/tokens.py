"""The tokens of model calls: what a server read and sampled, as it said it, never encoded anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
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

    prompt: Sequence[int] = ()
    sampled: Sequence[int] = ()
    logprobs: Sequence[float] = ()
    version: str | None = None
    routed_experts: Any = None
    problem: str = ""

    def fields(self) -> dict[str, Any]:
        """The tokens as protocols carry them on items: in tuples, which nobody copies or changes."""
        return dict(zip(TOKEN_FIELDS, map(tuple, (self.prompt, self.sampled, self.logprobs)), strict=True))

    def on_items(self, output: Sequence[Item]) -> list[Item]:
        """A call's items with its tokens on the last of them."""
        return [*output[:-1], {**output[-1], **self.fields()}] if output and not self.problem else [*output]


@dataclass(slots=True)
class CallTokens:
    """The tokens of one model call as a rollout records them: what is new in them.

    `continues`: the earlier call, by its number, whose tokens the prompt begins with, None where it begins anew;
    `kept`: how many of them. `prompt`: the ids after those; `sampled`, `logprobs`, `version`, `routed_experts`: see
    `Tokens`. `broken`: whether the conversation went on from a call whose tokens the prompt does not begin with, so
    that what was sampled was encoded anew. `problem`: why there are no tokens, empty where there are.
    """

    continues: int | None = None
    kept: int = 0
    prompt: Sequence[int] = ()
    sampled: Sequence[int] = ()
    logprobs: Sequence[float] = ()
    version: str | None = None
    routed_experts: Any = None
    broken: bool = False
    problem: str = ""

    @property
    def length(self) -> int:
        """How many tokens were read and sampled."""
        return self.kept + len(self.prompt) + len(self.sampled)

    def to_wire(self) -> dict[str, Any]:
        """The tokens as they stand in a row."""
        if self.problem:
            return {"problem": self.problem}
        wire: dict[str, Any] = {
            "continues": self.continues,
            "kept": self.kept,
            "prompt": [*self.prompt],
            "sampled": self.sampled,
            "logprobs": self.logprobs,
            "version": self.version,
        }
        if self.routed_experts is not None:
            wire["routed_experts"] = self.routed_experts
        if self.broken:
            wire["break"] = True
        return wire

    @classmethod
    def of(cls, wire: Any) -> CallTokens | None:
        """Tokens as they stand in a row; None where there are none or they are something else."""
        if not isinstance(wire, Mapping):
            return None
        if wire.get("problem"):
            return cls(problem=str(wire["problem"]))
        continues, kept, version = wire.get("continues"), wire.get("kept"), wire.get("version")
        prompt, sampled, logprobs = wire.get("prompt"), wire.get("sampled"), wire.get("logprobs")
        if not (isinstance(prompt, list) and isinstance(sampled, list) and isinstance(logprobs, list)):
            return None
        if len(sampled) != len(logprobs):
            return cls(problem="ids and log probabilities of different lengths")
        if not _are_finite(logprobs):
            return cls(problem="log probabilities that are no finite numbers")
        return cls(
            continues if type(continues) is int else None,
            kept if type(kept) is int and type(continues) is int else 0,
            prompt,
            sampled,
            logprobs,
            str(version) if version is not None else None,
            wire.get("routed_experts"),
            wire.get("break") is True,
        )


def _are_finite(numbers: list[Any]) -> bool:
    try:
        return isfinite(sum(numbers))  # in C
    except (TypeError, OverflowError):
        return False


def without_tokens(item: Item) -> Item:
    """An item without tokens; the item itself where it carries none."""
    if SAMPLED_IDS not in item and PROMPT_IDS not in item and LOG_PROBS not in item:
        return item
    return {name: value for name, value in item.items() if name not in TOKEN_FIELDS}
