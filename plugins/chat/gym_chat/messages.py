"""Responses items -> chat messages.

One chat message of the assistant is up to one reasoning item, one message item and any number of function calls in
Responses, in this order. `items.py` is the inverse.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from gym_chat.parts import ToolMedia, chat_content, chat_part, fields_of, text_and_media
from gym_core.spi import TOKEN_FIELDS, call_id_of, id_text

_OWN_FIELDS = frozenset({"type", "id", "status", "chat_message", *TOKEN_FIELDS})
_MESSAGE_FIELDS = _OWN_FIELDS | {"role", "content", "phase"}
_CALL_FIELDS = _OWN_FIELDS | {"call_id", "name", "arguments", "input", "function", "custom"}
_OUTPUT_FIELDS = _OWN_FIELDS | {"call_id", "output"}
_CALLS = {"function_call": "function", "custom_tool_call": "custom"}
_OUTPUTS = ("function_call_output", "custom_tool_call_output")


def chat_messages(
    items: Iterable[Mapping[str, Any]], drop: Collection[str] = (), tool_media: ToolMedia = "user"
) -> list[dict[str, Any]]:
    """Responses items as chat messages; item types in `drop` are left out.

    Consecutive items of the assistant make one message, as far as its fields can hold them. `tool_media`: which message
    holds the images and files of a tool's output, see `chat_request`. Raises `ValueError` for an item that Chat
    Completions cannot say.
    """
    messages: list[dict[str, Any]] = []
    assistant: dict[str, Any] | None = None
    media: list[dict[str, Any]] = []  # of outputs in a row: tool messages have to follow one another
    for item in items:
        kind = item.get("type") or "message"
        if kind in drop:
            continue
        if media and kind not in _OUTPUTS:
            messages.append({"role": "user", "content": media})
            media = []
        if kind == "message" and item.get("role") != "assistant":
            assistant = None
            message = {"role": item.get("role"), "content": chat_content(item.get("content"))}
            messages.append(message | fields_of(item, _MESSAGE_FIELDS))
        elif kind in _OUTPUTS:
            assistant = None
            content = chat_content(item.get("output"))
            if tool_media == "user" and type(content) is list:
                content = text_and_media(content, media)
            message = {"role": "tool", "tool_call_id": id_text(item.get("call_id")), "content": content}
            messages.append(message | fields_of(item, _OUTPUT_FIELDS))
        else:
            if assistant is None or _is_full(assistant, kind):
                assistant = {"role": "assistant", "content": None}
                messages.append(assistant)
            add_to_assistant(assistant, item, kind)
    if media:
        messages.append({"role": "user", "content": media})
    return [_finished(message) for message in messages if len(message) > 2 or message["content"] is not None]


def _finished(message: dict[str, Any]) -> dict[str, Any]:
    if message["content"] is None and "tool_calls" not in message and "refusal" not in message:
        message["content"] = ""
    if isinstance(message.get("audio"), dict):
        message["audio"] = {"id": message["audio"].get("id")}  # a request refers to audio, it does not repeat it
    return message


def _is_full(assistant: dict[str, Any], kind: str) -> bool:
    # whatever follows its calls stays in one message: tool outputs have to come right after the message that calls
    if "tool_calls" in assistant or kind in _CALLS:
        return False
    return bool(assistant["content"]) or "refusal" in assistant


def add_to_assistant(assistant: dict[str, Any], item: Mapping[str, Any], kind: str) -> None:
    """Put one item of the assistant into a chat message. Raises `ValueError` for an item that it cannot hold."""
    if kind in _CALLS:
        assistant.setdefault("tool_calls", []).append(_tool_call(item, _CALLS[kind]))
    elif kind == "message":
        _add_message(assistant, item)
    elif kind == "reasoning":
        _add_reasoning(assistant, item)
    else:
        raise ValueError(f"Chat Completions has no items of type `{kind}`")
    if "chat_message" in item:
        assistant.update(item["chat_message"])


def _tool_call(item: Mapping[str, Any], kind: str) -> dict[str, Any]:
    payload = "arguments" if kind == "function" else "input"
    inner = {"name": item.get("name"), payload: item.get(payload) or "", **(item.get(kind) or {})}
    return {"id": call_id_of(item), "type": kind, kind: inner} | fields_of(item, _CALL_FIELDS)


def _add_message(assistant: dict[str, Any], item: Mapping[str, Any]) -> None:
    content = item.get("content")
    parts = content if isinstance(content, list) else [{"type": "output_text", "text": chat_content(content)}]
    if len(parts) == 1 and parts[0].get("text") == "":
        assistant["content"] = assistant["content"] or ""
        parts = []
    for part in parts:
        if isinstance(part, dict) and part.get("type") == "refusal":
            assistant["refusal"] = assistant.get("refusal", "") + (part.get("refusal") or "")
        else:
            _add_content(assistant, chat_part(part))
    assistant.update(fields_of(item, _MESSAGE_FIELDS))


def _add_content(assistant: dict[str, Any], part: dict[str, Any]) -> None:
    present = assistant["content"]
    if not present:
        is_plain = part["type"] == "text" and len(part) == 2
        assistant["content"] = part["text"] if is_plain else [part]
    elif isinstance(present, str):
        assistant["content"] = [{"type": "text", "text": present}, part]
    else:
        present.append(part)


def _add_reasoning(assistant: dict[str, Any], item: Mapping[str, Any]) -> None:
    texts = [part["text"] for part in item.get("content") or item.get("summary") or () if part.get("text")]
    if texts:
        field = item.get("chat_field") or "reasoning_content"
        present = assistant.get(field)
        assistant[field] = "\n\n".join([present, *texts] if present else texts)
    elif item.get("encrypted_content"):
        raise ValueError("Chat Completions cannot carry a reasoning item that is encrypted")
