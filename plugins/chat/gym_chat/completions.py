"""Replies: a chat completion <-> a Responses body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gym_chat.items import assistant_items
from gym_chat.messages import add_to_assistant
from gym_chat.parts import fields_of, nested
from gym_core import StopReason
from gym_core.spi import ending, is_error

_COMPLETED = StopReason.COMPLETED  # Python 3.11 takes long to find a member by its class
_FINISH = {StopReason.MAX_OUTPUT_TOKENS: "length", StopReason.CONTENT_FILTER: "content_filter"}
_SAME = {"created": "created_at", "model": "model", "service_tier": "service_tier"}
_COMPLETION_FIELDS = frozenset({"id", "usage", "choices", *_SAME})
_CHOICE_FIELDS = frozenset({"message", "logprobs"})
_USAGE = {
    "prompt_tokens": "input_tokens",
    "prompt_tokens_details": "input_tokens_details",
    "completion_tokens": "output_tokens",
    "completion_tokens_details": "output_tokens_details",
}
_CHAT_USAGE = {name: chat for chat, name in _USAGE.items()}


def response_from_completion(completion: Mapping[str, Any]) -> dict[str, Any]:
    """A chat completion as a Responses body.

    The output holds the items of the first choice; `status` and `incomplete_details` come from its `finish_reason`,
    and one that is not known to mean an end makes a `failed` response. A call that came without an id is given one.
    What has no place there stays under `chat_completion`, further choices included. Raises `ValueError` for an object
    that is no chat completion.
    """
    choice, message, end = _first_choice(completion)
    ident = completion.get("id")
    output = assistant_items(message, str(ident) if ident else "0")
    finish = choice.get("finish_reason")
    body: dict[str, Any] = {"id": ident or "resp_0", "object": "response", "status": "completed", "output": output}
    if end in _FINISH:
        body["status"] = "incomplete"
        body["incomplete_details"] = {"reason": end}
        if output and "status" in output[-1]:
            output[-1]["status"] = "incomplete"
    elif end is None:
        body["status"] = "failed"
        known = f"the answer was broken off, as far as is known: finish_reason {finish!r:.80}"
        body["error"] = {"code": "server_error", "message": known}
    for said in (choice.get("error"), completion.get("error")):
        if said and is_error(said):
            body["status"], body["error"] = "failed", said
            break
    for name, field in _SAME.items():
        if completion.get(name) is not None:
            body[field] = completion[name]
    if isinstance(completion.get("usage"), dict):
        body["usage"] = {_USAGE.get(name, name): value for name, value in completion["usage"].items()}
    rest = fields_of(choice, _CHOICE_FIELDS)
    left = _place_logprobs(choice, output)
    if left:
        rest["logprobs"] = left
    if not output:  # what would stand on the items, were there any
        rest["message"] = fields_of(message)
    body["chat_completion"] = {
        **fields_of(completion, _COMPLETION_FIELDS),
        "choices": [rest, *completion["choices"][1:]],
    }
    return body


def _first_choice(completion: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any], str | None]:
    """The first choice, its message and what its `finish_reason` means.

    Many servers that answer whole say no reason: then the answer has ended. One that was filtered or cut before its
    first word has no message.
    """
    choices = completion.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        raise ValueError("a chat completion needs `choices`")
    finish = choice.get("finish_reason")
    end = _COMPLETED if finish in (None, "", "stop", "tool_calls") else ending(finish)
    message = choice.get("message")
    if not isinstance(message, dict):
        if end == _COMPLETED:
            raise ValueError("a chat completion needs `choices` with a `message`")
        message = {}
    return choice, message, end


def _place_logprobs(choice: Mapping[str, Any], output: list[dict[str, Any]]) -> Any:
    """Put log probabilities onto the text that they are of; what is left of them is returned."""
    logprobs = choice.get("logprobs")
    if not isinstance(logprobs, dict):
        return {}
    content = logprobs.get("content")
    if not (content and isinstance(content, list) and all(isinstance(entry, dict) for entry in content)):
        return logprobs
    text = _only_text(output)
    if text is None:
        return logprobs
    text["logprobs"] = content
    return fields_of(logprobs, ("content",))


def _only_text(output: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The one text part of an output that is nothing but this text: only there log probabilities are surely its own."""
    if len(output) != 1 or output[0].get("type") != "message" or len(output[0]["content"]) != 1:
        return None
    part: dict[str, Any] = output[0]["content"][0]
    return part if part.get("type") == "output_text" else None


def completion_from_response(body: Mapping[str, Any]) -> dict[str, Any]:
    """A Responses body as a chat completion with one choice. Inverse of `response_from_completion`.

    Raises `ValueError` for a failed response, and for output items that Chat Completions cannot say.
    """
    output = body.get("output")
    if not isinstance(output, list):
        raise ValueError("a response needs a list `output`")
    kept = dict(body.get("chat_completion") or {})
    if body.get("status") == "failed" and not kept:
        raise ValueError("a failed response has no chat completion")
    first, *others = kept.pop("choices", None) or [{}]
    first = dict(first)
    message: dict[str, Any] = {"role": "assistant", "content": None}
    for item in output:
        add_to_assistant(message, item, item.get("type") or "message")
    message.update(first.pop("message", {}))
    _restore_annotations(message, output)
    completion: dict[str, Any] = {"id": body.get("id"), "object": "chat.completion", **kept}
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": _finish_reason(body, message)}
    _restore_logprobs(choice, output, first)
    choice.update(first)
    for name, field in _SAME.items():
        if body.get(field) is not None:
            completion[name] = body[field]
    completion["choices"] = [choice, *others]
    if isinstance(body.get("usage"), dict):
        completion["usage"] = {_CHAT_USAGE.get(name, name): value for name, value in body["usage"].items()}
    return completion


def _finish_reason(body: Mapping[str, Any], message: Mapping[str, Any]) -> str:
    if body.get("status") == "incomplete":
        reason = (body.get("incomplete_details") or {}).get("reason")
        return _FINISH.get(ending(reason) or StopReason.MAX_OUTPUT_TOKENS, "length")
    return "tool_calls" if message.get("tool_calls") else "stop"


def _restore_annotations(message: dict[str, Any], output: list[dict[str, Any]]) -> None:
    notes = [
        note
        for item in output
        if isinstance(item.get("content"), list)
        for part in item["content"]
        for note in part.get("annotations") or ()
    ]
    if notes:
        message["annotations"] = [nested(note) for note in notes]


def _restore_logprobs(choice: dict[str, Any], output: list[dict[str, Any]], first: dict[str, Any]) -> None:
    text = _only_text(output)
    logprobs = dict(first.pop("logprobs", None) or {})
    if text is not None and text.get("logprobs"):
        logprobs = {"content": text["logprobs"], **logprobs}
    if logprobs:
        choice["logprobs"] = logprobs
