"""A function call by itself: its arguments as models write them and as the object they say, and what servers take."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from gym_core.domain.json_text import JsonError, encode_json, parse_json

DEEPEST = 100
"""How many levels arguments may nest. More of them is an attack on whoever reads them, verifiers among them."""
NO_ARGUMENTS = "{}"
NAME_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""The names of tools that every endpoint takes."""
_is_name = NAME_PATTERN.fullmatch


class ArgumentError(ValueError):
    """A model's call was bad; the text is for the model. `kind` is what it is counted as: `bad_json`, `bad_arguments`.

    A tool that runs elsewhere and found fault there raises it, too, with the kind that was found.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def parse_arguments(written: Any) -> dict[str, Any]:
    """The arguments of a call as the object they say; empty for a call that has none, be it `""` or `null`.

    `written`: JSON text, or the object itself. Raises `ArgumentError`.
    """
    value = written
    if isinstance(written, str):
        if not written or written.isspace():
            return {}
        try:
            value = parse_json(written)
        except JsonError as error:
            reason = str(error).removeprefix("not valid JSON: ")
            raise ArgumentError("bad_json", f"the arguments are not valid JSON: {reason}") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ArgumentError("bad_arguments", "the arguments must be a JSON object")
    if (not isinstance(written, str) or may_be_deep(written)) and _is_deep(value):
        raise ArgumentError("bad_json", f"the arguments nest deeper than {DEEPEST} levels")
    return value


def may_be_deep(text: str) -> bool:
    """Whether a JSON text has enough brackets to nest deeper than arguments may."""
    return len(text) > DEEPEST and text.count("{") + text.count("[") > DEEPEST


def _is_deep(value: Any) -> bool:
    layer = [value]
    for _ in range(DEEPEST):
        layer = [
            inner
            for outer in layer
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not layer:
            return False
    return True


def arguments_text(written: Any) -> str:
    """Arguments as text, as the model wrote them: an object is written out, nothing is empty text."""
    if isinstance(written, str):
        return written
    if written is None:
        return ""
    try:
        return encode_json(written).decode()
    except JsonError as error:
        return f"({error})"


def sent_arguments(written: Any) -> str:
    """Arguments as every server takes them in a conversation: the text of a JSON object.

    That is what the model wrote, if it wrote one. What says no object is sent as `{}`: servers refuse a conversation
    with anything else, for good. What was wrong is said to the model by the call's output.
    """
    if type(written) is str:
        try:
            value = orjson.loads(written)
            if type(value) is dict and not (may_be_deep(written) and _is_deep(value)):
                return written
        except ValueError:
            pass
    try:
        return encode_json(parse_arguments(written)).decode()
    except (ArgumentError, JsonError):
        return NO_ARGUMENTS


def is_sendable(item: Mapping[str, Any]) -> bool:
    """Whether every server takes an item as it is; only of calls and their outputs it is known."""
    kind = item.get("type")
    if kind == "function_call":
        name, written = item.get("name"), item.get("arguments")
        return bool(is_whole(item) and type(name) is str and _is_name(name) and sent_arguments(written) is written)
    return kind != "function_call_output" or has_id(item)


def has_id(item: Mapping[str, Any]) -> bool:
    """Whether a call or an output has an id that is text."""
    call_id = item.get("call_id")
    return type(call_id) is str and call_id != ""


def is_whole(call: Mapping[str, Any]) -> bool:
    """Whether a call has what everybody counts on: an id and arguments, both of them text."""
    call_id = call.get("call_id")  # written out: it is asked twice of every call
    return type(call_id) is str and call_id != "" and type(call.get("arguments")) is str
