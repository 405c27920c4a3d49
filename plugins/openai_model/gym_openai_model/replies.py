"""What an error reply says, whatever its shape."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gym_core import JsonError, encode_json, parse_json

_MESSAGE_LENGTH = 500
_WORDS_LENGTH = 8000
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_MASKED_KEY = re.compile(r"[\w-]*\*{3,}[\w-]*")
_CODE_FIELDS = ("code", "type", "status", "error_type")


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """An error reply, read.

    `message`: its words on one line, shortened. `words`: everything it says, in lower case, to look for wordings.
    `codes`: its codes and types, in lower case. `param`: the field of the request it blames, if any.
    """

    status: int
    message: str
    words: str
    codes: frozenset[str]
    param: str
    is_html: bool


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> ErrorReply:
    """Read the body of an error reply: any of the JSON shapes in use, a web page, or plain text."""
    if looks_like_html(headers, body):
        text = body[:20000].decode("utf-8", "replace")
        title = _TITLE.search(text)
        words = _one_line(title.group(1) if title else _TAG.sub(" ", text))
        return ErrorReply(status, words or "an empty page", words.lower(), frozenset(), "", is_html=True)
    try:
        value = parse_json(body)
    except JsonError:
        value = None
    if isinstance(value, list) and value:
        value = value[0]  # Gemini wraps its error into a list
    found = value.get("error", value) if isinstance(value, Mapping) else None
    if isinstance(value, Mapping) and isinstance(found, str):
        found = {**value, "message": found}
    if not isinstance(found, Mapping):
        text = _one_line(body[:4000].decode("utf-8", "replace"))
        return ErrorReply(status, text or "an empty reply", text.lower(), frozenset(), "", is_html=False)
    message = _one_line(_message(found)) or _one_line(encode_json(found).decode()) or "no reason given"
    codes = frozenset(_codes(found))
    param = found.get("param")
    words = f"{_message(found)[:_WORDS_LENGTH]} {' '.join(sorted(codes))[:_WORDS_LENGTH]}".lower()
    return ErrorReply(status, message, words, codes, param if isinstance(param, str) else "", is_html=False)


def looks_like_html(headers: Mapping[str, str], body: bytes) -> bool:
    """Whether a reply is a web page."""
    start = body[:200].lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html")) or (
        start.startswith(b"<") and "html" in headers.get("content-type", "").lower()
    )


def error_status(error: Any) -> int:
    """The HTTP status that an error inside a reply with status 200 stands for."""
    code = error.get("code") if isinstance(error, Mapping) else None
    if type(code) is int and 400 <= code < 600:
        return code
    if not isinstance(code, str):
        return 500
    if re.fullmatch(r"[45]\d\d", code):
        return int(code)
    if code in ("rate_limit_exceeded", "insufficient_quota"):
        return 429
    return 500 if re.search(r"server|internal|overload|timeout|unavailable", code) else 400


def _message(found: Mapping[str, Any]) -> str:
    texts: list[str] = []
    for name in ("message", "detail", "msg"):
        value: Any = found.get(name)
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, Mapping):
            texts.append(_message(value))
        elif isinstance(value, list):  # FastAPI: one entry per invalid field
            texts += [_field_problem(entry) for entry in value if isinstance(entry, Mapping)]
    metadata = found.get("metadata")
    raw: Any = metadata.get("raw") if isinstance(metadata, Mapping) else None
    if isinstance(raw, str):
        texts.append(raw)  # OpenRouter: what the provider behind it said
    return "; ".join(text for text in texts if text)


def _field_problem(entry: Mapping[str, Any]) -> str:
    location = entry.get("loc")
    where = ".".join(str(part) for part in location) if isinstance(location, list) else ""
    return f"{where}: {entry.get('msg', '')}".removeprefix(": ")


def _codes(found: Mapping[str, Any]) -> list[str]:
    codes = [str(found[name]).lower() for name in _CODE_FIELDS if isinstance(found.get(name), str | int)]
    inner = found.get("innererror") or found.get("inner_error")
    if isinstance(inner, Mapping):
        codes += _codes(inner)
    details = found.get("details")
    if isinstance(details, list):
        codes += [str(entry["reason"]).lower() for entry in details if isinstance(entry, Mapping) and "reason" in entry]
    return codes


def _one_line(text: str) -> str:
    # a refused key is quoted in part; even that is nobody's business
    line = _MASKED_KEY.sub("***", " ".join(text.split()))
    return line if len(line) <= _MESSAGE_LENGTH else line[: _MESSAGE_LENGTH - 3] + "..."
