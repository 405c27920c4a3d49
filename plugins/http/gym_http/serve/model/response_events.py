"""A finished response as the stream of events in which a client of the Responses API expects it.

Names and fields of the events after OpenAI's API reference, "Responses, streaming events". Each text is one delta.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gym_core import Item
from gym_core.spi import TOKEN_FIELDS

_ARGUMENTS = {
    "function_call": ("arguments", "response.function_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
}
_TEXTS = {
    "output_text": ("text", "response.output_text"),
    "refusal": ("refusal", "response.refusal"),
    "reasoning_text": ("text", "response.reasoning_text"),
}
_ENDS = {"incomplete": "response.incomplete", "failed": "response.failed"}

Event = dict[str, Any]


def response_events(body: Mapping[str, Any]) -> Iterator[Event]:
    """The events of a response, numbered from 0. `body`: a whole one, whose items of the assistant have ids."""
    for number, event in enumerate(_events(body)):
        yield {**event, "sequence_number": number}


def _events(body: Mapping[str, Any]) -> Iterator[Event]:
    begun = {**body, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None, "error": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(body["output"]):
        yield {"type": "response.output_item.added", "output_index": index, "item": _begun(item)}
        yield from _inside(item, {"item_id": item.get("id") or "", "output_index": index})
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": _ENDS.get(str(body.get("status")), "response.completed"), "response": body}


def _streams_parts(item: Item) -> bool:
    return item.get("type") == "reasoning" or (item.get("type") == "message" and item.get("role") == "assistant")


def _begun(item: Item) -> Item:
    """An item before anything of it is said."""
    begun = {name: value for name, value in item.items() if name not in TOKEN_FIELDS}
    kind = item.get("type")
    if "status" in begun:
        begun["status"] = "in_progress"
    if kind in _ARGUMENTS:
        begun[_ARGUMENTS[kind][0]] = ""
    elif _streams_parts(item):
        begun.update({name: [] for name in ("content", "summary") if isinstance(item.get(name), list)})
    return begun


def _inside(item: Item, place: Mapping[str, Any]) -> Iterator[Event]:
    kind = item.get("type")
    if kind in _ARGUMENTS:
        field, name = _ARGUMENTS[kind]
        text = item.get(field) or ""
        yield {"type": f"{name}.delta", **place, "delta": text}
        yield {"type": f"{name}.done", **place, field: text, "name": item.get("name")}
    elif _streams_parts(item):
        yield from _summary(item, place)
        content = item.get("content")
        for index, part in enumerate(content if isinstance(content, list) else ()):
            yield from _part(part, {**place, "content_index": index})


def _part(part: Any, place: Mapping[str, Any]) -> Iterator[Event]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind not in _TEXTS:
        yield {"type": "response.content_part.added", **place, "part": part}
        yield {"type": "response.content_part.done", **place, "part": part}
        return
    field, name = _TEXTS[kind]
    text = part.get(field) or ""
    annotations = part.get("annotations") or []
    begun = {"type": kind, field: "", **({"annotations": []} if kind == "output_text" else {})}
    probabilities = {"logprobs": part.get("logprobs") or []} if kind == "output_text" else {}
    yield {"type": "response.content_part.added", **place, "part": begun}
    yield {"type": f"{name}.delta", **place, "delta": text, **probabilities}
    for index, annotation in enumerate(annotations):
        yield {
            "type": "response.output_text.annotation.added",
            **place,
            "annotation_index": index,
            "annotation": annotation,
        }
    yield {"type": f"{name}.done", **place, field: text, **probabilities}
    yield {"type": "response.content_part.done", **place, "part": part}


def _summary(item: Item, place: Mapping[str, Any]) -> Iterator[Event]:
    for index, part in enumerate(item.get("summary") or ()):
        at = {**place, "summary_index": index}
        text = part.get("text") or ""
        name = "response.reasoning_summary"
        yield {"type": f"{name}_part.added", **at, "part": {"type": "summary_text", "text": ""}}
        yield {"type": f"{name}_text.delta", **at, "delta": text}
        yield {"type": f"{name}_text.done", **at, "text": text}
        yield {"type": f"{name}_part.done", **at, "part": part}
