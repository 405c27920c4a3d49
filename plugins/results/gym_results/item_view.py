"""One item of a conversation as a title and a text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gym_core.spi import ArgumentError, content_parts, parse_arguments
from gym_results.part_view import describe_part, shorten_data

_ONE_LINE = 100
_TOO_DEEP = "(it nests too deeply to be shown; --json prints it)"
_LONGEST_STRING = 2_000
_ROLE_STYLES = {"user": "cyan", "assistant": "green", "system": "blue", "developer": "blue"}


@dataclass(frozen=True, slots=True)
class Block:
    """A titled text; `style` colours the title. A `heading` stands above several others, and has no text."""

    title: str
    text: str
    style: str = "magenta"
    dim: bool = False
    heading: bool = False


def item_block(item: Mapping[str, Any], function: Any = None) -> Block:
    """An item for reading. `function`: whose output it is, if it is one; items of unknown types are shown as JSON."""
    kind = item.get("type", "message")
    if kind == "message":
        role = str(item.get("role", "message"))
        return Block(role, _message(item), _ROLE_STYLES.get(role, "magenta"))
    if kind == "function_call":
        return Block(f"call of {item.get('name')}", _arguments(item.get("arguments")), "yellow")
    if kind == "function_call_output":
        return Block(f"output of {function or item.get('call_id')}", _output(item.get("output")), "yellow")
    if kind == "reasoning":
        return Block("reasoning", _reasoning(item), "bright_black", dim=True)
    return Block(str(kind), as_json(item))


def as_json(value: Any) -> str:
    """Any value as JSON: on one line where it fits, with very long strings cut and data as its size."""
    try:
        value = _cut(value)
        line = json.dumps(value, ensure_ascii=False)
        return line if len(line) <= _ONE_LINE else json.dumps(value, ensure_ascii=False, indent=2)
    except RecursionError:
        return _TOO_DEEP


def on_one_line(value: Any) -> str:
    """Any value as JSON on one line."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return _TOO_DEEP


def _message(item: Mapping[str, Any]) -> str:
    shown = []
    for part in content_parts(item):
        kind = str(part.get("type", ""))
        if kind.endswith("text") and isinstance(part.get("text"), str):
            shown.append(part["text"])
        elif kind == "refusal":
            shown.append(f"(refusal) {part.get('refusal', '')}")
        else:
            about = describe_part(part)
            shown.append(f"({about})" if about else as_json(part))
    return "\n".join(shown)


def _arguments(arguments: Any) -> str:
    try:
        return as_json(parse_arguments(arguments))
    except ArgumentError:
        return arguments if isinstance(arguments, str) else as_json(arguments)


def _output(output: Any) -> str:
    if isinstance(output, list):
        return _message({"content": output})
    return output if isinstance(output, str) else as_json(output)


def _reasoning(item: Mapping[str, Any]) -> str:
    texts = [
        part["text"]
        for group in (item.get("summary"), item.get("content"))
        if isinstance(group, list)
        for part in group
        if isinstance(part, Mapping) and isinstance(part.get("text"), str)
    ]
    if texts:
        return "\n".join(texts)
    return "(encrypted)" if item.get("encrypted_content") else "(not shown by the model's server)"


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _LONGEST_STRING:
        return shorten_data(value) or f"{value[:_LONGEST_STRING]}… ({len(value)} characters)"
    if isinstance(value, Mapping):
        return {name: _cut(inner) for name, inner in value.items()}
    return [_cut(inner) for inner in value] if isinstance(value, list) else value
