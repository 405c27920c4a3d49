"""The exact tokens of a rollout: what a trainer trains on, a stretch at a time."""

from __future__ import annotations

from collections.abc import Sequence

from gym_core import TokenSequence
from gym_viewer.api.query import Query
from gym_viewer.api.rollout import Opened, open_rollout
from gym_viewer.api.shapes import SequenceAbout, TokenCall, TokensView
from gym_viewer.library import Library, NotThere

_AT_ONCE = 5_000
_MOST = 50_000


def tokens(library: Library, query: Query) -> TokensView:
    """`/api/runs/RUN/rollouts/N/tokens`."""
    opened = open_rollout(library, query)
    return view_of(opened, query.count("sequence", 0), query.count("offset", 0), query.count("limit", _AT_ONCE, _MOST))


def view_of(opened: Opened, wanted: int, offset: int, limit: int) -> TokensView:
    """A stretch of a sequence, and what sequences there are. Raises `NotThere` for one that there is not."""
    sequences = opened.rollout.sequences()
    if wanted and wanted >= len(sequences):
        raise NotThere(f"there is no sequence {wanted}")
    shown = sequences[wanted] if sequences else None
    stop = offset + limit
    return {
        "calls": [_call(opened, number) for number in range(len(opened.talks.calls))],
        "sequences": [_about(opened, sequence) for sequence in sequences],
        "sequence": wanted,
        "total": len(shown.ids) if shown is not None else 0,
        "offset": offset,
        "ids": [*shown.ids[offset:stop]] if shown is not None else [],
        "mask": [*shown.mask[offset:stop]] if shown is not None else [],
        "logprobs": [*shown.logprobs[offset:stop]] if shown is not None else [],
        "starts": _starts(opened, shown.calls) if shown is not None else [],
    }


def _call(opened: Opened, number: int) -> TokenCall:
    call = opened.talks.calls[number]
    found = call.tokens
    logprobs = [one for one in found.logprobs if isinstance(one, int | float)] if found is not None else []
    return {
        "call": number,
        "turn": opened.talks.turn_of(number),
        "actor": call.actor,
        "kept": found.kept if found is not None else 0,
        "prompt": len(found.prompt) if found is not None else 0,
        "sampled": len(found.sampled) if found is not None else 0,
        "broken": found is not None and found.broken,
        "version": found.version if found is not None else None,
        "problem": found.problem if found is not None else "no tokens were asked for",
        "mean_logprob": sum(logprobs) / len(logprobs) if logprobs else None,
    }


def _about(opened: Opened, sequence: TokenSequence) -> SequenceAbout:
    return {
        "actor": sequence.actor,
        "length": len(sequence.ids),
        "trained": sum(sequence.mask),
        "versions": [*sequence.versions],
        "reward": sequence.reward,
        "turns": [opened.talks.turn_of(call) for call in sequence.calls],
    }


def _starts(opened: Opened, calls: Sequence[int]) -> list[tuple[int, int]]:
    starts = []
    for number in calls:
        found = opened.talks.calls[number].tokens
        if found is not None:
            starts.append((found.length - len(found.sampled), opened.talks.turn_of(number)))
    return starts
