"""Requests: the body of `POST /responses` <-> the body of `POST /chat/completions`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from gym_chat.items import items_of_messages
from gym_chat.messages import chat_messages
from gym_chat.parts import ToolMedia, fields_of
from gym_chat.tools import (
    chat_response_format,
    chat_tool,
    chat_tool_choice,
    responses_text_format,
    responses_tool,
)
from gym_core.responses import as_items
from gym_core.spi import flat_tool_choice

LOGPROBS = "message.output_text.logprobs"
"""What `include` says in a Responses request to ask for log probabilities."""

_SERVER_STATE = ("previous_response_id", "conversation", "prompt")
_CONVERTED = frozenset(
    {"input", "instructions", "tools", "tool_choice", "max_output_tokens", "text", "reasoning", "include"}
    | {"top_logprobs", "background", *_SERVER_STATE}
)
_CONVERTED_CHAT = frozenset(
    {"messages", "tools", "tool_choice", "max_completion_tokens", "max_tokens", "response_format", "verbosity"}
    | {"reasoning_effort", "logprobs", "top_logprobs", "text", "reasoning", "include"}
)


def chat_request(
    body: Mapping[str, Any],
    *,
    max_tokens_field: str = "max_completion_tokens",
    drop: Collection[str] = (),
    tool_media: ToolMedia = "user",
) -> dict[str, Any]:
    """A Responses request body as a Chat Completions request body.

    `max_tokens_field`: what the server calls `max_output_tokens`. `drop`: item types to leave out (`reasoning`).
    `tool_media`: most servers take nothing but text in a tool message, so images and files of tools' outputs go, with
    numbers that the text refers to, into a user message behind those of the tools; `tool` leaves them where they are.
    Null fields are left out; fields that are the same in both APIs, or known to neither, pass through. Raises
    `ValueError` for what Chat Completions cannot say: state kept on the server, and items or tools of other types.
    """
    for name in _SERVER_STATE:
        if body.get(name) is not None:
            raise ValueError(f"Chat Completions keeps no state on the server: `{name}` cannot be sent")
    if body.get("background"):
        raise ValueError("Chat Completions has no `background`")
    chat = fields_of(body, _CONVERTED)
    chat["messages"] = chat_messages(_all_items(body), drop, tool_media)
    if body.get("tools"):
        chat["tools"] = [chat_tool(tool) for tool in body["tools"]]
        if body.get("tool_choice") is not None:
            chat["tool_choice"] = chat_tool_choice(body["tool_choice"])
    else:  # servers refuse an empty list of tools, and what speaks of tools where there are none
        chat.pop("parallel_tool_calls", None)
    if body.get("max_output_tokens") is not None:
        chat[max_tokens_field] = body["max_output_tokens"]
    _move(chat, body, "text", {"format": "response_format", "verbosity": "verbosity"})
    _move(chat, body, "reasoning", {"effort": "reasoning_effort"})
    if "response_format" in chat:
        chat["response_format"] = chat_response_format(chat["response_format"])
    _chat_logprobs(chat, body)
    return chat


def _all_items(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    items = as_items(body.get("input") if body.get("input") is not None else [])
    instructions = body.get("instructions")
    if instructions is None:
        return items
    if isinstance(instructions, str):
        return [{"role": "system", "content": instructions}, *items]
    return [*as_items(instructions), *items]


def _move(chat: dict[str, Any], body: Mapping[str, Any], group: str, names: Mapping[str, str]) -> None:
    """Take the named fields out of a group; what is left of the group passes through."""
    value = body.get(group)
    if value is None:
        return
    if not isinstance(value, dict):
        raise ValueError(f"`{group}` must be an object")
    rest = fields_of(value)
    for name, field in names.items():
        if name in rest:
            chat[field] = rest.pop(name)
    if rest:
        chat[group] = rest


def _chat_logprobs(chat: dict[str, Any], body: Mapping[str, Any]) -> None:
    include = body.get("include")
    if include:
        rest = [name for name in include if name != LOGPROBS]
        if len(rest) < len(include):
            chat["logprobs"] = True
        if rest:
            chat["include"] = rest
    if body.get("top_logprobs") is not None:
        chat["logprobs"] = True
        chat["top_logprobs"] = body["top_logprobs"]


def responses_request(body: Mapping[str, Any]) -> dict[str, Any]:
    """A Chat Completions request body as a Responses request body. Inverse of `chat_request`.

    System messages stay messages of the input. Raises `ValueError` for the deprecated role `function`.
    """
    request = fields_of(body, _CONVERTED_CHAT)
    messages = body.get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise ValueError("`messages` must be a list of objects")
    request["input"] = items_of_messages(messages)
    if body.get("tools") is not None:
        request["tools"] = [responses_tool(tool) for tool in body["tools"]]
    if body.get("tool_choice") is not None:
        request["tool_choice"] = flat_tool_choice(body["tool_choice"])
    limit = body.get("max_completion_tokens")
    limit = body.get("max_tokens") if limit is None else limit
    if limit is not None:
        request["max_output_tokens"] = limit
    form = body.get("response_format")
    text = {"format": None if form is None else responses_text_format(form), "verbosity": body.get("verbosity")}
    _gather(request, "text", {**(body.get("text") or {}), **text})
    _gather(request, "reasoning", {**(body.get("reasoning") or {}), "effort": body.get("reasoning_effort")})
    include: list[Any] = list(body.get("include") or ())
    if body.get("logprobs"):
        include.append(LOGPROBS)
    if include:
        request["include"] = include
    if body.get("top_logprobs") is not None:
        request["top_logprobs"] = body["top_logprobs"]
    return request


def _gather(request: dict[str, Any], group: str, fields: Mapping[str, Any]) -> None:
    given = fields_of(fields)
    if given:
        request[group] = given
