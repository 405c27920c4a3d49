"""Replies that come as a stream of server-sent events, although none was asked for: some gateways know no other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from gym_core import JsonError, parse_json

_STREAM = re.compile(rb"(?:\xef\xbb\xbf)?(?:\s+|:[^\r\n]*(?:[\r\n]|\Z))*(?:data|event|id|retry):")
_LINE = re.compile(r"\r\n|\n|\r")
_FINISHED = frozenset({"response.completed", "response.incomplete", "response.failed"})
_SAID_ONCE = frozenset({"role", "id", "type", "name", "index"})
_OF_A_CHOICE = frozenset({"delta", "message", "finish_reason"})
_DEPTH = 4


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
    done = False
    for text in _texts(body):
        if text == "[DONE]":
            done = True
            continue
        try:
            event = parse_json(text)
        except JsonError as error:
            raise BrokenStream(f"an event of its stream is {error}") from None
        if not isinstance(event, dict):
            continue
        if event.get("error") or event.get("type") == "error":
            raise BrokenStream("its stream ends with an error", {"error": event.get("error") or event})
        if event.get("type") in _FINISHED and isinstance(event.get("response"), dict):
            whole: dict[str, Any] = event["response"]
            return whole
        if isinstance(event.get("output"), list):  # a whole response as one event
            return event
        chunks.append(event)
    completions = [chunk for chunk in chunks if isinstance(chunk.get("choices"), list)]
    if not completions:
        cut = any(str(chunk.get("type")).startswith("response.") for chunk in chunks)
        raise BrokenStream("its stream of events is cut off" if cut else "it is a stream of events without a response")
    completion = _completion(completions)
    if not done and not all(choice.get("finish_reason") for choice in completion["choices"]):
        raise BrokenStream("its stream of events is cut off")
    return completion


def _texts(body: bytes) -> Iterator[str]:
    """The data of each event (WHATWG, Server-sent events, 9.2.6), also of one that no empty line follows."""
    lines: list[str] = []
    for line in [*_LINE.split(body.decode("utf-8-sig", "replace")), ""]:
        name, _, value = line.partition(":")
        if name == "data":
            lines.append(value.removeprefix(" "))
        elif not line and lines:
            yield "\n".join(lines).strip()
            lines = []


def _completion(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """A chat completion from its chunks."""
    completion: dict[str, Any] = {}
    choices: dict[Any, dict[str, Any]] = {}
    for chunk in chunks:
        completion |= {name: value for name, value in chunk.items() if value is not None or name not in completion}
        for part in chunk["choices"]:
            if isinstance(part, dict):
                choice = choices.setdefault(str(part.get("index", 0)), {"index": part.get("index", 0), "message": {}})
                for name in ("delta", "message"):
                    if isinstance(part.get(name), dict):
                        _join(choice["message"], part[name])
                _join(choice, {name: value for name, value in part.items() if name not in _OF_A_CHOICE})
                choice["finish_reason"] = part.get("finish_reason") or choice.get("finish_reason")
    for choice in choices.values():
        _settle(choice)
        choice["message"].setdefault("role", "assistant")
        choice["message"].setdefault("content", None)
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
        elif isinstance(value, list) and isinstance(known, list):
            known.extend(value)
        elif isinstance(value, dict) and isinstance(known, dict) and depth < _DEPTH:
            _join(known, value, depth + 1)
        else:
            whole[name] = value


def _settle(whole: dict[str, Any]) -> None:
    """Make texts of their pieces."""
    for name, value in whole.items():
        if isinstance(value, _Text):
            whole[name] = "".join(value)
        elif isinstance(value, dict):
            _settle(value)
        elif name == "tool_calls" and isinstance(value, list):
            for call in value:
                _settle(call)


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
    """The call that a part goes on with. Some servers number every call 0, and tell them apart by their ids."""
    identity, index = part.get("id"), part.get("index")
    for call in calls[::-1]:
        known, same = call.get("id"), bool(call.get("index") == index)
        goes_on = known == identity or (same and not known) if identity else same or index is None
        if goes_on:
            return call
    return None
