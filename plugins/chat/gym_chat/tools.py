"""Tools, the choice among them, and the format of the answer: flat in Responses, nested in Chat Completions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gym_chat.parts import nested
from gym_core.spi import flattened, tool_of_object

_NESTED = ("function", "custom")


def chat_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A Responses tool as a chat tool. Raises `ValueError` for the tools that only the Responses API runs."""
    kind = tool.get("type", "function")
    if kind not in _NESTED:
        raise ValueError(f"Chat Completions has no tools of type `{kind}`")
    if kind in tool and isinstance(tool[kind], dict):
        return dict(tool)  # already written the chat way, as some data sets do
    inner = {name: value for name, value in tool.items() if name not in ("type", "chat_tool")}
    grammar = inner.get("format")
    if kind == "custom" and isinstance(grammar, dict) and grammar.get("type") == "grammar":
        inner["format"] = nested(grammar)
    return {"type": kind, kind: inner, **tool.get("chat_tool", {})}


def responses_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A chat tool as a Responses tool. Inverse of `chat_tool`."""
    kind = tool.get("type") or "function"
    inner = tool.get(kind)
    if not isinstance(inner, dict):
        raise ValueError(f"a tool of type `{kind}` needs an object `{kind}`")
    flat = tool_of_object(kind, inner)
    extra = {name: value for name, value in tool.items() if name not in ("type", kind)}
    if extra:
        flat["chat_tool"] = extra
    return flat


def chat_tool_choice(choice: Any) -> Any:
    """`tool_choice` as Chat Completions writes it. Raises `ValueError` for a tool that only Responses knows.

    Inverse of `flat_tool_choice`.
    """
    if not isinstance(choice, dict):
        return choice
    kind = choice.get("type")
    if kind == "allowed_tools":
        return nested({**choice, "tools": [chat_tool_choice(tool) for tool in choice.get("tools") or []]})
    if kind not in _NESTED:
        raise ValueError(f"Chat Completions has no `tool_choice` of type `{kind}`")
    return choice if kind in choice else nested(choice)


def chat_response_format(form: Any) -> Any:
    """`text.format` as `response_format`. Formats other than `json_schema` are the same in both APIs."""
    is_flat = isinstance(form, dict) and form.get("type") == "json_schema" and "json_schema" not in form
    return nested(form) if is_flat else form


def responses_text_format(form: Any) -> Any:
    """`response_format` as `text.format`. Inverse of `chat_response_format`."""
    return flattened(form) if isinstance(form, dict) and "json_schema" in form else form
