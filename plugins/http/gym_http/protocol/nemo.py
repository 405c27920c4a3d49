"""What NeMo Gym's agents and trainers ask, and what they are answered."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from gym_http.protocol.sessions import ResponseBody, Row, TaskRequest, without_results
from gym_http.protocol.shapes import AsItCame, Count, Number, Object, Objects, shape


@with_config(ConfigDict(strict=True, json_schema_extra=without_results))
class NumberedRow(Row):
    """A task, and which one it is: its place in the input, and which of its repeats."""

    _ng_task_index: NotRequired[Count | None]
    _ng_rollout_index: NotRequired[Count | None]


@shape
class Episode(TypedDict):
    """One attempt at one rollout, as NeMo Gym 0.7 names it."""

    rollout_id: str
    attempt: NotRequired[Count]


@shape
class TaskName(TypedDict):
    """One task of a set."""

    taskset: str
    task_id: str


@with_config(ConfigDict(strict=True, json_schema_extra=without_results))
class EpisodeData(TypedDict):
    """Fields of a row."""


@with_config(ConfigDict(strict=True, json_schema_extra=without_results))
class EpisodeInput(Row):
    """The row of an episode, whose fields may stand in `task_data`."""

    task_data: NotRequired[Annotated[dict[str, Any], AsItCame(EpisodeData)]]


@shape
class EpisodeTask(TypedDict):
    """A task: its name, and its row."""

    task_id: TaskName
    task_input: Annotated[dict[str, Any], AsItCame(EpisodeInput)]


@shape
class EpisodeRequest(TypedDict):
    """One rollout of a task, as NeMo Gym 0.7 asks its environment servers for it."""

    episode_id: Episode
    task: EpisodeTask


@shape
class EpisodeResult(TypedDict):
    """Its result, or why it failed."""

    episode_id: Episode
    task_id: TaskName
    result: NotRequired[Object]
    failure: NotRequired[Object]


@shape
class SeedRequest(TypedDict):
    """A session under an id that its caller has made."""

    resources_session_id: str
    episode_id: Episode
    task_id: TaskName
    task_data: Object


@shape
class CloseRequest(TypedDict):
    """Which of them is done."""

    resources_session_id: str
    episode_id: Episode


@shape
class AnsweredRow(TypedDict):
    """A row and the response to it."""

    response: ResponseBody


@shape
class AnsweredTask(AnsweredRow):
    """A row and the response to it, by which it can be judged without a session."""

    responses_create_params: TaskRequest
    _ng_task_index: NotRequired[Count | None]
    _ng_rollout_index: NotRequired[Count | None]


@shape
class JudgedRow(AnsweredRow):
    """The row with its reward."""

    reward: Number
    reward_components: NotRequired[dict[str, Number]]


@shape
class Observed(TypedDict):
    """How a rollout begins."""

    observation: str | None
    info: Object


@shape
class Stepped(Observed):
    """What came of a response: outputs of its calls in `info.tool_outputs`, a reply, and at the end the reward."""

    reward: Number
    terminated: bool
    truncated: bool


@shape
class MetricsRequest(TypedDict):
    """Rows that have been verified."""

    verify_responses: Objects


@shape
class Metrics(TypedDict):
    """Statistics over them."""

    group_level_metrics: Objects
    agent_metrics: Object
    key_metrics: Object
