"""What NeMo Gym's agents and trainers ask, and what they are answered."""

from __future__ import annotations

from typing import NotRequired

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from gym_http.protocol.sessions import ResponseBody, Row, TaskRequest, without_results
from gym_http.protocol.shapes import Count, Number, Object, Objects, shape


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
class MetricsRequest(TypedDict):
    """Rows that have been verified."""

    verify_responses: Objects


@shape
class Metrics(TypedDict):
    """Statistics over them."""

    group_level_metrics: Objects
    agent_metrics: Object
    key_metrics: Object
