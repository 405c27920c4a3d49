"""The bodies of replies in both dialects.

Field names after the OpenAI API reference, "Responses" and "Chat Completions". Written apart from the conversion that
gym itself uses, so that one is a test of the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from gym_testing.replies import Item, Reply

CREATED = 1_700_000_000
_FINISH = {"max_output_tokens": "length"}


def encode(reply: Reply, path: str, model: str, number: int) -> bytes:
    """The bytes of a reply to a request at `path`. `number`: of the call, for the ids."""
    content = reply.content
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return content.encode()
    if isinstance(content, Mapping):
        return orjson.dumps(content)
    make = completion if path.endswith("/chat/completions") else response
    return orjson.dumps({**make(content, reply, model, number), **reply.fields})


def response(items: Sequence[Item], reply: Reply, model: str, number: int) -> dict[str, Any]:
    """The body of a Responses reply."""
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": CREATED,
        "status": "incomplete" if reply.incomplete else "completed",
        "error": None,
        "incomplete_details": {"reason": reply.incomplete} if reply.incomplete else None,
        "model": model,
        "output": list(items),
        "parallel_tool_calls": True,
        "usage": dict(reply.usage) if reply.usage is not None else None,
    }


def completion(items: Sequence[Item], reply: Reply, model: str, number: int) -> dict[str, Any]:
    """The body of a chat completion; an item that chat has no word for is left out."""
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    calls: list[dict[str, Any]] = []
    for item in items:
        if item["type"] == "message":
            for part in item["content"]:
                if part["type"] == "refusal":
                    message["refusal"] = part["refusal"]
                elif part["type"] == "output_text":
                    message["content"] = (message["content"] or "") + part["text"]
        elif item["type"] == "reasoning":
            message["reasoning_content"] = "".join(part["text"] for part in item["content"])
        elif item["type"] == "function_call":
            function = {"name": item["name"], "arguments": item["arguments"]}
            calls.append({"id": item["call_id"], "type": "function", "function": function})
    if calls:
        message["tool_calls"] = calls
    usual = "tool_calls" if calls else "stop"
    finish = _FINISH.get(reply.incomplete, reply.incomplete) or usual
    body: dict[str, Any] = {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": CREATED,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
    }
    if reply.usage is not None:
        names = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens"}
        names.update({f"{name}_details": f"{chat}_details" for name, chat in names.items()})
        body["usage"] = {names.get(name, name): value for name, value in reply.usage.items()}
    return body


def listing(models: Sequence[str]) -> bytes:
    """The body of `GET /models`."""
    data = [{"id": model, "object": "model", "created": CREATED, "owned_by": "gym"} for model in models]
    return orjson.dumps({"object": "list", "data": data})
