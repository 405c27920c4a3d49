"""Chat messages -> Responses items. Inverse of `messages.py`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gym_chat.parts import fields_of, responses_content, responses_part
from gym_core import Item
from gym_core.spi import arguments_text, flattened, id_text, new_call_id

_ASSISTANT_FIELDS = frozenset({"role", "content", "refusal", "tool_calls"})
_TOOL_FIELDS = frozenset({"role", "tool_call_id", "content"})
_MESSAGE_FIELDS = frozenset({"role", "content"})
_REASONING_FIELDS = ("reasoning_content", "reasoning")
_CALL_FIELDS = frozenset({"id", "type", "function", "custom"})
_CALL_TYPES = {
    "function": ("function_call", "arguments", frozenset({"name", "arguments"})),
    "custom": ("custom_tool_call", "input", frozenset({"name", "input"})),
}
_CALL_ITEMS = frozenset(item_type for item_type, _, _ in _CALL_TYPES.values())


def items_of_messages(messages: Iterable[Mapping[str, Any]]) -> list[Item]:
    """Chat messages as Responses input items. Raises `ValueError` for the deprecated role `function`."""
    items: list[Item] = []
    custom: set[str] = set()
    waiting: list[str] = []  # ids of calls without an output: tool messages without an id answer them in order
    for message in messages:
        role = message.get("role")
        content = message.get("content")
        if role == "assistant":
            found = assistant_items(message)
            custom.update(item["call_id"] for item in found if item["type"] == "custom_tool_call")
            waiting += [item["call_id"] for item in found if item["type"] in _CALL_ITEMS]
            items += found
        elif role == "tool":
            call_id = id_text(message.get("tool_call_id")) or (waiting[0] if waiting else "")
            if call_id in waiting:
                waiting.remove(call_id)
            kind = "custom_tool_call_output" if call_id in custom else "function_call_output"
            output = {"type": kind, "call_id": call_id, "output": responses_content(content)}
            items.append({**output, **fields_of(message, _TOOL_FIELDS)})
        elif role == "function":
            raise ValueError("the role `function` is deprecated: use `tool_calls` and the role `tool`")
        else:
            item = {"type": "message", "role": role, "content": responses_content(content)}
            items.append({**item, **fields_of(message, _MESSAGE_FIELDS)})
    return items


def assistant_items(message: Mapping[str, Any], ident: str | None = None) -> list[Item]:
    """A chat message of the assistant as items. With `ident` they are output items, with ids made from it."""
    items: list[Item] = []
    extra = fields_of(message, _ASSISTANT_FIELDS)
    if extra:
        if not extra.get("annotations", True):
            del extra["annotations"]
        reasoning = _reasoning_item(extra, ident)
        if reasoning:
            items.append(reasoning)
    calls = message.get("tool_calls") or ()
    if not calls and ident is not None and isinstance(extra.get("function_call"), dict):
        calls = [{"type": "function", "function": extra.pop("function_call")}]  # the older way to call
    content = message.get("content")
    refusal = message.get("refusal")
    if content or refusal or (content is not None and not calls and not items):
        item = _input_message(content, refusal) if ident is None else _output_message(extra, content, refusal, ident)
        item.update(extra)
        extra = {}
        items.append(item)
    items += [_call_item(call) for call in calls]
    if extra and items:
        items[0]["chat_message"] = extra
    return items


def _reasoning_item(extra: dict[str, Any], ident: str | None) -> Item | None:
    """Take the reasoning out of a message's further fields; servers disagree on its name, and some send it twice."""
    found = [name for name in _REASONING_FIELDS if isinstance(extra.get(name), str)]
    text = next((extra[name] for name in found if extra[name]), "")
    source = next((name for name in found if extra[name]), None)
    for name in found:
        if extra[name] in ("", text):
            del extra[name]
    if source is None:
        return None
    item: Item = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": text}]}
    if ident is not None:
        item = {"id": f"rs_{ident}", **item}
    if source != _REASONING_FIELDS[0]:
        item["chat_field"] = source
    return item


def _input_message(content: Any, refusal: str | None) -> Item:
    converted = responses_content(content, "output_text")
    if refusal:
        parts = [{"type": "output_text", "text": converted}] if isinstance(converted, str) and converted else converted
        converted = [*(parts or []), {"type": "refusal", "refusal": refusal}]
    return {"type": "message", "role": "assistant", "content": converted}


def _output_message(extra: dict[str, Any], content: Any, refusal: str | None, ident: str) -> Item:
    parts: list[dict[str, Any]] = []
    if isinstance(content, list):
        parts = [responses_part(part, "output_text") for part in content]
    elif content or not refusal:
        annotations = [flattened(note) for note in extra.pop("annotations", ())]
        text = arguments_text(content)  # some servers send the object that their JSON mode has parsed
        parts = [{"type": "output_text", "text": text, "annotations": annotations}]
    if refusal:
        parts.append({"type": "refusal", "refusal": refusal})
    return {"id": f"msg_{ident}", "type": "message", "role": "assistant", "status": "completed", "content": parts}


def _call_item(call: Any) -> Item:
    kind = call.get("type") or "function" if isinstance(call, dict) else None
    if kind not in _CALL_TYPES or not isinstance(call.get(kind), dict):
        raise ValueError(f"a tool call must be an object with a `function` or `custom` object, not {call!r:.200}")
    inner = call[kind]
    item_type, payload, known = _CALL_TYPES[kind]
    item: Item = {
        "type": item_type,
        "call_id": id_text(call.get("id")) or new_call_id(),
        "name": inner.get("name"),
        payload: arguments_text(inner.get(payload)),  # some servers send the object itself
        "status": "completed",
    }
    if len(inner) > 2:
        rest = fields_of(inner, known)
        if rest:
            item[kind] = rest
    item.update(fields_of(call, _CALL_FIELDS))
    return item
