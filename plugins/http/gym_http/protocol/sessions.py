"""What is asked of a served environment under `/v1`, and what it answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypeAlias

from pydantic import ConfigDict, Field, PlainValidator, with_config
from typing_extensions import TypedDict

from gym_core import Item
from gym_core.spi import RESULT_FIELDS, check_row
from gym_http.protocol.shapes import (
    AsItCame,
    Count,
    Described,
    Input,
    Items,
    Number,
    Object,
    Objects,
    Token,
    shape,
    whole_shape,
)


@shape
class TaskRequest(TypedDict):
    """The request to the model."""

    input: Input
    tools: NotRequired[Objects | None]


def without_results(schema: dict[str, Any]) -> None:
    """Say in the schema of a row that it has no result yet."""
    schema["properties"].update(dict.fromkeys(RESULT_FIELDS, False))


@with_config(ConfigDict(strict=True, json_schema_extra=without_results))
class Row(TypedDict):
    """A task: the request to the model, and any fields that the environment reads."""

    responses_create_params: TaskRequest


def _task_row(value: Any) -> dict[str, Any]:
    try:
        return check_row(value)
    except ValueError as error:
        raise ValueError(f"is no task: {error}") from None


@shape
class TaskBody(TypedDict):
    """A task and what names it."""

    row: Annotated[dict[str, Any], PlainValidator(_task_row), Described(Row)]
    task_id: NotRequired[str]
    index: NotRequired[Count]


Url: TypeAlias = Annotated[str, Field(json_schema_extra={"format": "uri", "pattern": "^https?://[^?#@]+$"})]
"""Whether it may be called, `Callbacks` says."""


@shape
class ModelPlace(TypedDict):
    """Where a model is asked, and the token that opens it."""

    base_url: Url
    token: NotRequired[Token]


@whole_shape
class OpenSession(TypedDict):
    """A session for a task."""

    task: TaskBody
    seed: NotRequired[Count | None]
    repeat: NotRequired[Count | None]
    models: NotRequired[
        Annotated[dict[str, ModelPlace] | None, Field(description="Models that the environment asks, by role.")]
    ]


@shape
class Capabilities(TypedDict):
    """What a session says of itself."""

    roles: Annotated[list[str], Field(description="Models that whoever opens a session has to give.")]
    optional_roles: NotRequired[list[str]]
    sandbox_roles: NotRequired[list[str]]
    open_tools: bool
    concurrent_tools: bool
    judges_trajectory: bool
    replies: NotRequired[
        Annotated[
            bool,
            Field(description="Whether it answers responses without calls; where not, such a response ends it."),
        ]
    ]
    sets_up: NotRequired[bool]
    lists_tools: NotRequired[bool]
    closes: NotRequired[bool]
    answers_calls: NotRequired[Annotated[bool, Field(description="Whether it sees responses before their calls run.")]]


@shape
class Session(TypedDict):
    """A session that is open."""

    id: str
    token: Annotated[str, Field(description="Opens all of the session.")]
    tool_token: Annotated[str, Field(description="Opens its tools and replies only.")]
    opening: Items | None
    tools: Items
    capabilities: Capabilities
    expires_in: Number
    idle_seconds: Number


@whole_shape
class ToolCall(TypedDict):
    """A call of a tool."""

    arguments: Annotated[Any, Field(description="JSON as the model wrote it, as text, or the object that it is.")]
    call_id: NotRequired[Any]


@shape
class DoneBody(TypedDict):
    """That the episode is over."""

    reason: str
    output: NotRequired[str | Objects]


@shape
class ToolAnswerBody(TypedDict):
    """What a tool call came to. `error`: what was wrong with the call."""

    output: str | Objects
    error: Literal["bad_json", "bad_arguments", "unknown_tool", "raised"] | None
    done: DoneBody | None


@shape
class ResponseShape(TypedDict):
    """A response in the Responses API."""

    output: Items


ResponseBody: TypeAlias = Annotated[dict[str, Any], AsItCame(ResponseShape)]


@whole_shape
class ReplyRequest(TypedDict):
    """A response without calls."""

    response: ResponseBody


@whole_shape
class CallsRequest(TypedDict):
    """The function calls of one response, which a gateway takes at once."""

    calls: Items


@shape
class CallsAnswer(TypedDict):
    """What a session answers all tool calls of a response with."""

    answers: Annotated[
        list[dict[str, Any]] | None,
        Field(description="One per call: `output`, and `done` where it ends the episode; null where the calls run."),
    ]


@shape
class ReplyAnswer(TypedDict):
    """Items for the model, or that the episode is over."""

    items: Items
    done: DoneBody | None


@shape
class ModelCallShape(TypedDict, total=False):
    """A model call of a rollout, as it stands in a row."""

    actor: str
    role: str
    continues: int | None
    kept: int
    shown: list[list[int]]
    gave: list[list[int]]
    usage: Object | None
    sampling: Object | None
    at: Number
    latency: Number
    waited: Number
    attempts: Number
    cost: Number | None
    verifies: bool


@shape
class ToolRunShape(TypedDict):
    """A tool call of a rollout that was carried out, as it stands in a row."""

    call: int
    output: int
    actor: NotRequired[str]
    at: NotRequired[Number]
    seconds: NotRequired[Number]
    error: NotRequired[str | None]


@shape
class TrajectoryBody(TypedDict):
    """A trajectory. `input`: the items that the task opened with; `items`: what came after, as in `response.output`.

    `others`: all other items of the rollout. `model_calls` and `tool_calls` cite the places of items in all three.
    """

    input: Items
    items: Items
    others: NotRequired[Items | None]
    stop_reason: NotRequired[str]
    model_calls: NotRequired[Annotated[list[dict[str, Any]] | None, AsItCame(list[ModelCallShape] | None)]]
    tool_calls: NotRequired[Annotated[list[dict[str, Any]] | None, AsItCame(list[ToolRunShape] | None)]]


@whole_shape
class VerifyRequest(TypedDict):
    """A trajectory to be judged."""

    trajectory: TrajectoryBody


@shape
class VerdictBody(TypedDict):
    """A verdict."""

    reward: Number
    components: dict[str, Number]
    info: Object
    rewards: NotRequired[Annotated[dict[str, Number], Field(description="Those of actors by their names.")]]
    metrics: NotRequired[Annotated[dict[str, Number], Field(description="The environment's own numbers.")]]


@shape
class VerifiedRollout(TypedDict):
    """A rollout as the row that is written for it."""

    responses_create_params: NotRequired[Object]
    response: Object
    reward: Number
    rollout: Object


@whole_shape
class GroupRequest(TypedDict):
    """All rollouts of one task that have a verdict, by repeat."""

    rollouts: Annotated[list[dict[str, Any]], AsItCame(list[VerifiedRollout])]


@shape
class GroupAnswer(TypedDict):
    """What an environment says of them together: one verdict for each, in their order."""

    verdicts: list[VerdictBody]


@shape
class ToolList(TypedDict):
    """The tools of all sessions, null where they depend on the task."""

    tools: list[Item] | None
