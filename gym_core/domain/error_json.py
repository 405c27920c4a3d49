"""An error as JSON: in the row of a rollout, and in what a served component answers."""

from __future__ import annotations

from typing import Any

from gym_core.domain.blame import unwrapped
from gym_core.domain.errors import FieldError, ModelError, error_chain, error_text


def error_json(error: BaseException, phase: str, *, retryable: bool) -> dict[str, Any]:
    """`class`, `message`, `phase` and `retryable`; `field`, `http_status` and `causes` where they are known."""
    error = unwrapped(error)
    described: dict[str, Any] = {
        "class": type(error).__name__,
        "message": error_text(error) or type(error).__name__,
        "phase": phase,
        "retryable": retryable,
    }
    if isinstance(error, FieldError):
        described["field"] = error.field
    if isinstance(error, ModelError) and error.status is not None:
        described["http_status"] = error.status
    causes = error_chain(error)[1:]
    if causes:
        described["causes"] = causes
    return described
