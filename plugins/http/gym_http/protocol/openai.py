"""What clients of OpenAI's API send, as far as the conversion and the engine count on it, and what they are answered.

Fields that nobody here knows pass on to the backend. A request's `model` does not choose: the one that is served
answers.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypeAlias

from pydantic import AfterValidator, FailFast, Field, WithJsonSchema
from typing_extensions import TypedDict

from gym_http.protocol.shapes import AsItCame, Described, Input, Number, Object, Objects, Says, shape


def _absent(value: bool | None) -> None:
    if value:
        raise ValueError


NotOffered: TypeAlias = Annotated[
    bool | None,
    AfterValidator(_absent),
    Says("is not offered: answers are given at once"),
    WithJsonSchema({"enum": [False, None]}),
]


@shape
class ModelRequest(TypedDict):
    """What both dialects have."""

    model: NotRequired[Annotated[Any, Field(description="Any name: there is one model, and it answers.")]]
    stream: NotRequired[bool | None]
    stream_options: NotRequired[Object | None]
    background: NotRequired[NotOffered]


@shape
class ResponsesRequest(ModelRequest):
    """A request in the Responses API."""

    input: Input
    tools: NotRequired[Objects | None]


@shape
class ResponseAnswer(TypedDict):
    """An answer in the Responses API."""

    id: str
    object: Literal["response"]
    created_at: Number
    status: str
    model: str
    output: Objects
    tools: Any
    tool_choice: Any
    usage: Object | None


@shape
class ChatFunction(TypedDict):
    """A function by its name."""

    name: str


@shape
class ChatCall(TypedDict):
    """A call of a function."""

    id: str
    type: Literal["function"]
    function: ChatFunction


@shape
class ChatTool(TypedDict):
    """A function that may be called."""

    type: Literal["function"]
    function: ChatFunction


@shape
class ChatPart(TypedDict):
    """A part of a message."""

    type: Literal["text"]
    text: str


Content: TypeAlias = Annotated[str | Objects | None, Says("must be a string or a list of parts")]


@shape
class ChatMessage(TypedDict):
    """A message. What is only described here passes on as it is: a backend may know more of it."""

    role: Annotated[str, Field(json_schema_extra={"not": {"const": "function"}})]
    content: NotRequired[Annotated[Content, Described(str | list[ChatPart] | None)]]
    refusal: NotRequired[Annotated[Any, Described(str | None)]]
    tool_call_id: NotRequired[Annotated[Any, Described(str | None)]]
    tool_calls: NotRequired[Annotated[Any, Described(list[ChatCall] | None)]]


@shape
class ChatRequest(ModelRequest):
    """A request in the Chat Completions API."""

    messages: Annotated[list[dict[str, Any]], AsItCame(Annotated[list[ChatMessage], FailFast()])]
    tools: NotRequired[Annotated[Objects | None, Described(list[ChatTool] | None)]]


@shape
class ChatChoice(TypedDict):
    """One of the answers."""

    index: Any
    message: Any
    finish_reason: Any


@shape
class ChatCompletion(TypedDict):
    """An answer in the Chat Completions API."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]


@shape
class Model(TypedDict):
    """A model that is served."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


@shape
class FirstLook(TypedDict):
    """What a model says of its endpoint."""

    warnings: list[str]


@shape
class ModelList(TypedDict):
    """The models that are served."""

    object: str
    data: list[Model]
