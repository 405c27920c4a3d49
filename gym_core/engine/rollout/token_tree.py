"""The tokens of an actor's model calls while a rollout runs: each call keeps what is new in it.

What a prompt shares with earlier calls is found by comparing ids, in C and never one by one: a conversation that goes
on begins with all the tokens of its last call, which one comparison tells. Only where that fails are the other calls
looked through, each as far as the prompt goes along with it. Memory is that of the new tokens, and of one whole path.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import isfinite
from typing import Any, TypeAlias

from gym_core.domain.tokens import CallTokens, Tokens
from gym_core.engine.rollout.speaker import common

Ids: TypeAlias = "array[int]"


class _Node:
    """A call: its path is the first `kept` ids of its parent's, and `ids`. `length`: of all that."""

    __slots__ = ("ids", "kept", "length", "number", "parent")

    def __init__(self, number: int, parent: int | None, kept: int, ids: Ids) -> None:
        self.number = number
        self.parent = parent
        self.kept = kept
        self.ids = ids
        self.length = kept + len(ids)


class TokenTree:
    """The tokens of one actor's calls."""

    __slots__ = ("_model", "_nodes", "_path", "_places")

    def __init__(self) -> None:
        self._nodes: list[_Node] = []
        self._places: dict[int, int] = {}
        """Which node a call is, by its number in the rollout."""
        self._path: list[int] = []
        """All ids of the last call."""
        self._model: Any = None
        """The model that the first call with tokens was answered by, as its endpoint names it."""

    def add(self, number: int, tokens: Tokens, follows: int | None, model: Any = None) -> CallTokens:
        """Note the tokens of the call of this number.

        `follows`: the call whose conversation goes on in it, whole; where its tokens do not, that is a break. `model`:
        who answered. Tokens that are none, or those of another model than the first call's, are returned with the
        problem and stand in no path.
        """
        if tokens.problem:
            return CallTokens(problem=tokens.problem)
        if self._model is None:
            self._model = model
        elif model != self._model and _base(model) != _base(self._model):
            return CallTokens(
                problem=f"they are those of another model: {model!s:.80} answered, and {self._model!s:.80} before"
            )
        nodes, path = self._nodes, self._path
        goes_on = bool(path) and follows == nodes[-1].number and _begins(tokens.prompt, path)
        kept = len(path) if goes_on else 0
        try:
            prompt, sampled = array("q", tokens.prompt[kept:]), array("q", tokens.sampled)
            total = sum(tokens.logprobs)  # in C: whether all are numbers, and finite ones
        except (TypeError, OverflowError):
            return CallTokens(problem="ids or log probabilities that are no numbers")
        if len(sampled) != len(tokens.logprobs):
            return CallTokens(problem=f"{len(sampled)} sampled ids and {len(tokens.logprobs)} log probabilities")
        if not isfinite(total):  # of weights that have burst, say; in a row it would be null
            return CallTokens(problem="log probabilities that are not finite")
        # Ids that were sampled may come back as others, since a template dropped or re-encoded them. Nobody is
        # to train on these as if they were those: the path ends where they part, and what follows is prompt, masked.
        broken = False
        place: int | None = len(nodes) - 1
        if not goes_on:
            shared = self._shared(prompt)
            place = _latest_longest(shared)
            kept = shared[place] if place is not None else 0
            prompt = prompt[kept:]
            if follows is not None and follows in self._places:
                one = self._places[follows]
                broken = shared[one] < nodes[one].length
        continues = nodes[place].number if place is not None else None
        self._places[number] = len(nodes)
        nodes.append(_Node(number, place, kept, prompt + sampled))
        if not goes_on:
            path[:] = tokens.prompt[:kept]
        path += nodes[-1].ids
        return CallTokens(
            continues,
            kept,
            prompt,
            tokens.sampled,
            tokens.logprobs,
            tokens.version,
            tokens.routed_experts,
            broken,
        )

    def _shared(self, prompt: Ids) -> list[int]:
        """How many ids the prompt shares with the path of each call, from its beginning."""
        shared: list[int] = []
        for node in self._nodes:
            before = shared[node.parent] if node.parent is not None else 0
            if before >= node.kept:
                before = node.kept + common(prompt[node.kept : node.length], node.ids)
            shared.append(before)
        return shared


def _begins(prompt: Sequence[int], path: list[int]) -> bool:
    """Whether a prompt begins with a path."""
    if type(prompt) is not list or len(prompt) < len(path):
        return [*prompt[: len(path)]] == path
    rest = prompt[len(path) :]
    del prompt[len(path) :]  # for as long as it takes to compare: a copy of a long prompt takes as long again
    try:
        return prompt == path
    finally:
        prompt += rest


def _latest_longest(shared: Sequence[int]) -> int | None:
    longest = max(shared, default=0)
    if not longest:
        return None
    return len(shared) - 1 - shared[::-1].index(longest)


def _base(model: Any) -> str:
    """A model's name without the version that some write behind it, as `policy@17`."""
    return str(model).partition("@")[0]
