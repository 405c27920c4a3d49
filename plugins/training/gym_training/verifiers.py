"""A rollout as a trace of verifiers: a graph of messages, of which each holds the tokens that it added."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import dropwhile
from typing import Any

from gym_chat import chat_request
from gym_core import Item, ModelCall, Rollout, StopReason, TokenSequence, Trajectory
from gym_core.spi import REQUEST_FIELD, path_length, places_of, shown_to, token_sequences, without_result
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
    trajectory = rollout.trajectory
    opening = (rollout.row.get(REQUEST_FIELD) or {}).get("instructions")
    sequences = token_sequences(trajectory.model_calls, trajectory.tool_runs or (), rollout.reward, rollout.rewards)
    for sequence in sequences:
        _add_branch(nodes, trajectory, sequence, opening)
    if not sequences:
        _add(nodes, None, [*trajectory.input, *trajectory.unique_items], opening=opening)
    return nodes


def _add_branch(nodes: list[Row], trajectory: Trajectory, sequence: TokenSequence, opening: Any) -> None:
    """The nodes of a sequence: what was shown before each answer with its tokens, then the answer with its own."""
    calls = trajectory.model_calls
    whole = [*trajectory.input, *trajectory.unique_items, *trajectory.others]
    before = parent = None
    end = 0
    for number in sequence.calls:
        tokens = calls[number].tokens
        assert tokens is not None, "a sequence is made of calls with tokens"
        # Each call is cut by its own span: two answers may stand side by side, and one may have no tokens.
        start, stop = tokens.length - len(tokens.sampled), tokens.length
        if before is None:
            opening = (calls[number].sampling or {}).get("instructions", opening)
        shown = [whole[place] for place in _new(calls, number, before, whole)]
        parent = _add(nodes, parent, shown, sequence.ids[end:start], opening if before is None else None)
        gave = [whole[place] for place in places_of(calls[number].gave)]
        parent = _add_answer(nodes, parent, gave, sequence.ids[start:stop], sequence.logprobs[start:stop])
        before, end = number, stop


def _new(calls: Sequence[ModelCall], number: int, before: int | None, whole: Sequence[Item]) -> Sequence[int]:
    """The places of what a call was shown besides what the one before it was shown and gave.

    Where an agent wrote an answer anew, whose very tokens the model read all the same, that answer stands already.
    """
    call = calls[number]
    if before is None:
        return shown_to(calls, number)
    if call.continues == before and call.kept == path_length(calls[before]):
        return places_of(call.shown)
    shown, told = shown_to(calls, number), [*shown_to(calls, before), *places_of(calls[before].gave)]
    same = next((n for n, (one, other) in enumerate(zip(told, shown, strict=False)) if one != other), len(told))
    return [*dropwhile(lambda place: _is_answer(whole[place]), shown[same:])]


def _is_answer(item: Item) -> bool:
    kind = item.get("type", "message")
    return item.get("role") == "assistant" if kind == "message" else not kind.endswith("_output")


def _add(
    nodes: list[Row], parent: int | None, items: Sequence[Item], ids: Sequence[int] = (), opening: Any = None
) -> int | None:
    """Messages that a model was shown; the tokens are those of all of them, and stand with the last."""
    messages = _messages(items, opening) or ([{"role": "user", "content": ""}] if ids else [])
    for number, message in enumerate(messages, 1):
        own = ids if ids and number == len(messages) else []
        nodes.append({"parent": parent, "message": message, "token_ids": own, "mask": [False] * len(own)})
        parent = len(nodes) - 1
    return parent


def _add_answer(
    nodes: list[Row], parent: int | None, items: Sequence[Item], ids: Sequence[int], logprobs: Sequence[float]
) -> int:
    message: Row = {"role": "assistant", "content": ""}
    for said in _messages(items):
        content = message["content"] + (said["content"] or "")
        called = [*message.get("tool_calls", ()), *said.get("tool_calls", ())]
        message = {**message, **said, "content": content} | ({"tool_calls": called} if called else {})
    nodes.append(
        {
            "parent": parent,
            "message": message,
            "sampled": True,
            "token_ids": ids,
            "mask": [True] * len(ids),
            "logprobs": logprobs,
        }
    )
    return len(nodes) - 1


def _messages(items: Sequence[Item], opening: Any = None) -> list[Row]:
    """Messages in their form, whose calls have no `function` and whose developers are systems."""
    try:
        asked = {"input": [*items]} | ({"instructions": opening} if opening else {})
        found = chat_request(asked)["messages"] if items or opening else []
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
