"""NeMo Gym's rows: what its servers are sent and what its tools read.

Its servers check a response with the models of the `openai` package, so everything those require has to be there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gym_core import Item, Rollout, Task, Tokens, Trajectory
from gym_core.spi import REQUEST_FIELD, TokenPaths, is_whole, whole_call, with_flat_tools, without_result
from gym_nemo.foreign_verdict import without_failure
from gym_nemo.metrics import ROLLOUT_INDEX, TASK_INDEX

AGENT_REF = "agent_ref"
REASON = 2000
"""Characters of a reason that its types take."""
ROUTES = frozenset({"seed_session", "verify", "aggregate_metrics", "close_session", "sandbox_access", "mcp"})
"""The names that a resource server there has routes of its own for: a tool so called cannot be reached."""


def task_row(row: dict[str, Any]) -> dict[str, Any]:
    """A task's row as NeMo Gym takes it, which knows tools in the form of the Responses API alone."""
    request = row.get(REQUEST_FIELD)
    return {**row, REQUEST_FIELD: with_flat_tools(request)} if isinstance(request, dict) else row


def row_for(task: Task, repeat: int) -> dict[str, Any]:
    """The row of a task as it is sent: with its place and its repeat, under NeMo Gym's names for them."""
    row = task_row(without_failure(task.row))
    row.setdefault(TASK_INDEX, task.index)
    if repeat or ROLLOUT_INDEX not in row:
        row[ROLLOUT_INDEX] = repeat
    return row


def with_tokens(items: Sequence[Item], trajectory: Trajectory) -> list[Item]:
    """The items of a trajectory, with tokens where protocols carry them: on the last that a model call gave."""
    found, calls, start = [*items], trajectory.model_calls, len(trajectory.input)
    paths = TokenPaths.of(calls)
    for number, (call, tokens) in enumerate(zip(calls, paths.tokens, strict=True)):
        if tokens is not None and call.gave:
            place = call.gave[-1][1] - 1 - start
            if 0 <= place < len(found):
                said = Tokens(paths.ids(number, sampled=False), tokens.sampled, tokens.logprobs)
                found[place] = {**found[place], **said.fields()}
    return found


def summing_components(reward: Any, components: Mapping[str, Any]) -> dict[str, Any]:
    """`{"reward_components": ...}` where they sum to the reward, else nothing: NeMo RL refuses all others."""
    values = list(components.values())
    if not values or not all(isinstance(value, int | float) for value in [reward, *values]):
        return {}
    fitting = math.isclose(math.fsum(values), reward, rel_tol=1e-9, abs_tol=1e-9)
    return {"reward_components": dict(components)} if fitting else {}


def as_response(
    body: Mapping[str, Any], items: Iterable[Item], request: Mapping[str, Any], usage: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A whole response: `items` as its output, what is missing of `body` filled in from the `request`.

    `body`: a response as a model sent it, the last one, say; may be empty.
    """
    response: dict[str, Any] = {
        "id": "resp_gym",
        "created_at": 0,
        "model": "unknown",
        "object": "response",
        "parallel_tool_calls": request.get("parallel_tool_calls", True),
        "tool_choice": request.get("tool_choice") or "auto",
        "tools": request.get("tools") or [],
    }
    response |= {name: value for name, value in body.items() if value is not None}
    response["output"] = [_whole(item, place) for place, item in enumerate(items)]
    if usage is not None:
        response["usage"] = dict(usage)
    return response


def _whole(item: Item, place: int) -> Item:
    """An item with what the `openai` package requires of it."""
    kind = item.get("type", "message")
    if kind == "message" and item.get("role") == "assistant":
        content = item.get("content")
        parts = [{"type": "output_text", "text": content}] if isinstance(content, str) else content or []
        return {
            "id": f"msg_{place}",
            "type": "message",
            "status": "completed",
            **item,
            "content": [{"annotations": [], **part} if part.get("type") == "output_text" else part for part in parts],
        }
    if kind == "reasoning":
        return {"id": f"rs_{place}", "summary": [], **item}
    if kind == "function_call" and not is_whole(item):
        return whole_call(item)
    return item if "type" in item else {"type": "message", **item}


def masked(row: Mapping[str, Any], status: str, reason: str) -> dict[str, Any]:
    """A row of a rollout that failed, for those who want a number there: a reward of 0 that nobody is to count.

    The mask stands in all the places where versions of NeMo Gym and NeMo RL look for it.
    """
    config = row.get("instance_config")
    return {
        **row,
        "reward": 0.0,
        "mask_sample": True,
        "failure_kind": f"gym:{status}",
        "failure_reason": reason[:REASON],
        "instance_config": {**(config if isinstance(config, Mapping) else {}), "mask_sample": True},
        "_ng_failure_class": status,
    }


def masked_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A rollout of gym that failed, as a masked result of NeMo Gym."""
    about: Mapping[str, Any] = row.get("rollout") or {}
    error: Mapping[str, Any] = about.get("error") or {}
    reason = f"{error.get('class') or 'error'}: {error.get('message') or 'it says no more'}"
    return masked(result_row(row), str(about.get("status")), reason)


def result_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A result of gym as a result of NeMo Gym.

    The components of the reward and what the verifier kept stand at the top, where its metrics look for numbers, as far
    as the name is free.
    """
    about: Mapping[str, Any] = row.get("rollout") or {}
    task = task_row(without_result(dict(row)))
    index, repeat = about.get("task_index"), about.get("repeat")
    task[TASK_INDEX] = index if isinstance(index, int) else task.get(TASK_INDEX, 0)
    task[ROLLOUT_INDEX] = repeat if isinstance(repeat, int) else task.get(ROLLOUT_INDEX, 0)
    recorded: Mapping[str, Any] = row.get("response") or {}
    request: Mapping[str, Any] = task.get(REQUEST_FIELD) or {}
    model = about.get("model")
    body = {**({"model": model} if model else {}), **recorded}
    trajectory = Rollout(dict(row)).trajectory
    items = with_tokens(trajectory.unique_items, trajectory)
    task["response"] = as_response(body, items, request)
    task["reward"] = row.get("reward")
    components: Mapping[str, Any] = row.get("reward_components") or {}
    task |= summing_components(row.get("reward"), components)
    for name, value in {**(about.get("info") or {}), **components}.items():
        task.setdefault(name, value)
    task.setdefault(AGENT_REF, {"name": str(about.get("agent") or "gym")})
    return task
