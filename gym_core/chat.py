"""Responses API <-> Chat Completions: pure functions over the bodies as dicts, both ways."""

from gym_core.domain.chat import chat_request as chat_request
from gym_core.domain.chat import completion_from_response as completion_from_response
from gym_core.domain.chat import response_from_completion as response_from_completion
from gym_core.domain.chat import responses_request as responses_request
