"""An agent asked as if it were a model: session and agent talk, and the talk is the answer."""

from __future__ import annotations

import secrets
from typing import Any

from gym_core.responses import TRUNCATING
from gym_core.spi import RolloutRun


def answer_of(run: RolloutRun, stop_reason: str | None) -> dict[str, Any]:
    """What was said as one Responses body, with an id of its own."""
    body = run.response()
    body["id"] = f"resp_{secrets.token_hex(12)}"
    if stop_reason in TRUNCATING:
        body["status"], body["incomplete_details"] = "incomplete", {"reason": stop_reason}
    return body
