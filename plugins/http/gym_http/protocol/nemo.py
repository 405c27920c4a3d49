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
    reward_components: dict[str, Number]


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
