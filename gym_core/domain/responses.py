"""The Responses-API shapes that gym reads. Items stay the plain dicts they came as; these are accessors on top.

Source of the shapes: OpenAI's Responses API. Unknown items and fields are neither checked nor dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, Unpack

from gym_core.domain.arguments import NO_ARGUMENTS, arguments_text, parse_arguments
from gym_core.domain.finish import ending
from gym_core.domain.parts import Content, Part, content_of
from gym_core.domain.sampling import Sampling, sampling_fields
from gym_core.domain.stop_reasons import COMPLETED, INCOMPLETE, TRUNCATING, StopReason

if TYPE_CHECKING:
    from gym_core.domain.tokens import Tokens

Item: TypeAlias = dict[str, Any]
"""One input or output item: a message, reasoning, function call, function call output, or any other."""

FunctionCallOutput: TypeAlias = dict[str, Any]
"""`{"type": "function_call_output", "call_id": str, "output": str | list}`."""


_BROKEN_OFF = (INCOMPLETE, "in_progress")


class FunctionCall(dict[str, Any]):
    """A `function_call` item, read as what it is: a dict with three names on top."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """The function's name."""
        name = self.get("name")
        return name if isinstance(name, str) else ""

    @property
    def call_id(self) -> str:
        """What the output has to repeat so that the model can match it."""
        return call_id_of(self)

    @property
    def arguments(self) -> str:
        """The arguments as the model wrote them: JSON text, not yet checked; `{}` where there are none."""
        text = arguments_text(self.get("arguments"))
        return NO_ARGUMENTS if text.strip() in ("", "null") else text

    def parsed(self) -> dict[str, Any]:
        """The arguments as the object they say, empty where there are none. Raises `ArgumentError`, a `ValueError`."""
        return parse_arguments(self.get("arguments"))


@dataclass(slots=True)
class Usage:
    """Tokens of one or several model calls."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    @classmethod
    def of(cls, usage: Any) -> Usage:
        """Read a Responses-API usage object; whatever is missing or malformed counts as zero."""
        read = cls()
        read.add(usage)
        return read

    def add(self, usage: Any) -> None:
        """Add what a usage object says, as a server sent it."""
        if isinstance(usage, dict):
            self.input_tokens += token_count(usage, "input_tokens")
            self.output_tokens += token_count(usage, "output_tokens")
            self.cached_tokens += token_count(usage.get("input_tokens_details"), "cached_tokens")
            self.reasoning_tokens += token_count(usage.get("output_tokens_details"), "reasoning_tokens")

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )

    @property
    def total_tokens(self) -> int:
        """Input and output tokens together."""
        return self.input_tokens + self.output_tokens

    def to_wire(self) -> dict[str, Any]:
        """The same as a Responses-API usage object."""
        return {
            "input_tokens": self.input_tokens,
            "input_tokens_details": {"cached_tokens": self.cached_tokens},
            "output_tokens": self.output_tokens,
            "output_tokens_details": {"reasoning_tokens": self.reasoning_tokens},
            "total_tokens": self.total_tokens,
        }


def token_count(counts: Any, name: str) -> int:
    """How many tokens a usage object, or its details, say under a name; 0 for what is missing or malformed."""
    count = counts.get(name) if isinstance(counts, dict) else None
    return count if type(count) is int and count > 0 else 0


class Request:
    """A Responses-API request: the body as a dict, read through names.

    `body` is what the backend is asked to send, without `model` and `stream`, which belong to the backend.
    """

    __slots__ = ("body",)

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body

    @classmethod
    def ask(cls, *content: Content, **sampling: Unpack[Sampling]) -> Request:
        """A request of one user message, see `user_message`, and further fields (`instructions="..."`, ...)."""
        return cls({"input": [user_message(*content)], **sampling_fields(sampling)})

    @property
    def input(self) -> list[Item]:
        """The conversation so far."""
        items: list[Item] = self.body["input"]
        return items

    @property
    def tools(self) -> list[dict[str, Any]]:
        """The tools the model may call, as the Responses API writes them."""
        return self.body.get("tools") or []

    @property
    def instructions(self) -> str | None:
        """The system text that stands before the conversation, if any."""
        return self.body.get("instructions")

    def with_input(self, items: Sequence[Item], params: Mapping[str, Any] | None = None) -> Request:
        """The same request over another conversation, with `params` laid over its fields."""
        return Request({**self.body, **params, "input": items} if params else {**self.body, "input": items})

    def __repr__(self) -> str:
        return f"Request({self.body!r})"


class Response:
    """A Responses-API response: the body as it came, read through names. That it is whole is found out once.

    `tokens`: those that were read and sampled for it, where the backend was asked for them.
    """

    __slots__ = ("_whole", "body", "tokens")

    def __init__(self, body: dict[str, Any], tokens: Tokens | None = None) -> None:
        self.body = body
        self.tokens = tokens
        self._whole = False

    @property
    def output(self) -> list[Item]:
        """The output items, verbatim."""
        output: list[Item] = self.body["output"]
        return output

    @property
    def output_text(self) -> str:
        """All text of the output's messages, joined."""
        return output_text(self.output)

    @property
    def function_calls(self) -> list[FunctionCall]:
        """The function calls of the output, in order."""
        return [FunctionCall(item) for item in self.output if item.get("type") == "function_call"]

    @property
    def usage(self) -> Usage:
        """Tokens of this call; zeros where the server sent none."""
        return Usage.of(self.body.get("usage"))

    @property
    def unfinished(self) -> str:
        """Why this is no answer: an error, or a status or reason not known to mean an end. Empty for an answer."""
        if self._whole:  # it was asked before: by the backend, by the engine
            return ""
        error = self.body.get("error")
        if error and is_error(error):
            return "it holds an error"
        status = self._status
        if status == COMPLETED:
            self._whole = True
            return ""
        if status == INCOMPLETE:
            return "" if self._cut else f"incomplete because of {self._reason!r:.80}"
        return f"its status is {status!r:.80}"

    @property
    def _status(self) -> str:
        """How far the answer came: the worst of what it says itself, by a reason, and of its last message or call."""
        get = self.body.get
        status = get("status")
        if status != COMPLETED and status is not None:
            status = str(status).lower()
            if status != COMPLETED:
                return status
        if get("incomplete_details"):
            return INCOMPLETE
        output = get("output")
        if output:
            last = output[-1]
            status = last.get("status")
            if status in _BROKEN_OFF and last.get("type", "message") in ("message", "function_call"):
                return str(status)
        return COMPLETED

    @property
    def _reason(self) -> Any:
        details = self.body.get("incomplete_details")
        return details.get("reason") if isinstance(details, Mapping) else None

    @property
    def _cut(self) -> StopReason | None:
        """Why an incomplete response was cut; None where its reason is not known."""
        reason = self._reason
        if reason is None:
            return StopReason.MAX_OUTPUT_TOKENS
        return StopReason(reason) if reason in TRUNCATING else ending(reason)

    @property
    def stop_reason(self) -> StopReason:
        """Why the model stopped."""
        if not self._whole and self._status == INCOMPLETE:
            cut = self._cut
            if cut != COMPLETED:
                return cut or INCOMPLETE
        reasoning = False
        for item in self.output:
            kind = item.get("type", "message")
            if kind == "message":
                content = item.get("content")
                if isinstance(content, list):
                    for part in content:
                        if isinstance(part, dict) and part.get("type") == "refusal":
                            return StopReason.REFUSAL
                if item_text(item):
                    return COMPLETED
            elif kind == "reasoning":
                reasoning = True
            else:
                return COMPLETED
        return StopReason.REASONING_ONLY if reasoning else StopReason.EMPTY

    def __repr__(self) -> str:
        return f"Response({self.body!r})"


