"""A rollout as a trace of verifiers: a graph of messages, of which each holds the tokens that it added."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from gym_core import Item, Rollout, StopReason, TokenSequence
from gym_core.chat import chat_request
from gym_core.spi import without_result
from gym_training.messages import Shared, tools_of
from gym_training.statuses import checked_reward, is_trained

Row = dict[str, Any]
_NONE: Shared = {}
_STOPS = {
    StopReason.MAX_TURNS: "max_turns",
    StopReason.MAX_OUTPUT_TOKENS: "max_output_tokens",
    StopReason.CONTEXT_LENGTH: "max_total_tokens",
    StopReason.MAX_ROLLOUT_TOKENS: "max_total_tokens",
}
"""Why a rollout was cut, in their words; by these they know that it was."""


def to_verifiers(rollouts: Iterable[Rollout], shared: Shared = _NONE) -> Iterator[Row]:
    """Traces of verifiers' version 1, which `WireTrace.model_validate` reads: a branch for each sequence.

    Without tokens a trace has the messages alone. A rollout that failed has its error, and None for its reward.
    """
    for rollout in rollouts:
        if is_trained(rollout, "verifiers"):
            yield _trace(rollout, shared)


def _trace(rollout: Rollout, shared: Shared) -> Row:
    about = rollout.row.get("rollout") or {}
    reward, failed = checked_reward(rollout), not rollout.status.has_verdict
    error = rollout.error or {}
    timing = about.get("timing") or {}
    finished = float(timing.get("finished_at") or 0.0)
    started = finished - float(timing.get("seconds") or 0.0)
    nodes = _nodes(rollout)
    tools = [*map(_tool, tools_of(rollout, shared))]
    for node in nodes:
        node["timestamp"] = finished
        if node["parent"] is None and tools:
            node["tools"] = tools
    return {
        "id": f"{about.get('run_id') or ''}-{rollout.task_id}-{rollout.repeat}",
        "task": {"type": str(about.get("env") or "gym"), "data": _task(rollout), "key": rollout.task_id},
        "agent": {"config": {}, "name": str(about.get("agent") or "agent")},
        "tools": tools,
        "nodes": nodes,
        "rewards": {"reward": None if reward is None else {"score": reward, "weight": 1.0}},
        "metrics": {**rollout.reward_components, **rollout.metrics},
        "info": {"gym": {"task_id": rollout.task_id, "repeat": rollout.repeat, "status": rollout.status.value}},
        "is_completed": True,
        "ok": not failed,
        "stop_condition": _STOPS.get(rollout.stop_reason, rollout.stop_reason),  # type: ignore[call-overload]
        "is_timeout": rollout.status.value == "timed_out",
        "errors": [{"type": str(error.get("class") or "Error"), "message": str(error.get("message") or "")}]
        if failed
        else [],
        "timing": {"start": started, "agent": {"start": started, "end": finished}},
    }


def _tool(tool: Row) -> Row:
    known = {name: value for name, value in (tool.get("function") or {}).items() if value is not None}
    return {"type": "function", **known}


def _task(rollout: Rollout) -> Row:
    task = without_result(dict(rollout.row))
    return {"idx": (rollout.row.get("rollout") or {}).get("task_index") or 0, "task": task, "prompt": None}


def _nodes(rollout: Rollout) -> list[Row]:
    nodes: list[Row] = []
    sequences = rollout.sequences()
    for sequence in sequences:
        _add_branch(nodes, rollout, sequence)
    if not sequences:
        trajectory = rollout.trajectory
        _add(nodes, None, [*trajectory.input, *trajectory.unique_items])
    return nodes


def _add_branch(nodes: list[Row], rollout: Rollout, sequence: TokenSequence) -> None:
    """The nodes of a sequence: what was shown before each answer with its tokens, then the answer with its own."""
    trajectory = rollout.trajectory
    whole = [*trajectory.input, *trajectory.items, *trajectory.others]
    calls = iter([trajectory.model_calls[number] for number in sequence.calls])
    parent: int | None = None
    for trained, start, stop in _stretches(sequence.mask):
        ids, logprobs = sequence.ids[start:stop], sequence.logprobs[start:stop]
        if not trained:
            context = (ids, start, stop)
            continue
        call = next(calls, None)
        shown = [] if call is None else [whole[place] for one in call.shown for place in range(*one)]
        gave = [] if call is None else [whole[place] for one in call.gave for place in range(*one)]
        parent = _add(nodes, parent, shown, ids=context[0] if start and context[2] == start else [])
        parent = _add_answer(nodes, parent, gave, ids, logprobs)
    if sequence.mask and not sequence.mask[-1]:
        parent = _add(nodes, parent, [], ids=context[0])


def _stretches(mask: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    start = 0
    for trained, found in groupby(mask):
        stop = start + sum(1 for _ in found)
        yield trained, start, stop
        start = stop


def _add(nodes: list[Row], parent: int | None, items: Sequence[Item], ids: Sequence[int] = ()) -> int | None:
    """Messages that a model was shown; the tokens are those of all of them, and stand with the last."""
    messages = _messages(items) or ([{"role": "user", "content": ""}] if ids else [])
    for number, message in enumerate(messages, 1):
        own = [*ids] if number == len(messages) else []
        nodes.append({"parent": parent, "message": message, "token_ids": own, "mask": [False] * len(own)})
        parent = len(nodes) - 1
    return parent


def _add_answer(
    nodes: list[Row], parent: int | None, items: Sequence[Item], ids: Sequence[int], logprobs: Sequence[float]
) -> int:
    said = [message for message in _messages(items) if message["role"] == "assistant"]
    message = said[0] if len(said) == 1 else {"role": "assistant", "content": "".join(m["content"] or "" for m in said)}
    nodes.append(
        {
            "parent": parent,
            "message": message,
            "sampled": True,
            "token_ids": [*ids],
            "mask": [True] * len(ids),
            "logprobs": [*logprobs],
        }
    )
    return len(nodes) - 1


def _messages(items: Sequence[Item]) -> list[Row]:
    """Messages in their form, whose calls have no `function` and whose developers are systems."""
    try:
        found = chat_request({"input": [*items]})["messages"] if items else []
    except (ValueError, TypeError, AttributeError):
        return []
    return [_message(message) for message in found]


def _message(message: Row) -> Row:
    role, content = message.get("role"), message.get("content")
    if role == "assistant":
        text = content if isinstance(content, str) or content is None else _text(content)
        made: Row = {"role": "assistant", "content": text}
        if message.get("reasoning_content"):
            made["reasoning_content"] = message["reasoning_content"]
        calls = [
            {"id": str(call.get("id") or ""), "name": str(inner.get("name") or ""), "arguments": _arguments(inner)}
            for call in message.get("tool_calls") or ()
            if isinstance(inner := call.get("function") or call.get("custom"), dict)
        ]
        return {**made, "tool_calls": calls} if calls else made
    if role == "tool":
        return {"role": "tool", "tool_call_id": str(message.get("tool_call_id") or ""), "content": content or ""}
    return {"role": "system" if role in ("system", "developer") else "user", "content": content or ""}


def _text(parts: Sequence[Row]) -> str:
    return "".join(str(part.get("text") or "") for part in parts)


def _arguments(inner: Row) -> str:
    return str(inner.get("arguments") or inner.get("input") or "")
