"""What a caller may ask of one model call besides its conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from typing_extensions import TypedDict

from gym_core.domain.nearest import nearest

BACKEND_FIELDS = frozenset({"model", "stream", "stream_options", "background"})
"""Fields of a request that are the backend's: ignored in what comes from elsewhere; a `model` in rows is counted."""


class Sampling(TypedDict, total=False):
    """Fields of one request, as keywords of `respond`: they go over those of the task, this once.

    They are those of OpenAI's Responses API, and `seed`, `stop` and the penalties, which only some servers know. None
    takes a field of the task back. `extra`: further fields of the body, by name, for what a server adds
    (`extra={"top_k": 20}`).
    """

    context_management: Sequence[Mapping[str, Any]] | None
    conversation: str | Mapping[str, Any] | None
    frequency_penalty: float | None
    include: Sequence[str] | None
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: Mapping[str, str] | None
    parallel_tool_calls: bool | None
    presence_penalty: float | None
    previous_response_id: str | None
    prompt: Mapping[str, Any] | None
    prompt_cache_key: str | None
    prompt_cache_retention: str | None
    reasoning: Mapping[str, Any] | None
    safety_identifier: str | None
    seed: int | None
    service_tier: str | None
    stop: str | Sequence[str] | None
    store: bool | None
    temperature: float | None
    text: Mapping[str, Any] | None
    tool_choice: str | Mapping[str, Any] | None
    tools: Sequence[Mapping[str, Any]] | None
    top_logprobs: int | None
    top_p: float | None
    truncation: str | None
    user: str | None
    extra: Mapping[str, Any]


EXTRA = "extra"
_FIELDS = frozenset(Sampling.__annotations__) - {EXTRA}
SAMPLING = tuple(name for name in Sampling.__annotations__ if name in _FIELDS)
"""The names of the fields of `Sampling` that are fields of a request."""
_NOT_HERE = BACKEND_FIELDS | {"input"}


def sampling_fields(sampling: Mapping[str, Any]) -> dict[str, Any]:
    """What keywords ask for as fields of a request's body. Raises `TypeError` for one that there is not."""
    fields = {**sampling}
    extra = fields.pop(EXTRA, None) or {}
    for name in fields:
        if name not in _FIELDS:
            raise TypeError(_unknown(name))
    if not isinstance(extra, Mapping):
        raise TypeError(f"`{EXTRA}` must be a mapping of further fields by name, not {type(extra).__name__}")
    for name in extra:
        if name in _NOT_HERE:
            raise TypeError(f"`{EXTRA}` cannot hold `{name}`: {_whose(name)}")
        if name in fields:
            raise TypeError(f"`{name}` is given twice, as a keyword and in `{EXTRA}`; keep one of them")
    return {**fields, **extra}


def read_sampling(body: Mapping[str, Any]) -> Sampling:
    """The body of a request that came from elsewhere as keywords: what is no field of `Sampling` is in its `extra`.

    The input and what belongs to the backend are left out.
    """
    known = {name: value for name, value in body.items() if name in _FIELDS}
    extra = {name: value for name, value in body.items() if name not in _FIELDS and name not in _NOT_HERE}
    return cast("Sampling", {**known, EXTRA: extra} if extra else known)


ASKED = frozenset({"input", "instructions", "prompt", "conversation", "previous_response_id"})
_CALLING = frozenset({"tools", "tool_choice", "parallel_tool_calls", "max_tool_calls"})


def inherited(body: Mapping[str, Any], *, tools: bool) -> dict[str, Any]:
    """What another actor of the policy's model has of a task's request: how it is sampled, not what is asked."""
    return {name: value for name, value in body.items() if name not in ASKED and (tools or name not in _CALLING)}


def _unknown(name: str) -> str:
    if name in _NOT_HERE:
        return f"`{name}` is no sampling parameter: {_whose(name)}"
    near = nearest(name, _FIELDS)
    meant = f"did you mean `{near[0]}`? What" if near else "what"
    return f"there is no sampling parameter `{name}`; {meant} only some servers know goes into `{EXTRA}`, by its name"


def _whose(name: str) -> str:
    return "the conversation is what is asked" if name == "input" else "that is the backend's, by its options"
