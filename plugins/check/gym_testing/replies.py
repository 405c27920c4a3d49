"""What a scripted endpoint answers: items of a model, or anything else, and how the bytes of it travel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

import orjson

Item: TypeAlias = dict[str, Any]

USAGE: Mapping[str, Any] = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 15,
}
"""What an answer says it took, unless it is told otherwise."""


class Delivery(Enum):
    """How a reply travels.

    `WHOLE`: as it should. `SLOW`: the body in pieces. `HANG`: nothing is sent, and the connection stays open. The
    others close the connection: before the first byte, in the middle of the body, or after it although the reply
    promised to keep it open.
    """

    WHOLE = "whole"
    SLOW = "slow"
    HANG = "hang"
    DROP_BEFORE = "drop before"
    DROP_INSIDE = "drop inside"
    DROP_AFTER = "drop after"


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply of an endpoint.

    `content`: output items of a model, which are put into a body of the dialect that was asked in; any other mapping is
    sent as JSON, text and bytes as they are. `incomplete`: the reason why an answer is not whole
    (`max_output_tokens`, `content_filter`). `usage`: of an answer, in the words of the Responses API. `fields`: laid
    over the body of an answer. `seconds`: how long a slow body takes. `length_error`: how many bytes `Content-Length`
    is off.
    """

    content: Sequence[Item] | Mapping[str, Any] | str | bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delivery: Delivery = Delivery.WHOLE
    incomplete: str = ""
    usage: Mapping[str, Any] | None = field(default_factory=lambda: dict(USAGE))
    fields: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.05
    length_error: int = 0
    name: str = ""
    """What stands for it in a message."""

    @property
    def items(self) -> list[Item] | None:
        """The output items of an answer, None for any other reply."""
        if isinstance(self.content, str | bytes | Mapping):
            return None
        return list(self.content)

    def __repr__(self) -> str:
        return self.name or f"Reply({self.status}, {self.delivery.value})"


def answer(
    *items: Item | str,
    incomplete: str = "",
    usage: Mapping[str, Any] | None = USAGE,
    fields: Mapping[str, Any] | None = None,
) -> Reply:
    """A model's answer of several items; a text is a message. See `Reply` for the rest."""
    output = [say(item) if isinstance(item, str) else item for item in items]
    return Reply(output, incomplete=incomplete, usage=usage, fields=fields or {}, name="answer")


def say(text: str) -> Item:
    """An assistant message."""
    return _message({"type": "output_text", "text": text, "annotations": [], "logprobs": []})


def refuse(text: str) -> Item:
    """An assistant message in which the model refuses."""
    return _message({"type": "refusal", "refusal": text})


def think(text: str, *, ident: str = "rs_1") -> Item:
    """A reasoning item."""
    return {"type": "reasoning", "id": ident, "summary": [], "content": [{"type": "reasoning_text", "text": text}]}


def call(name: str, arguments: str | None = None, /, *, call_id: str = "call_1", **fields: Any) -> Item:
    """A function call. `arguments`: the text of it, for arguments that are no JSON; else they are the `fields`."""
    text = arguments if arguments is not None else orjson.dumps(fields).decode()
    return {
        "type": "function_call",
        "id": f"fc_{call_id}",
        "call_id": call_id,
        "name": name,
        "arguments": text,
        "status": "completed",
    }


def _message(part: Item) -> Item:
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
