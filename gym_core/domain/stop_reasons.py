"""Why a model or an agent stopped."""

from __future__ import annotations

from enum import StrEnum

from gym_core.domain.nearest import nearest


class StopReason(StrEnum):
    """Why a model or an agent stopped: all the reasons there are. `StopReason("...")` raises `ValueError` for others.

    `empty`, `reasoning_only`: the response held nothing, or no more than reasoning. `incomplete`: it was cut for a
    reason that nobody knows. `max_rollout_tokens`: the rollout had used up what it may take.
    """

    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    EMPTY = "empty"
    REASONING_ONLY = "reasoning_only"
    REFUSAL = "refusal"
    CONTENT_FILTER = "content_filter"
    MAX_OUTPUT_TOKENS = "max_output_tokens"
    MAX_TURNS = "max_turns"
    CONTEXT_LENGTH = "context_length"
    MAX_ROLLOUT_TOKENS = "max_rollout_tokens"

    @classmethod
    def _missing_(cls, value: object) -> StopReason:
        near = nearest(str(value), cls)
        guess = f" (did you mean {near[0]}?)" if near else ""
        raise ValueError(f"{value!r:.80} is no stop reason{guess}; there are {', '.join(cls)}")


COMPLETED, INCOMPLETE = StopReason.COMPLETED, StopReason.INCOMPLETE
"""Every response is compared with these, and Python 3.11 takes long to find a member by its class."""

SESSION_DONE = "session_done"
BUDGET = "budget"
FINISH_AT = "finish_at"
"""Of a rollout that was let go."""

TRUNCATING = frozenset(
    {StopReason.MAX_OUTPUT_TOKENS, StopReason.MAX_TURNS, StopReason.CONTEXT_LENGTH, StopReason.MAX_ROLLOUT_TOKENS}
)
"""Stop reasons that mean the rollout was cut: its status is `truncated`, and it is verified all the same."""
