"""What a trainer trains on: the branches of a rollout's conversations as tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from gym_core.domain.conversation import MAIN, ModelCall, ToolRun, answers_that_stand
from gym_core.domain.responses import Item
from gym_core.domain.tokens import CallTokens, Tokens

Tries: TypeAlias = Literal["used", "all"]
Breaks: TypeAlias = Literal["split", "raise"]


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """One branch of an actor's conversations, as its model read and sampled it; nothing of it was encoded anew.

    `ids`: all tokens. `mask`: 1 for those that are trained, sampled ones, else 0; `logprobs`: theirs, 0.0 where the
    mask is 0. All of one length. `versions`: of the weights that sampled the trained ones, in order, each once.
    `reward`: the actor's, None for a rollout that failed. `calls`: the model calls, by their numbers, whose answers are
    trained here.
    """

    ids: Sequence[int]
    mask: Sequence[int]
    logprobs: Sequence[float]
    versions: tuple[str, ...]
    reward: float | None
    actor: str
    calls: tuple[int, ...]


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
    actors = dict.fromkeys(call.actor for call in calls if call.role == MAIN and not call.verifies)
    trained: set[int] = set()
    for actor in actors:
        mine = {
            number
            for number, call in enumerate(calls)
            if call.actor == actor and call.role == MAIN and not call.verifies and usable(call)
        }
        trained |= mine if tries == "all" else _used(calls, mine & answers_that_stand(calls, tools, actor), mine)
    if breaks == "raise":
        broken = [number for number in sorted(trained) if (tokens := calls[number].tokens) and tokens.broken]
        if broken:
            raise ValueError(
                f"model call {broken[0]} goes on from tokens that were encoded anew; so do {len(broken) - 1} others"
            )
    inner = _covered(calls, trained)
    sequences: list[TokenSequence] = []
    done: set[int] = set()
    for leaf in sorted(trained - inner):
        here = [number for number in _spans(calls, leaf) if number in trained and number not in done]
        done.update(here)
        actor = calls[leaf].actor
        if any(_tokens(calls, number).sampled for number in here):
            own = reward if actor == MAIN else rewards.get(actor, reward)
            sequences.append(_sequence(calls, leaf, here[::-1], own))
    return sequences


def usable(call: ModelCall) -> bool:
    """Whether a call has tokens."""
    return call.tokens is not None and not call.tokens.problem


def _used(calls: Sequence[ModelCall], used: set[int], mine: set[int]) -> set[int]:
    """Those whose answers stand, and those whose very tokens they go on from: an agent may write items anew."""
    return used | (_covered(calls, used) & mine)


def _covered(calls: Sequence[ModelCall], numbers: Iterable[int]) -> set[int]:
    """The calls of which all tokens are in the path of another of these."""
    found: set[int] = set()
    waiting = [*numbers]
    while waiting:
        leaf = waiting.pop()
        limit, number = _tokens(calls, leaf).kept, _before(calls, leaf)
        while number is not None:
            tokens = _tokens(calls, number)
            if tokens.length <= limit:
                if number not in found:
                    found.add(number)
                    waiting.append(number)  # what is in its path is in this one, too
                break
            limit, number = min(limit, tokens.kept), _before(calls, number)
    return found


def _tokens(calls: Sequence[ModelCall], number: int) -> CallTokens:
    tokens = calls[number].tokens
    assert tokens is not None
    return tokens


def _before(calls: Sequence[ModelCall], number: int) -> int | None:
    """The call whose tokens a call goes on from; what is no earlier call with tokens is none."""
    continues = _tokens(calls, number).continues
    return continues if continues is not None and 0 <= continues < number and usable(calls[continues]) else None


def _spans(calls: Sequence[ModelCall], leaf: int) -> list[int]:
    """The calls of which all tokens are in the path of `leaf`, itself first."""
    found: list[int] = []
    number: int | None = leaf
    limit = _tokens(calls, leaf).length
    while number is not None:
        tokens = _tokens(calls, number)
        if tokens.length <= limit:
            found.append(number)
        limit = min(limit, tokens.kept)
        number = _before(calls, number)
    return found


def path_ids(calls: Sequence[ModelCall], number: int, *, sampled: bool = True) -> list[int]:
    """The ids of all that a call read and, unless not `sampled`, wrote."""
    tokens = _tokens(calls, number)
    parts: list[Sequence[int]] = [tokens.sampled, tokens.prompt] if sampled else [tokens.prompt]
    kept, before = tokens.kept, _before(calls, number)
    while before is not None and kept > 0:
        tokens = _tokens(calls, before)
        if kept >= tokens.length:  # nearly always: all that was there
            parts += tokens.sampled, tokens.prompt
            kept = tokens.kept
        elif kept > tokens.kept:
            parts.append([*tokens.prompt, *tokens.sampled][: kept - tokens.kept])
            kept = tokens.kept
        before = _before(calls, before)
    ids: list[int] = []
    for part in reversed(parts):
        ids += part
    return ids


def _sequence(calls: Sequence[ModelCall], leaf: int, trained: Sequence[int], reward: float | None) -> TokenSequence:
    ids = path_ids(calls, leaf)
    mask, logprobs = [0] * len(ids), [0.0] * len(ids)
    versions: dict[str, None] = {}
    for number in trained:
        tokens = _tokens(calls, number)
        stop = tokens.length
        size = len(tokens.sampled)
        if size:
            mask[stop - size : stop] = [1] * size
            logprobs[stop - size : stop] = tokens.logprobs
            if tokens.version is not None:
                versions[tokens.version] = None
    return TokenSequence(ids, mask, logprobs, tuple(versions), reward, calls[leaf].actor, tuple(trained))


def with_tokens_on_items(items: Sequence[Item], start: int, calls: Sequence[ModelCall]) -> list[Item]:
    """Items whose places begin at `start`, with tokens where protocols carry them: on the last that a call gave."""
    found = [*items]
    for number, call in enumerate(calls):
        if usable(call) and call.gave:
            place = call.gave[-1][1] - 1 - start
            if 0 <= place < len(found):
                tokens = _tokens(calls, number)
                said = Tokens(path_ids(calls, number, sampled=False), tokens.sampled, tokens.logprobs)
                found[place] = {**found[place], **said.fields()}
    return found


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
