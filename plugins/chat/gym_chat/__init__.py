"""Responses API <-> Chat Completions: pure functions over the bodies as dicts, both ways.

`chat_request` and `response_from_completion` let a caller who speaks Responses use a Chat Completions server;
`responses_request` and `completion_from_response` are their inverses, for serving. A round trip loses nothing that the
other API can say; fields that neither API knows pass through. What cannot be said raises `ValueError`.
The one thing that moves is an image or a file in a tool's output, for servers that take text alone there: `tool_media`.

Three fields exist on one side only and are kept under names of their own:

- `chat_message` on an item, `chat_tool` on a tool: fields of the chat message or tool that have no place on it.
- `chat_field` on a reasoning item: the name the server gave the text, where it was not `reasoning_content`.
- `chat_completion` on a response: whatever else the server sent, in the shape in which it came.
"""

from __future__ import annotations

from gym_chat.completions import completion_from_response, response_from_completion
from gym_chat.requests import chat_request, responses_request

__all__ = ["chat_request", "completion_from_response", "response_from_completion", "responses_request"]
