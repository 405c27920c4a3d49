"""What a trainer trains on: the branches of a rollout's conversations as tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from gym_core.domain.conversation import MAIN, ModelCall, ToolRun, answers_that_stand
from gym_core.domain.tokens import CallTokens

Tries: TypeAlias = Literal["used", "all"]
Breaks: TypeAlias = Literal["split", "raise"]


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """One branch of an actor's conversations, as its model read and sampled it; nothing of it was encoded anew.

    `ids`: all tokens. `mask`: 1 for those that are trained, sampled ones, else 0; `logprobs`: theirs, 0.0 where the
    mask is 0. All of one length. `versions`: of the weights that sampled the trained ones, in order, each once.
    `reward`: the actor's, None for a rollout that failed. `calls`: the model calls, by their numbers, whose answers are
    trained here. `stretches`: where trained tokens begin and end, in order; what touches is one.
    """

    ids: Sequence[int]
    mask: Sequence[int]
    logprobs: Sequence[float]
    versions: tuple[str, ...]
    reward: float | None
    actor: str
    calls: tuple[int, ...]
    stretches: tuple[tuple[int, int], ...]


def token_sequences(
    calls: Sequence[ModelCall],
    tools: Iterable[ToolRun],
    reward: float | None,
    rewards: Mapping[str, float],
    *,
    tries: Tries = "used",
    breaks: Breaks = "split",
) -> list[TokenSequence]:
    """The sequences of the actors with role policy, in the order in which their last calls ended.

    Raises `ValueError` for other words, and with `breaks="raise"` where tokens were encoded anew.
    """
    if tries not in ("used", "all"):
        raise ValueError(f'`tries` is "used" or "all", not {tries!r}')
    if breaks not in ("split", "raise"):
        raise ValueError(f'`breaks` is "split" or "raise", not {breaks!r}')
    tools = [*tools]
    paths = TokenPaths.of(calls)
    actors: dict[str, set[int]] = {}
    for number, call in enumerate(calls):
        if call.role == MAIN and not call.verifies:
            mine = actors.setdefault(call.actor, set())
            if paths.tokens[number] is not None:
                mine.add(number)
    trained: set[int] = set()
    for actor, mine in actors.items():
        trained |= mine if tries == "all" else _used(paths, mine & answers_that_stand(calls, tools, actor), mine)
    if breaks == "raise":
        broken = [number for number in sorted(trained) if (tokens := calls[number].tokens) and tokens.broken]
        if broken:
            raise ValueError(
                f"model call {broken[0]} goes on from tokens that were encoded anew; so do {len(broken) - 1} others"
            )
    sequences: list[TokenSequence] = []
    done: set[int] = set()
    for leaf in sorted(trained - paths.covered(trained)):
        here = [number for number in paths.spans(leaf) if number in trained and number not in done]
        done.update(here)
        actor = calls[leaf].actor
        own = reward if actor == MAIN else rewards.get(actor, reward)
        sequence = _sequence(paths, leaf, here[::-1], own, actor)
        if sequence is not None:
            sequences.append(sequence)
    return sequences


def _used(paths: TokenPaths, used: set[int], mine: set[int]) -> set[int]:
    """Those whose answers stand, and those whose very tokens they go on from: an agent may write items anew."""
    return used | (paths.covered(used) & mine)


@dataclass(frozen=True, slots=True)
class TokenPaths:
    """The tokens of model calls, each of which goes on from those of an earlier one or begins anew.

    By the number of a call: its tokens, None where it has none that can be used; how many it read and sampled; and the
    call that it goes on from: what is no earlier one with tokens is none.
    """

    tokens: list[CallTokens | None]
    lengths: list[int]
    before: list[int | None]

    @classmethod
    def of(cls, calls: Sequence[ModelCall]) -> TokenPaths:
        """Those of the model calls of a rollout."""
        found = [None if call.tokens is None or call.tokens.problem else call.tokens for call in calls]
        before: list[int | None] = [None] * len(found)
        for number, tokens in enumerate(found):
            if tokens is not None:
                continues = tokens.continues
                if continues is not None and 0 <= continues < number and found[continues] is not None:
                    before[number] = continues
        return cls(found, [0 if tokens is None else tokens.length for tokens in found], before)

    def at(self, number: int) -> CallTokens:
        """The tokens of a call that has some."""
        tokens = self.tokens[number]
        assert tokens is not None
        return tokens

    def covered(self, numbers: Iterable[int]) -> set[int]:
        """The calls of which all tokens are in the path of another of these."""
        lengths, before = self.lengths, self.before
        found: set[int] = set()
        waiting = [*numbers]
        while waiting:
            leaf = waiting.pop()
            number = before[leaf]
            if number is not None:
                limit = self.at(leaf).kept
                while number is not None and lengths[number] > limit:
                    limit, number = min(limit, self.at(number).kept), before[number]
                if number is not None and number not in found:
                    found.add(number)
                    waiting.append(number)  # what is in its path is in this one, too
        return found

    def spans(self, leaf: int) -> list[int]:
        """The calls of which all tokens are in the path of `leaf`, itself first."""
        found: list[int] = []
        number: int | None = leaf
        limit = self.lengths[leaf]
        while number is not None:
            if self.lengths[number] <= limit:
                found.append(number)
            limit, number = min(limit, self.at(number).kept), self.before[number]
        return found

    def ids(self, number: int, *, sampled: bool = True) -> list[int]:
        """The ids of all that a call read and, unless not `sampled`, wrote."""
        tokens = self.at(number)
        parts: list[Sequence[int]] = [tokens.sampled, tokens.prompt] if sampled else [tokens.prompt]
        kept, before = tokens.kept, self.before[number]
        while before is not None and kept > 0:
            tokens = self.at(before)
            if kept >= self.lengths[before]:  # nearly always: all that was there
                parts += tokens.sampled, tokens.prompt
                kept = tokens.kept
            elif kept > tokens.kept:
                parts.append([*tokens.prompt, *tokens.sampled][: kept - tokens.kept])
                kept = tokens.kept
            before = self.before[before]
        ids: list[int] = []
        for part in reversed(parts):
            ids += part
        return ids


def _sequence(
    paths: TokenPaths, leaf: int, trained: Sequence[int], reward: float | None, actor: str
) -> TokenSequence | None:
    """A branch; None where nothing was sampled in it."""
    spans = [
        (paths.lengths[number], size, tokens)
        for number in trained
        if (size := len((tokens := paths.at(number)).sampled))
    ]
    if not spans:
        return None
    ids = paths.ids(leaf)
    mask, logprobs = [0] * len(ids), [0.0] * len(ids)
    versions: dict[str, None] = {}
    stretches: list[tuple[int, int]] = []
    for stop, size, tokens in spans:
        start = stop - size
        mask[start:stop] = [1] * size
        logprobs[start:stop] = tokens.logprobs
        begun = stretches.pop()[0] if stretches and stretches[-1][1] == start else start
        stretches.append((begun, stop))
        if tokens.version is not None:
            versions[tokens.version] = None
    return TokenSequence(ids, mask, logprobs, (*versions,), reward, actor, (*trained,), (*stretches,))


def token_account(calls: Iterable[ModelCall]) -> dict[str, Any]:
    """What a row says of the tokens of its calls as a whole, as far as there is something to say.

    `token_breaks`: calls that went on from tokens that were encoded anew. `token_problems`: calls without tokens.
    `weight_versions`: those that the calls of the policies mix, where there are several.
    """
    breaks = problems = 0
    versions: dict[str, None] = {}
    for call in calls:
        if call.tokens is not None:
            breaks += call.tokens.broken
            problems += bool(call.tokens.problem)
            if call.role == MAIN and call.tokens.version is not None:
                versions[call.tokens.version] = None
    account: dict[str, Any] = {"token_breaks": breaks, "token_problems": problems}
    account = {name: count for name, count in account.items() if count}
    return {**account, "weight_versions": [*versions]} if len(versions) > 1 else account
