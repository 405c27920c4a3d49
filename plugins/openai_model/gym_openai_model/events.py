"""Replies that come as a stream of server-sent events, although none was asked for: some gateways know no other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from gym_core import JsonError, parse_json

_STREAM = re.compile(rb"(?:\xef\xbb\xbf)?(?:\s+|:[^\r\n]*(?:[\r\n]|\Z))*(?:data|event|id|retry):")
_LINE = re.compile(r"\r\n|\n|\r")
_ITEM = "response.output_item.done"
_FINISHED = frozenset(f"response.{end}" for end in ("completed", "done", "incomplete", "failed", "cancelled"))
_UNNAMED = frozenset({"", "message"})
_SAID_ONCE = frozenset({"role", "id", "type", "name", "index"})
_OF_A_CHOICE = frozenset({"delta", "message", "finish_reason"})
_DEPTH = 4
_DONE = "[DONE]"


class _Text(list[str]):
    """A text that grows: its pieces."""


class BrokenStream(Exception):
    """A stream of events holds no response. `body`: the error that it holds, if it does."""

    def __init__(self, reason: str, body: Mapping[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.body = body


def is_stream(body: bytes) -> bool:
    """Whether a body is a stream of server-sent events, which no JSON looks like."""
    return _STREAM.match(body) is not None


def assembled(body: bytes) -> dict[str, Any]:
    """The chat completion, or the response of the Responses API, that a whole stream adds up to.

    Raises `BrokenStream` for one that holds an error, none of both, or not all of it.
    """
    chunks: list[dict[str, Any]] = []
    items: dict[int, dict[str, Any]] = {}
    done = False
    for name, event in _events(body):
        if event == _DONE:
            done = True
            continue
        if name == "error" or (isinstance(event, dict) and _is_error(event)):
            raise BrokenStream("its stream ends with an error", _as_error(event))
        if not isinstance(event, dict):
            continue
        if event.get("type") == _ITEM and isinstance(event.get("item"), dict):
            place = event.get("output_index")
            items[place if isinstance(place, int) else len(items)] = event["item"]
        if event.get("type") in _FINISHED and isinstance(event.get("response"), dict):
            whole: dict[str, Any] = event["response"]
            if whole.get("output") or not items:
                return whole
            # many proxies send the items one by one, and none of them at the end
            return {**whole, "output": [items[place] for place in sorted(items)]}
        if isinstance(event.get("output"), list):  # a whole response as one event
            return event
        chunks.append(event)
    completions = [chunk for chunk in chunks if isinstance(chunk.get("choices"), list)]
    if not completions:
        cut = any(str(chunk.get("type")).startswith("response.") for chunk in chunks)
        reason = "its stream of events is cut off" if cut else "it is a stream of events without a response"
        raise BrokenStream(reason, chunks[-1] if chunks else None)
    completion = _completion(completions)
    if not done and not all(choice.get("finish_reason") for choice in completion["choices"]):
        raise BrokenStream("its stream of events is cut off")
    return completion


def _events(body: bytes) -> Iterator[tuple[str, Any]]:
    """The name and the value of each event. Raises `BrokenStream` for one without a name that is no JSON."""
    for name, lines in _texts(body):
        text = "\n".join(lines).strip()
        if not text or text == _DONE:
            values: list[Any] = [text] if text else []  # an empty one keeps a connection alive
        else:
            try:
                values = [parse_json(text)]
            except JsonError as error:
                if name not in _UNNAMED:  # such as `event: ping`
                    values = [text]
                elif len(lines) > 1:  # nothing parts the events from each other
                    values = [value for line in lines for _, value in _events(f"data:{line}".encode())]
                else:
                    raise BrokenStream(f"an event of its stream is {error}") from None
        for value in values:
            yield name, value


def _texts(body: bytes) -> Iterator[tuple[str, list[str]]]:
    """Name and data of each event (WHATWG, Server-sent events, 9.2.6), also of one that no empty line follows."""
    kind, lines = "", []
    for line in [*_LINE.split(body.decode("utf-8-sig", "replace").lstrip()), ""]:
        name, _, value = line.partition(":")
        if name == "data":
            lines.append(value.removeprefix(" "))
        elif name == "event":
            kind = value.strip()
        elif not line:
            if lines:
                yield kind, lines
            kind, lines = "", []


def _is_error(event: Mapping[str, Any]) -> bool:
    return bool(event.get("error")) or "error" in (event.get("type"), event.get("object"))


def _as_error(event: Any) -> dict[str, Any]:
    """An event that is an error, as the body of a reply that is one."""
    if not isinstance(event, dict):
        return {"error": {"message": str(event)}}
    return event if isinstance(event.get("error"), str) else {"error": event.get("error") or event}


def _completion(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """A chat completion from its chunks."""
    completion: dict[str, Any] = {}
    choices: dict[Any, dict[str, Any]] = {}
    for chunk in chunks:
        completion |= {name: value for name, value in chunk.items() if value is not None or name not in completion}
        for part in chunk["choices"]:
            if isinstance(part, dict):
                choice = choices.setdefault(str(part.get("index", 0)), {"index": part.get("index", 0)})
                for name in ("delta", "message"):
                    if isinstance(part.get(name), dict):
                        _join(choice.setdefault("message", {}), part[name])
                _join(choice, {name: value for name, value in part.items() if name not in _OF_A_CHOICE})
                choice["finish_reason"] = part.get("finish_reason") or choice.get("finish_reason")
    for choice in choices.values():
        _settle(choice)
        if "message" in choice:
            choice["message"] = {"role": "assistant", "content": None, **choice["message"]}
            for call in choice["message"].get("tool_calls") or ():
                call.pop("index", None)
    return {**completion, "object": "chat.completion", "choices": list(choices.values())}


def _join(whole: dict[str, Any], part: Mapping[str, Any], depth: int = 0) -> None:
    """Add what a chunk says to what those before it said."""
    for name, value in part.items():
        known = whole.get(name)
        if name == "tool_calls" and isinstance(value, list):
            whole[name] = _join_calls(known if isinstance(known, list) else [], value)
        elif known is None or value is None:
            whole[name] = known if value is None else value
        elif name in _SAID_ONCE:
            whole[name] = known or value
        elif isinstance(value, str) and isinstance(known, str):
            whole[name] = _Text((known, value))
        elif isinstance(value, str) and isinstance(known, _Text):
            known.append(value)
        elif isinstance(value, list) and isinstance(known, str | _Text):
            whole[name] = [*([{"type": "text", "text": known}] if known else []), *value]
        elif isinstance(value, list) and isinstance(known, list):
            known.extend(value)
        elif isinstance(value, str) and isinstance(known, list):  # thoughts are parts, and what is said a text
            last = known[-1] if known else None
            if isinstance(last, dict) and last.get("type") == "text":
                _join(last, {"text": value})
            elif value:
                known.append({"type": "text", "text": value})
        elif isinstance(value, dict) and isinstance(known, dict) and depth < _DEPTH:
            _join(known, value, depth + 1)
        else:
            whole[name] = value


def _settle(whole: Any) -> Any:
    """Make texts of their pieces."""
    if isinstance(whole, _Text):
        return "".join(whole)
    if isinstance(whole, dict):
        for name, value in whole.items():
            if isinstance(value, dict | list):
                whole[name] = _settle(value)
    elif isinstance(whole, list) and whole and isinstance(whole[0], dict):
        whole[:] = map(_settle, whole)
    return whole


def _join_calls(calls: list[dict[str, Any]], parts: list[Any]) -> list[dict[str, Any]]:
    for part in parts:
        if isinstance(part, dict):
            call = _call_of(part, calls)
            if call is None:
                call = {}
                calls.append(call)
            _join(call, part)
    return calls


def _call_of(part: Mapping[str, Any], calls: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The call that a part goes on with. Some servers number every call 0, and tell them apart by their ids, if so."""
    identity, index = part.get("id"), part.get("index")
    for call in calls[::-1]:
        known, same = call.get("id"), bool(call.get("index") == index)
        goes_on = known == identity or (same and not known) if identity else same or index is None
        if goes_on and (identity or not _begins(part, call)):
            return call
    return None


def _begins(part: Mapping[str, Any], call: Mapping[str, Any]) -> bool:
    """Whether a part without an id begins another call than the one that is under way."""
    begun, going = part.get("function"), call.get("function")
    if not isinstance(begun, dict) or not isinstance(going, dict) or not begun.get("name"):
        return False
    return begun["name"] != going.get("name", begun["name"]) or bool(
        begun.get("arguments") and _is_whole(going.get("arguments"))
    )


def _is_whole(arguments: Any) -> bool:
    try:
        return isinstance(parse_json("".join(arguments or "")), dict)
    except JsonError:
        return False
