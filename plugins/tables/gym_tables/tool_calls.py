"""The tool calls of a rollout as flat rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gym_core import Rollout
from gym_core.spi import Column, Json

TOOL_CALLS: Mapping[str, Column] = {
    "actor": str,
    "name": str,
    "arguments": Json,
    "output": str,
    "error": str,
}


def tool_call_rows(rollout: Rollout) -> Iterator[Mapping[str, Any]]:
    """Each tool call of all actors. Those that nothing answered have no output."""
    for call in rollout.trajectory.tool_calls:
        yield {
            "actor": call.actor,
            "name": call.name,
            "arguments": call.arguments,
            "output": call.output,
            "error": call.error,
        }
