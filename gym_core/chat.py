"""Responses API <-> Chat Completions: pure functions over the bodies as dicts, both ways."""

from gym_core.domain.chat import (
    chat_request,
    completion_from_response,
    response_from_completion,
    responses_request,
)

__all__ = [
    "chat_request",
    "completion_from_response",
    "response_from_completion",
    "responses_request",
]
