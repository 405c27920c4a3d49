"""How long replies ask to wait, in the ways that servers say it."""

from __future__ import annotations

import email.utils
from typing import Any

import pytest

from gym_http1 import retry_after_seconds
from gym_http1.retry_after import duration

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({}, "", None),
        ({"retry-after": "2"}, "", 2),
        ({"retry-after": "0.5"}, "", 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, "", 1.5),
        ({"retry-after": email.utils.formatdate(NOW + 30, usegmt=True)}, "", 30),
        ({"retry-after": email.utils.formatdate(NOW - 30, usegmt=True)}, "", 0),
        (
            {
                "retry-after": email.utils.formatdate(NOW + 1030, usegmt=True),
                "date": email.utils.formatdate(NOW + 1000, usegmt=True),
            },
            "",
            30,
        ),
        ({"retry-after": "-1"}, "", None),
        ({"retry-after": "nan"}, "", None),
        ({"retry-after": "soon"}, "", None),
        (
            {
                "x-ratelimit-remaining-requests": "7",
                "x-ratelimit-reset-requests": "6m0s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "1.5s",
            },
            "",
            1.5,
        ),
        ({"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-reset-tokens": "120ms"}, "", 0.12),
        ({"x-ratelimit-reset": str(int((NOW + 20) * 1000))}, "", 20),
        ({"x-ratelimit-reset": str(int(NOW + 20))}, "", 20),
        ({}, "Rate limit reached. Please try again in 1m2.5s. Visit ...", 62.5),
        ({}, "Please try again in 20ms.", 0.02),
        ({}, "Please retry in 33.5s.", 33.5),
        ({}, "Please retry after 7 seconds.", 7),
        ({}, "Try again later", None),
        ({}, "Rate limited. Please try again in 1 hour, 2 minutes and 5 secs.", 3725),
        ({}, "Limit resets after 10s", 10),
        ({"x-ms-retry-after-ms": "250"}, "", 0.25),
        ({"retry-after": str(int(NOW + 40))}, "", 40),
        ({"retry-after": "2027-01-15T08:00:30Z"}, "", 30),
        ({"retry-after": "Wednesday"}, "", None),
        ({"retry-after": "1e400"}, "", None),
        ({"retry-after": "20 seconds"}, "", 20),
        ({"ratelimit-reset": "12", "ratelimit-remaining": "0"}, "", 12),
        (
            {
                "anthropic-ratelimit-tokens-remaining": "0",
                "anthropic-ratelimit-tokens-reset": "2027-01-15T08:00:05Z",
                "anthropic-ratelimit-requests-remaining": "9",
                "anthropic-ratelimit-requests-reset": "2027-01-15T08:00:01Z",
            },
            "",
            5,
        ),
        ({"retry-after": '"30"'}, "", 30),
        ({"retry-after": "30, 30"}, "", 30),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:30 GMT"}, "", 30),
        ({"x-ratelimit-reset-after": "7.5"}, "", 7.5),
        ({"x-rate-limit-reset": str(int(NOW + 20))}, "", 20),
        ({"ratelimitbysize-reset": "12", "ratelimitbysize-remaining": "0"}, "", 12),
        (
            {
                "x-ratelimit-remaining-requests-day": "9",
                "x-ratelimit-reset-requests-day": "3600",
                "x-ratelimit-remaining-tokens-minute": "0",
                "x-ratelimit-reset-tokens-minute": "41",
            },
            "",
            41,
        ),
        ({"ratelimit": '"default";r=0;t=30'}, "", 30),
        ({"ratelimit": "limit=10, remaining=0, reset=30"}, "", 30),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], message: str, seconds: float | None) -> None:
    found = retry_after_seconds(headers, message, NOW)
    assert found == (seconds if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("6m0s", 360),
        ("120ms", 0.12),
        ("1h2m3s", 3723),
        ("2", 2),
        ("1d", 86400),
        ("3 minutes", 180),
        ("x", None),
    ],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        (
            [{"error": {"details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "33.5s"}]}}],
            33.5,
        ),
        ({"error": {"retry_after": 2}}, 2),
        ({"retry_after_ms": 1500}, 1.5),
        ({"detail": {"retryAfter": "3s"}}, 3),
        ({"error": {"metadata": {"headers": {"X-RateLimit-Reset": str(int((NOW + 20) * 1000))}}}}, 20),
        ({"error": {"retry-after": 30}}, 30),
        ({"error": {"retry_after": "2027-01-15T08:00:30Z"}}, 30),
        ({"error": {"type": "usage_limit_reached", "resets_in_seconds": 30}}, 30),
        ({"error": {"type": "usage_limit_reached", "resets_at": int(NOW + 30)}}, 30),
        ({"retry_after": True}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": -1}, None),
        ("retry_after", None),
    ],
)
def test_the_body_may_say_it(body: Any, seconds: float | None) -> None:
    assert retry_after_seconds({}, "", NOW, body) == (seconds if seconds is None else pytest.approx(seconds))
