"""A rollout as a flat row: for data frames, tables and questions in SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gym_core.contract.formats import Column, Json
from gym_core.domain.responses import item_text
from gym_core.domain.rollout import Rollout


def flat_row(rollout: Rollout, names: Iterable[str] | None = None) -> dict[str, Any]:
    """A rollout by the names of `FLAT_COLUMNS`, all of them by default. What it has not is None."""
    return {name: FLAT_COLUMNS[name][1](rollout) for name in (FLAT_COLUMNS if names is None else names)}


def _about(*path: str) -> Callable[[Rollout], Any]:
    """What stands at a path under `rollout` in a row."""

    def read(rollout: Rollout) -> Any:
        value: Any = rollout.row.get("rollout")
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    return read


def _prompt(rollout: Rollout) -> str | None:
    opening = rollout.trajectory.input
    return next((item_text(item) for item in reversed(opening) if item.get("role") == "user"), None)


FLAT_COLUMNS: Mapping[str, tuple[Column, Callable[[Rollout], Any], str]] = {
    "run_id": (str, _about("run_id"), "the run"),
    "task_id": (str, lambda rollout: rollout.task_id, "the task"),
    "task_index": (int, _about("task_index"), "its place in the input, from 0"),
    "repeat": (int, lambda rollout: rollout.repeat, "which rollout of the task, from 0"),
    "attempt": (int, _about("attempt"), "which attempt at it, from 1"),
    "status": (str, lambda rollout: rollout.status.value, "how it ended: `completed`, `truncated`, or what failed"),
    "reward": (float, lambda rollout: rollout.reward, "the reward; nothing for a rollout that failed"),
    "stop_reason": (str, lambda rollout: rollout.stop_reason, "why the agent stopped"),
    "error_class": (str, _about("error", "class"), "of a failure: its class"),
    "error_phase": (str, _about("error", "phase"), "of a failure: where it happened"),
    "error_message": (str, _about("error", "message"), "of a failure: what it said"),
    "model": (str, _about("model"), "the policy's model"),
    "env": (str, _about("env"), "the environment"),
    "agent": (str, _about("agent"), "the agent"),
    "prompt": (str, _prompt, "the text of the last user message that the task opens with"),
    "answer": (str, lambda rollout: rollout.trajectory.output_text, "the text of the final answer"),
    "model_calls": (int, lambda rollout: len(rollout.model_calls), "how many model calls there were, of all actors"),
    "tool_calls": (int, lambda rollout: len(rollout.tool_calls), "how many tool calls were carried out"),
    "input_tokens": (int, _about("usage", "input_tokens"), "tokens of all model calls"),
    "cached_tokens": (int, _about("usage", "input_tokens_details", "cached_tokens"), "of these, from a cache"),
    "output_tokens": (int, _about("usage", "output_tokens"), "tokens that models wrote"),
    "reasoning_tokens": (int, _about("usage", "output_tokens_details", "reasoning_tokens"), "of these, reasoning"),
    "cost": (float, _about("cost"), "US dollars, where prices are known"),
    "seconds": (float, _about("timing", "seconds"), "how long the rollout took"),
    "model_seconds": (float, _about("timing", "model_seconds"), "of these, in model calls"),
    "waited_seconds": (float, _about("timing", "waited_seconds"), "of these, waiting for a slot or another attempt"),
    "verify_seconds": (float, _about("timing", "verify_seconds"), "of these, in the verifier"),
    "finished_at": (float, _about("timing", "finished_at"), "when it ended, in seconds since 1970, UTC"),
    "seed": (int, _about("seed"), "its seed"),
    "token_breaks": (int, _about("token_breaks"), "model calls that went on from tokens that were encoded anew"),
    "info": (Json, _about("info"), "what the verifier kept, as JSON"),
}
"""The columns that every table has: their types, where they come from, and what they hold."""
