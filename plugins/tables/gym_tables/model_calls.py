"""The model calls of a rollout as flat rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gym_core import Rollout, Usage
from gym_core.spi import Column

MODEL_CALLS: Mapping[str, Column] = {
    "actor": str,
    "role": str,
    "model": str,
    "verifies": bool,
    "started": float,
    "latency": float,
    "waited": float,
    "attempts": int,
    "input_tokens": int,
    "output_tokens": int,
    "cost": float,
    "sampled_tokens": int,
    "version": str,
    "broken": bool,
}


def model_call_rows(rollout: Rollout) -> Iterator[Mapping[str, Any]]:
    """Each model call in the order in which they were recorded. `started`: seconds from the rollout's start."""
    for call in rollout.trajectory.model_calls:
        usage = Usage.of(call.usage)
        tokens = call.tokens if call.tokens is not None and not call.tokens.problem else None
        yield {
            "actor": call.actor,
            "role": call.role,
            "model": None if call.model is None else str(call.model),
            "verifies": call.verifies,
            "started": call.at,
            "latency": call.latency,
            "waited": call.waited,
            "attempts": call.attempts,
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cost": call.cost,
            "sampled_tokens": None if tokens is None else len(tokens.sampled),
            "version": None if tokens is None else tokens.version,
            "broken": None if tokens is None else tokens.broken,
        }
