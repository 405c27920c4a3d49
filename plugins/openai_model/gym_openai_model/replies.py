"""What an error reply says, whatever its shape."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gym_core import JsonError, encode_json, parse_json
from gym_openai_model.events import BrokenStream, assembled

_MESSAGE_LENGTH = 500
_WORDS_LENGTH = 8000
_DEPTH = 8
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_MASKED_KEY = re.compile(r"[\w-]*\*{3,}[\w-]*")
_CODE_FIELDS = ("code", "type", "status", "reason", "error_type", "error_code", "__type")
_STATUS_FIELDS = ("http_status", "status_code", "http_code")
_ERROR_FIELDS = frozenset({"error_code", "error_msg", "errors", "detail"})
_STATUSES = (
    (r"rate_?limit|insufficient_quota|too_?many|throttl|resource_?exhausted|quota", 429),
    (r"overload|unavailable|capacity", 503),
    (r"authenti|invalid_api_key|unauthorized|api_key", 401),
    (r"permission|forbidden", 403),
    (r"timeout|deadline", 504),
    (r"server|internal|api_error|upstream|unknown", 500),
)
"""What codes and types say, where nothing says a status."""


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """An error reply, read.

    `message`: its words on one line, shortened. `words`: everything it says, in lower case, to look for wordings.
    `codes`: its codes and types, in lower case. `param`: the field of the request it blames, if any. `body`: its JSON,
    None where it has none.
    """

    status: int
    message: str
    words: str
    codes: frozenset[str]
    param: str
    is_html: bool
    body: Any = field(default=None, repr=False)


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> ErrorReply:
    """Read the body of an error reply: any of the JSON shapes in use, a web page, or plain text."""
    if looks_like_html(headers, body):
        text = body[:20000].decode("utf-8", "replace")
        title = _TITLE.search(text)
        words = _one_line(title.group(1) if title else _TAG.sub(" ", text))
        return ErrorReply(status, words or "an empty page", words.lower(), frozenset(), "", is_html=True)
    whole = value = _json(body)
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
    blamed = param if isinstance(param, str) else ""
    return ErrorReply(status, message, words, codes, blamed, is_html=False, body=whole)


def looks_like_html(headers: Mapping[str, str], body: bytes) -> bool:
    """Whether a reply is a web page."""
    start = body[:200].lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html")) or (
        start.startswith(b"<") and "html" in headers.get("content-type", "").lower()
    )


def error_inside(body: bytes | Mapping[str, Any] | None) -> Any:
    """The error in a reply of a good status that is no response; None where it speaks of none."""
    if isinstance(body, bytes):
        body = _json(body)
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, Mapping):
        return None
    if body.get("error"):
        return body["error"]
    inner = body.get("base_resp")  # MiniMax
    if isinstance(inner, Mapping) and inner.get("status_code"):
        return {"code": inner["status_code"], "message": inner.get("status_msg")}
    said = isinstance(body.get("message", body.get("msg")), str) or _ERROR_FIELDS & body.keys()
    return body if said or "error" in (body.get("object"), body.get("type")) else None


def error_status(error: Any) -> int:
    """The HTTP status that an error inside a reply with status 200 stands for."""
    if not isinstance(error, Mapping):
        return 500
    said = [error.get(name) for name in (*_STATUS_FIELDS, *_CODE_FIELDS)]
    for value in said:
        if isinstance(value, int | str) and re.fullmatch(r"[45]\d\d", str(value)):
            return int(value)
    words = " ".join(str(value) for value in said if isinstance(value, str)).lower()
    for pattern, status in _STATUSES:
        if re.search(pattern, words):
            return status
    return 400 if isinstance(error.get("code"), str) else 500


def _message(found: Mapping[str, Any], depth: int = 0) -> str:
    texts: list[str] = []
    for name in ("message", "detail", "msg", "error_msg", "errors"):
        value: Any = found.get(name)
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, Mapping) and depth < _DEPTH:
            texts.append(_message(value, depth + 1))
        elif isinstance(value, list):  # FastAPI: one entry per invalid field; Cloudflare: one per error
            texts += [_field_problem(entry) for entry in value if isinstance(entry, Mapping)]
    metadata = found.get("metadata")
    raw: Any = metadata.get("raw") if isinstance(metadata, Mapping) else None
    if isinstance(raw, str):
        texts.append(raw)  # OpenRouter: what the provider behind it said
    return "; ".join(text for text in texts if text)


def _field_problem(entry: Mapping[str, Any]) -> str:
    location = entry.get("loc")
    where = ".".join(str(part) for part in location) if isinstance(location, list) else ""
    return f"{where}: {entry.get('msg') or entry.get('message') or ''}".removeprefix(": ")


def _codes(found: Mapping[str, Any], depth: int = 0) -> list[str]:
    codes = [str(found[name]).lower() for name in _CODE_FIELDS if isinstance(found.get(name), str | int)]
    inner = found.get("innererror") or found.get("inner_error")
    if isinstance(inner, Mapping) and depth < _DEPTH:
        codes += _codes(inner, depth + 1)
    details = found.get("details")
    if isinstance(details, list):
        for entry in details:
            if isinstance(entry, Mapping):
                violations = entry.get("violations")  # which of Google's quotas was met
                named = [entry.get("reason"), *(_ids(violations) if isinstance(violations, list) else ())]
                codes += [str(name).lower() for name in named if name is not None]
    return codes


def _json(body: bytes) -> Any:
    """The JSON of a body, also where it is an event of a stream; None where it is none."""
    try:
        return parse_json(body)
    except JsonError:
        pass
    try:
        return assembled(body)
    except BrokenStream as error:
        return error.body


def _ids(violations: list[Any]) -> list[Any]:
    return [entry.get("quotaId") for entry in violations if isinstance(entry, Mapping)]


def _one_line(text: str) -> str:
    # a refused key is quoted in part; even that is nobody's business
    line = _MASKED_KEY.sub("***", " ".join(text.split()))
    return line if len(line) <= _MESSAGE_LENGTH else line[: _MESSAGE_LENGTH - 3] + "..."
