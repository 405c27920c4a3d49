"""Tools and the choice among them as the Responses API has them, flat, also where their writer nested them.

Chat Completions writes `{"type": "function", "function": {...}}`, and so do many data sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NESTED = ("function", "custom")


def with_flat_tools(params: dict[str, Any]) -> dict[str, Any]:
    """The fields of a request with tools, and the choice among them, in the form of the Responses API."""
    flat = dict(params)
    if params.get("tools"):
        flat["tools"] = [_flat_tool(tool) for tool in params["tools"]]
    if "tool_choice" in params:
        flat["tool_choice"] = flat_tool_choice(params["tool_choice"])
    return flat


def _flat_tool(tool: dict[str, Any]) -> dict[str, Any]:
    """A tool with its type; what a writer put beside the nested object stands beside its fields, which count."""
    kind = tool.get("type") or "function"
    if kind not in _NESTED or not isinstance(tool.get(kind), dict):
        return tool if tool.get("type") else {**tool, "type": kind}
    beside = {name: value for name, value in tool.items() if name not in ("type", kind)}
    return {**beside, **tool_of_object(kind, tool[kind])}


def tool_of_object(kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """A tool of type `kind`, given the object of its fields that Chat Completions nests under that name."""
    flat = {"type": kind, **fields}
    grammar = flat.get("format")
    if kind == "custom" and isinstance(grammar, dict) and "grammar" in grammar:
        flat["format"] = flattened(grammar)
    return flat


def flat_tool_choice(choice: Any) -> Any:
    """`tool_choice` as the Responses API writes it, from either form."""
    flat = flattened(choice)
    if flat is not choice and flat["type"] == "allowed_tools":
        flat["tools"] = [flat_tool_choice(tool) for tool in flat.get("tools") or []]
    return flat


def flattened(wire: Any) -> Any:
    """`{"type": T, T: {...}}` as the Responses API writes it, `{"type": T, ...}`; what is not nested stays as it is."""
    kind = wire.get("type") if isinstance(wire, dict) else None
    inner = wire.get(kind) if isinstance(kind, str) else None
    return {"type": kind, **inner} if isinstance(inner, dict) else wire
