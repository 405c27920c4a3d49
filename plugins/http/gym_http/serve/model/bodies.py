"""Answers of a backend as the whole bodies that OpenAI's API promises.

A backend's body holds what its endpoint sent, which may be little more than `output`. Clients with strict types want
the rest, so what is missing is added; nothing that is there is changed.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

from gym_chat import completion_from_response
from gym_core import Item, Response, Tokens
from gym_core.responses import StopReason
from gym_core.spi import TOKEN_FIELDS, ending

_ECHOED = ("instructions", "metadata", "temperature", "top_p", "max_output_tokens", "previous_response_id", "reasoning")
_ENDS: Mapping[str, str] = {StopReason.MAX_OUTPUT_TOKENS: "length", StopReason.CONTENT_FILTER: "content_filter"}
_PREFIX = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "custom_tool_call": "ctc",
    "function_call_output": "fco",
}


def whole_response(body: Mapping[str, Any], request: Mapping[str, Any], model: str) -> dict[str, Any]:
    """A Responses body with everything that a client may count on. `request`: what it answers."""
    ident = body.get("id") or f"resp_{secrets.token_hex(12)}"
    details = body.get("incomplete_details")
    whole: dict[str, Any] = {
        "id": ident,
        "object": "response",
        "created_at": int(time.time()),
        "status": "incomplete" if details else "completed",
        "error": None,
        "incomplete_details": details,
        "model": model,
        "parallel_tool_calls": request.get("parallel_tool_calls", True),
        "tool_choice": request.get("tool_choice") or "auto",
        "tools": request.get("tools") or [],
        **{name: request.get(name) for name in _ECHOED},
    }
    whole.update({name: value for name, value in body.items() if value is not None})
    whole["output"] = [_whole_item(item, f"{ident}_{place}") for place, item in enumerate(body["output"])]
    whole["usage"] = _whole_usage(body.get("usage"), "input_tokens", "output_tokens")
    if whole["incomplete_details"]:
        whole["incomplete_details"] = {"reason": Response(whole).stop_reason}
    return whole


def whole_completion(body: Mapping[str, Any], model: str) -> dict[str, Any]:
    """A Responses body as a chat completion. Raises `ValueError` for items that Chat Completions cannot say."""
    completion = completion_from_response(body)
    completion["id"] = completion.get("id") or f"chatcmpl-{secrets.token_hex(12)}"
    completion["created"] = int(completion.get("created") or time.time())
    completion["model"] = completion.get("model") or model
    completion["object"] = "chat.completion"
    for place, choice in enumerate(completion["choices"]):
        choice.setdefault("index", place)
        choice.setdefault("logprobs", None)
        message = choice.setdefault("message", {"role": "assistant"})
        choice["finish_reason"] = _finish_reason(choice)
        message["content"] = _as_text(message.get("content"))
        message.setdefault("refusal", None)
    completion["choices"][0]["message"].update({name: body[name] for name in TOKEN_FIELDS if name in body})
    completion.update({name: body[name] for name in ("weight_version",) if name in body})
    usage = _whole_usage(completion.get("usage"), "prompt_tokens", "completion_tokens")
    if usage is not None:
        completion["usage"] = usage
    return completion


def said_tokens(tokens: Tokens) -> dict[str, Any]:
    """The fields of a body that say the tokens of its call, see `protocol.model_client`."""
    if tokens.problem:
        return {"tokens_problem": tokens.problem}
    version = {} if tokens.version is None else {"weight_version": tokens.version}
    return {**tokens.fields(), **version}


def _finish_reason(choice: Mapping[str, Any]) -> str:
    """Why a choice ended, in one of the words that OpenAI's clients know."""
    finish = choice.get("finish_reason")
    end = _ENDS.get(ending(finish) or "")
    return end or ("tool_calls" if choice["message"].get("tool_calls") else "stop")


def _as_text(content: Any) -> Any:
    """Several parts of plain text as the one text that a chat completion has."""
    if isinstance(content, list) and all(part.keys() == {"type", "text"} for part in content):
        return "".join(part["text"] for part in content)
    return content


def _whole_item(item: Item, ident: str) -> Item:
    kind = item.get("type") or "message"
    if kind not in _PREFIX or (kind == "message" and item.get("role", "assistant") != "assistant"):
        return item
    whole: Item = {**item, "type": kind, "id": item.get("id") or f"{_PREFIX[kind]}_{ident}"}
    if kind == "reasoning":
        whole["summary"] = item.get("summary") or []
    else:
        whole["status"] = item.get("status") or "completed"
    if kind == "message":
        whole["role"] = "assistant"
        whole["content"] = _whole_content(item.get("content"))
    return whole


def _whole_content(content: Any) -> list[Any]:
    if not isinstance(content, list):
        content = [{"type": "output_text", "text": content or ""}]
    return [
        {**part, "annotations": part.get("annotations") or []}
        if isinstance(part, dict) and part.get("type") == "output_text"
        else part
        for part in content
    ]


def _whole_usage(usage: Any, input: str, output: str) -> dict[str, Any] | None:
    if not isinstance(usage, dict):
        return None
    taken, made = usage.get(input) or 0, usage.get(output) or 0
    return {
        **usage,
        input: taken,
        f"{input}_details": {"cached_tokens": 0, "cache_write_tokens": 0, **(usage.get(f"{input}_details") or {})},
        output: made,
        f"{output}_details": {"reasoning_tokens": 0, **(usage.get(f"{output}_details") or {})},
        "total_tokens": usage.get("total_tokens") or taken + made,
    }
