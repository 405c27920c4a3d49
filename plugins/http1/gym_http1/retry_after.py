"""How long a server asks its callers to wait: the headers, fields and words that are in use for it."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

_UNIT = r"(?:ms|millis\w*|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)(?![a-z])"
_PART = rf"\d+(?:\.\d+)?\s*{_UNIT}"
_DURATION = re.compile(rf"(\d+(?:\.\d+)?)\s*({_UNIT})")
_IN_TEXT = re.compile(
    rf"(?:try again|retry|wait|available|resets?)[^.]{{0,40}}?\b(?:in|after|for|another)?\s*"
    rf"({_PART}(?:(?:\s|,|\band\b)*{_PART})*)",
    re.IGNORECASE,
)
_SECONDS = {"ms": 0.001, "mil": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_EPOCH_MILLISECONDS = 1e11
_EPOCH_SECONDS = 1e9
_MILLISECOND_HEADERS = ("retry-after-ms", "x-ms-retry-after-ms")
_RESET = re.compile(r"rate-?limit.*-reset(?:-|$)")
"""The names of headers such as `x-ratelimit-reset-tokens` and `anthropic-ratelimit-tokens-reset`."""
_RESET_FIELD = re.compile(r"\b(?:reset|t)=(\d+)")
"""Of `RateLimit`, as drafts of the IETF have it."""
_DELAYS = frozenset(
    {
        "retryafter",
        "retryafterseconds",
        "retrydelay",
        "retryin",
        "retryinseconds",
        "retryat",
        "resetafter",
        "resetin",
        "resetinseconds",
        "resetsin",
        "resetsinseconds",
        "resetsat",
    }
)
"""Fields of bodies, without the signs between their words."""
_MILLISECOND_DELAYS = frozenset({"retryafterms"})
_DEPTH = 8


def retry_after_seconds(
    headers: Mapping[str, str], message: str = "", now: float | None = None, body: Any = None
) -> float | None:
    """Seconds to wait, or None where the reply says nothing of it.

    `retry-after-ms` comes first, then `Retry-After` in seconds or as a date (RFC 9110, against the reply's own `Date`),
    then a field of the body (`retry_after`, Google's `retryDelay`), then the words of the message ("try again in
    1.2s"), then the reset of the limit that is used up (`x-ratelimit-reset-*` and the like, also those that OpenRouter
    quotes in the body). `headers`: looked up by lower-case names. `body`: the JSON of the reply. `now`: epoch seconds,
    for replies without a date.
    """
    for name in _MILLISECOND_HEADERS:
        milliseconds = _number(headers.get(name))
        if milliseconds is not None:
            return milliseconds / 1000
    given = headers.get("retry-after", "").strip(' "')
    if given:
        return _wait(given, headers, now)
    field = next(_fields(body, now), None)
    if field is not None:
        return field
    found = _IN_TEXT.search(message)
    said = duration(found.group(1)) if found else None
    if said is not None:
        return said
    reset = _reset(headers, now)
    return reset if reset is not None else _reset(_quoted(body), now)


def _wait(text: str, headers: Mapping[str, str], now: float | None) -> float | None:
    """Seconds in a number of them, a moment or a duration; of a list that proxies have made, its first entry."""
    seconds = _number(text)
    if seconds is None:
        seconds = _number(text.partition(",")[0])
    return _until(text, headers, now) if seconds is None else _from_now(seconds, now)


def duration(text: str) -> float | None:
    """Seconds in `1.5s`, `6m0s`, `120ms`, `1h2m`, `1 minute and 2 seconds` or a plain number of seconds."""
    number = _number(text)
    if number is not None:
        return number
    parts = _DURATION.findall(text.lower())
    if not parts:
        return None
    seconds = sum(float(amount) * _unit(unit) for amount, unit in parts)
    return seconds if math.isfinite(seconds) else None


def _unit(name: str) -> float:
    return next(_SECONDS[start] for start in (name[:3], name[:2], name[:1]) if start in _SECONDS)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _from_now(seconds: float, now: float | None) -> float:
    """Seconds as they are, or until they are reached where they count from 1970, also as milliseconds."""
    if seconds <= _EPOCH_SECONDS:
        return seconds
    then = seconds / 1000 if seconds > _EPOCH_MILLISECONDS else seconds
    return max(0.0, then - (time.time() if now is None else now))


def _moment(text: str) -> float | None:
    """The epoch seconds of a date as HTTP writes it, or as RFC 3339 does."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            found = read(text.strip())
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    return None


def _until(date: str, headers: Mapping[str, str], now: float | None) -> float | None:
    then = _moment(date)
    if then is None:
        return duration(date)
    start = _moment(headers.get("date", ""))
    if start is None:
        start = time.time() if now is None else now
    return max(0.0, then - start)


def _fields(value: Any, now: float | None, depth: int = 0) -> Iterator[float]:
    """What the fields of a body say, wherever in it they stand."""
    if depth > _DEPTH:
        return
    if isinstance(value, Mapping):
        for name, inner in value.items():
            known = str(name).lower().replace("_", "").replace("-", "")
            if known in _MILLISECOND_DELAYS and (milliseconds := _number(inner)) is not None:
                yield milliseconds / 1000
            elif known in _DELAYS and isinstance(inner, str | int | float) and not isinstance(inner, bool):
                seconds = _wait(str(inner), {}, now)
                if seconds is not None:
                    yield seconds
    for inner in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _fields(inner, now, depth + 1)


def _quoted(value: Any, depth: int = 0) -> Mapping[str, str]:
    """The headers that a body quotes: those of the provider behind it."""
    if not isinstance(value, Mapping) or depth > _DEPTH:
        return {}
    headers = value.get("headers")
    if isinstance(headers, Mapping):
        return {str(name).lower(): str(text) for name, text in headers.items()}
    return next((found for name in ("error", "metadata") if (found := _quoted(value.get(name), depth + 1))), {})


def _reset(headers: Mapping[str, str], now: float | None) -> float | None:
    """Until the limits that are used up are reset; where none says so, until the first that will be."""
    spent: list[float] = []
    others: list[float] = []
    for name, text in headers.items():
        name = name.lower()
        if not text or not _RESET.search(name):
            continue
        seconds = _wait(text, headers, now)
        if seconds is not None:
            (spent if headers.get(name.replace("reset", "remaining")) == "0" else others).append(seconds)
    found = _RESET_FIELD.search(headers.get("ratelimit", ""))
    if found and not spent:
        others.append(float(found.group(1)))
    return max(spent) if spent else min(others, default=None)