def is_error(said: Any) -> bool:
    """Whether an `error` field tells of one: some servers send one without a word beside every answer."""
    return any(said.values()) if isinstance(said, Mapping) else bool(said)


def user_message(*content: Content) -> Item:
    """A user message as an input item: a text, or texts and parts (`image_part`, `file_part`, ...) in their order.

    Raises `ValueError` for anything else.
    """
    if len(content) == 1 and isinstance(content[0], str):
        return {"type": "message", "role": "user", "content": content[0]}
    return {"type": "message", "role": "user", "content": content_of(content)}


def function_call_output(call_id: str, output: str | list[Part]) -> FunctionCallOutput:
    """What answers a function call: text, or a list of parts."""
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def id_text(value: Any) -> str:
    """An id as text: an integer is written out, anything else that is no text is none."""
    if type(value) is str:
        return value
    return str(value) if type(value) is int else ""


def call_id_of(call: Mapping[str, Any]) -> str:
    """The id that the output of a call has to repeat; empty where it has none."""
    return id_text(call.get("call_id")) or id_text(call.get("id"))


def content_parts(item: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The content parts of a message; a plain string counts as one text part."""
    content = item.get("content")
    if isinstance(content, str):
        return [{"type": "input_text", "text": content}]
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []


def item_text(item: Mapping[str, Any]) -> str:
    """The text of one message."""
    content = item.get("content")
    if isinstance(content, str):
        return content
    text = ""
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict):
            words = part.get("text")
            if isinstance(words, str) and str(part.get("type", "")).endswith("text"):
                text += words
    return text


def output_text(items: Iterable[Mapping[str, Any]]) -> str:
    """The text of all messages among the items, joined."""
    return "".join(item_text(item) for item in items if item.get("type", "message") == "message")


def as_items(value: Any) -> list[Item]:
    """An `input` field as items: a string is one user message. Raises `ValueError` for anything else."""
    if isinstance(value, str):
        return [user_message(value)]
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return value
    raise ValueError("`input` must be a string or a list of objects")
