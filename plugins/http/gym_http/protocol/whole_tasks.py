"""A whole task for a runner elsewhere: what it is given, and what it made of it."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from gym_core import CompletedTask, Response
from gym_http.protocol.sessions import ModelPlace, TaskBody, TrajectoryBody, VerdictBody
from gym_http.protocol.shapes import Count, Object, shape, whole_shape
from gym_http.protocol.wire import trajectory_of_body, trajectory_to_wire, verdict_from_wire, verdict_to_wire

COMPLETE = "/v1/complete"
"""The route."""
COMPLETES = "completes"
"""The capability of a served environment or agent that has the route."""


@whole_shape
class WholeTask(TypedDict):
    """A task, and the models that its runner may ask."""

    task: TaskBody
    repeat: NotRequired[Count]
    seed: NotRequired[Count]
    options: NotRequired[Annotated[Object, Field(description="Of the runner, by name; only where it takes any.")]]
    models: NotRequired[Annotated[dict[str, ModelPlace], Field(description="Models that the runner asks, by role.")]]


@shape
class Completed(TypedDict):
    """What a runner made of a task."""

    verdict: VerdictBody
    stop_reason: str
    response: NotRequired[Annotated[Object, Field(description="A Responses body with all that was said.")]]
    trajectory: NotRequired[TrajectoryBody]


def completed_to_wire(completed: CompletedTask) -> Completed:
    """What a runner returned, as it is sent."""
    body: Completed = {"verdict": verdict_to_wire(completed.verdict), "stop_reason": completed.stop_reason}
    if completed.response is not None:
        body["response"] = completed.response.body
    if completed.trajectory is not None:
        body["trajectory"] = trajectory_to_wire(completed.trajectory)
    return body


def completed_of_body(body: Completed) -> CompletedTask:
    """The same, read again. Raises `WireError`, and `NotMeasured` for a verdict that says that it is none."""
    response: Any = body.get("response")
    trajectory = body.get("trajectory")
    return CompletedTask(
        verdict_from_wire(body["verdict"]),
        body["stop_reason"],
        Response(response) if response is not None else None,
        trajectory_of_body(trajectory) if trajectory is not None else None,
    )
