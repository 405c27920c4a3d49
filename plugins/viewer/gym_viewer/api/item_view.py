"""One item of a conversation as the page draws it: its parts as texts, its image, its call as JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from gym_core import JsonError, encode_json, parse_json
from gym_core.spi import ArgumentError, call_id_of, content_parts, parse_arguments
from gym_results.part_view import describe_part
from gym_viewer.api.conversations import Conversations
from gym_viewer.api.shapes import ItemView, Part, TaskField

CUT = 20_000
"""Characters of a text that stand in a list of items; an item alone has all."""
_IMAGE = re.compile(r"data:image/(png|jpeg|gif|webp|avif|bmp);base64,[A-Za-z0-9+/=\s]+")


def item_view(talks: Conversations, place: int, branch: int | None, *, cut: int | None = CUT) -> ItemView:
    """The item at a place, in a branch, with what answered it. `cut`: None for all of every text."""
    view = _alone(talks, place, cut)
    view["again"] = branch is not None and talks.seen.get(place, branch) != branch
    if view["kind"] == "function_call":
        output = talks.answers.get(place)
        view["output"] = None if output is None else _alone(talks, output, cut)
    return view


def json_text(value: Any) -> str:
    """A value as indented JSON."""
    try:
        return encode_json(value, orjson.OPT_INDENT_2, fallback=str).decode()
    except JsonError:
        return "(it nests too deeply to be shown)"


def field_view(name: str, value: Any, *, cut: int | None = CUT) -> TaskField:
    """A field with its value as text."""
    is_text = isinstance(value, str)
    text = value if is_text else json_text(value)
    shown: TaskField = {"name": name, "text": text, "json": not is_text}
    if cut is not None and len(text) > cut:
        shown["text"], shown["cut"] = text[:cut], len(text)
    return shown


def _alone(talks: Conversations, place: int, cut: int | None) -> ItemView:
    item = talks.items[place]
    kind = str(item.get("type") or "message")
    call = talks.given_by.get(place)
    view: ItemView = {
        "place": place,
        "kind": kind,
        "role": str(item.get("role") or "") if kind == "message" else "",
        "parts": [],
        "turn": talks.turns.get(place),
        "call": call,
        "again": False,
    }
    if kind == "function_call":
        _add_call(view, item, cut)
        if (run := talks.runs.get(place)) is not None:
            view["seconds"] = run.seconds
            if run.error:
                view["error"] = run.error
    else:
        view["parts"] = [_shortened(part, cut) for part in _parts(kind, item)]
    return view


def _add_call(view: ItemView, item: Mapping[str, Any], cut: int | None) -> None:
    arguments = item.get("arguments")
    try:
        text, is_json = json_text(parse_arguments(arguments)), True
    except ArgumentError:
        text, is_json = arguments if isinstance(arguments, str) else json_text(arguments), False
    view["name"] = str(item.get("name") or "")
    view["call_id"] = call_id_of(item)
    view["arguments"], view["json"] = text, is_json
    if cut is not None and len(text) > cut:
        view["arguments"], view["cut"] = text[:cut], len(text)


def _parts(kind: str, item: Mapping[str, Any]) -> Iterator[Part]:
    if kind == "message":
        yield from map(_part, content_parts(item))
    elif kind == "function_call_output":
        yield from _output(item.get("output"))
    elif kind == "reasoning":
        yield from _reasoning(item)
    else:
        yield {"kind": "json", "text": json_text(item)}


def _part(part: Mapping[str, Any]) -> Part:
    kind = str(part.get("type") or "")
    text = part.get("text")
    if kind.endswith("text") and isinstance(text, str):
        return {"kind": "text", "text": text}
    if kind == "refusal":
        return {"kind": "refusal", "text": str(part.get("refusal") or "")}
    about = describe_part(part)
    if about is None:
        return {"kind": "json", "text": json_text(part)}
    word = about.partition(" ")[0].rstrip(",")
    shown: Part = {"kind": word if word in ("image", "audio", "file") else "json", "text": about}
    url = part.get("image_url")
    url = url.get("url") if isinstance(url, Mapping) else url
    if word == "image" and isinstance(url, str) and _IMAGE.fullmatch(url):
        shown["url"] = url
    return shown


def _output(output: Any) -> Iterator[Part]:
    if isinstance(output, list):
        yield from map(_part, content_parts({"content": output}))
    elif isinstance(output, str):
        yield _pretty(output)
    else:
        yield {"kind": "json", "text": json_text(output)}


def _pretty(text: str) -> Part:
    """A text that is a JSON object or list as such, indented."""
    if text.lstrip()[:1] in ("{", "["):
        try:
            return {"kind": "json", "text": json_text(parse_json(text))}
        except JsonError:
            pass
    return {"kind": "text", "text": text}


def _reasoning(item: Mapping[str, Any]) -> Iterator[Part]:
    found = False
    for group in (item.get("summary"), item.get("content")):
        for part in group if isinstance(group, list) else ():
            if isinstance(part, Mapping) and isinstance(part.get("text"), str):
                found = True
                yield {"kind": "text", "text": part["text"]}
    if not found:
        hidden = "(encrypted)" if item.get("encrypted_content") else "(not shown by the model's server)"
        yield {"kind": "text", "text": hidden}


def _shortened(part: Part, cut: int | None) -> Part:
    if cut is not None and len(part["text"]) > cut:
        part["cut"] = len(part["text"])
        part["text"] = part["text"][:cut]
    return part
