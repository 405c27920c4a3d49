"""The conversation of a rollout as chat messages, whose calls have objects for arguments, as templates want them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from gym_chat import chat_request
from gym_core import JsonError, Rollout, Task, parse_json
from gym_core.errors import InputError
from gym_core.spi import REQUEST_FIELD, Column, Json

Messages: TypeAlias = list[dict[str, Any]]
Shared: TypeAlias = Mapping[str, Mapping[str, Any]]
"""The tools and the sampling in force, by the hash that rows cite: see `ExportRequest.shared`."""

MESSAGES: Column = [
    {
        "role": str,
        "content": str,
        "reasoning_content": str,
        "tool_calls": [{"id": str, "type": str, "function": {"name": str, "arguments": Json}}],
        "tool_call_id": str,
        "name": str,
    }
]
"""Messages as a column of a table: arguments are JSON there, so that no call gets the parameters of another as null."""
TOOLS: Column = Json


def conversation(rollout: Rollout) -> tuple[Messages, Messages]:
    """What the task opens with, and all that came after: the policy's own conversation. Raises `InputError`."""
    trajectory = rollout.trajectory
    opening: dict[str, Any] = {"input": [*trajectory.input]}
    instructions = (rollout.row.get(REQUEST_FIELD) or {}).get("instructions")
    if instructions:
        opening["instructions"] = instructions
    name = f"{rollout.task_id}#{rollout.repeat}"
    return _messages(opening, name), _messages({"input": trajectory.unique_items}, name)


def opening(task: Task) -> Messages:
    """What a task opens with. Raises `InputError`."""
    body = task.request.body
    return _messages({name: body[name] for name in ("input", "instructions") if body.get(name)}, task.task_id)


def _messages(body: dict[str, Any], name: str) -> Messages:
    try:
        return [*map(plain, chat_request(body)["messages"])]
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{name}: its conversation cannot be said as chat messages: {error}",
            hint="--select leaves it out",
        ) from error


def tools_of(rollout: Rollout, shared: Shared) -> list[dict[str, Any]]:
    """The tools that the model was shown, as Chat Completions has them; those of the row where it cites none."""
    request = rollout.row.get(REQUEST_FIELD) or {}
    cited = shared.get((rollout.row.get("rollout") or {}).get("request") or "", {})
    tools = cited.get("tools") or request.get("tools") or []
    found: list[dict[str, Any]] = chat_request({"input": "", "tools": tools}).get("tools") or [] if tools else []
    return found


def plain(message: dict[str, Any]) -> dict[str, Any]:
    """A message with text for its content where it has nothing but text, and with objects for arguments."""
    content = message.get("content")
    if isinstance(content, list) and all(part.get("type") == "text" for part in content):
        message = {**message, "content": "".join(part["text"] for part in content)}
    if content is None:
        message = {**message, "content": ""}  # which templates add to other text
    if message.get("role") == "developer":
        message = {**message, "role": "system"}  # which templates do not know
    calls = message.get("tool_calls")
    return {**message, "tool_calls": [*map(_with_object, calls)]} if calls else message


def _with_object(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    if not isinstance(function, dict):
        return call
    try:
        arguments = parse_json(function.get("arguments") or "{}")
    except JsonError:
        return call  # what the model wrote is no JSON; it stands as it is
    return {**call, "function": {**function, "arguments": arguments}}
