"""What is asked of a served agent, and what it answers."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from gym_core import Status, StopReason
from gym_http.protocol.errors import ErrorBody
from gym_http.protocol.nemo import NumberedRow
from gym_http.protocol.sessions import TaskRequest, Url, VerdictBody
from gym_http.protocol.shapes import AsItCame, Count, Number, Object, Objects, Says, Token, shape, whole_shape


@shape
class RolloutShape(TypedDict):
    """How a rollout ended."""

    status: Status


@shape
class OutputShape(TypedDict):
    """All that was said."""

    output: Objects


@shape
class Result(TypedDict):
    """The row with its result."""

    responses_create_params: Any
    task_id: str | int
    response: OutputShape
    reward: Number | None
    reward_components: NotRequired[Object]
    rollout: RolloutShape


@shape
class FailedRollout(ErrorBody):
    """Why a rollout failed, and its row."""

    row: NotRequired[Result]


LARGEST_GROUP = 1024


@whole_shape
class GroupRun(TypedDict):
    """A row, and how many rollouts of it are asked for."""

    task: Annotated[dict[str, Any], AsItCame(NumberedRow)]
    size: Annotated[int, Field(ge=1, le=LARGEST_GROUP), Says(f"must be a whole number from 1 to {LARGEST_GROUP}")]


@shape
class GroupVerdict(VerdictBody):
    """What the environment said of one of a group's rollouts."""

    repeat: Count


@shape
class GroupResult(TypedDict):
    """Rollouts of one task and what they came to together."""

    task_id: str
    rollouts: Annotated[list[Result], Field(description="By repeat, failures among them.")]
    rewards: Annotated[
        list[Number | None], Field(description="Of each: the group's where there is one, null for a failure.")
    ]
    verdicts: Annotated[
        list[GroupVerdict], Field(description="Of those that were scored together; empty where none were.")
    ]
    error: Annotated[Object | None, Field(description="Why they could not be scored together.")]


@shape
class FailedGroup(ErrorBody):
    """Why all rollouts of a group failed, in the words of the first, and the group."""

    group: NotRequired[GroupResult]


@shape
class EpisodeModel(TypedDict):
    """Where the model of an episode is asked."""

    base_url: Url
    token: Token


@shape
class EpisodeSession(TypedDict):
    """Where the session of an episode is asked. `batch`: it takes the calls of one response at once.

    `mcp_url`: its tools over MCP, under the same token.
    """

    url: Url
    token: Token
    batch: NotRequired[bool]
    mcp_url: NotRequired[Url]


@whole_shape
class EpisodeBody(TypedDict):
    """An episode whose model and session are elsewhere. `request`: a Responses request, the input and the tools."""

    request: Annotated[dict[str, Any], AsItCame(TaskRequest)]
    model: EpisodeModel
    session: EpisodeSession
    task_id: NotRequired[str]
    repeat: NotRequired[int]


@shape
class Stopped(TypedDict):
    """Why the agent stopped."""

    stop_reason: StopReason
    detail: NotRequired[Annotated[str, Field(description="More about it, in the agent's own words.")]]
