"""The rollouts of one task scored together: bounded, checked, and whatever goes wrong is the group's failure."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from gym_core.contract.resource_server import ResourceServer
from gym_core.domain.blame import asked_to_end
from gym_core.domain.error_json import error_json
from gym_core.domain.errors import SessionError
from gym_core.domain.group import FEWEST, Group, members
from gym_core.domain.rollout import Rollout, Verdict
from gym_core.engine.bounds.alarms import Alarm, Watch
from gym_core.engine.bounds.deadlines import DeadlineExceeded
from gym_core.engine.functions.executor import Executor
from gym_core.engine.rollout.stage import Stage
from gym_core.engine.rollout.verify import checked_verdict, kind_of

SCORE_GROUP = "score_group"
"""What is asked, and the phase of what fails in it."""


async def score_group(
    server: ResourceServer,
    task_id: str,
    rollouts: Sequence[Rollout],
    *,
    executor: Executor,
    watch: Watch,
    seconds: float,
) -> Group:
    """All rollouts of a task as a group, scored where the environment scores groups and enough of them have a verdict.

    `seconds`: how long scoring may take. Raises nothing but a cancellation from outside: what the environment raises,
    a bound that it exceeds and an answer of the wrong form are the group's `error`, and nobody else's.
    """
    whole = tuple(sorted(rollouts, key=lambda rollout: rollout.repeat))
    scored = members(whole)
    if not is_scored(server, scored):
        return Group(task_id, whole)
    alarm = watch.alarm()
    alarm.detached = True  # a group ends when it has to, whether or not the environment's code does
    try:
        verdicts = await group_verdicts(server, scored, executor=executor, alarm=alarm, seconds=seconds)
    except BaseException as error:
        if asked_to_end(error):
            raise
        return Group(task_id, whole, error=_failure(error))
    finally:
        alarm.close()
    return Group(task_id, whole, {rollout.repeat: one for rollout, one in zip(scored, verdicts, strict=True)})


def is_scored(server: ResourceServer, rollouts: Sequence[Rollout]) -> bool:
    """Whether the environment scores groups, and enough of these have a verdict."""
    return server.describe().scores_groups and len(members(rollouts)) >= FEWEST


def cancelled_group(task_id: str, rollouts: Sequence[Rollout], reason: str) -> Group:
    """The group of rollouts whose scoring was ended from outside."""
    error = {"class": "Cancelled", "message": reason, "phase": SCORE_GROUP, "retryable": True}
    return Group(task_id, tuple(rollouts), error=error)


def stage_group(stage: Stage, task_id: str, rollouts: Sequence[Rollout]) -> Awaitable[Group]:
    """`score_group`, by the environment of a stage and within its bounds."""
    seconds = stage.deadlines.verify
    return score_group(stage.server, task_id, rollouts, executor=stage.executor, watch=stage.watch, seconds=seconds)


async def group_verdicts(
    server: ResourceServer, rollouts: Sequence[Rollout], *, executor: Executor, alarm: Alarm, seconds: float
) -> list[Verdict]:
    """What `score_group` says of rollouts that all have a verdict, one verdict for each in their order.

    Raises what it raises, `DeadlineExceeded`, and `SessionError` for an answer that is not one verdict for each.
    """
    answer = await executor.call(alarm, SCORE_GROUP, seconds, server.score_group, rollouts)
    if isinstance(answer, str | bytes | Mapping) or not (hasattr(answer, "__len__") and hasattr(answer, "__iter__")):
        raise SessionError(f"`{SCORE_GROUP}` returned {kind_of(answer)}; it must be a list of one verdict per rollout")
    if len(answer) != len(rollouts):
        raise SessionError(
            f"`{SCORE_GROUP}` returned {len(answer)} verdicts for {len(rollouts)} rollouts; it must be one for each, "
            "in their order"
        )
    return [checked_verdict(verdict, SCORE_GROUP) for verdict in answer]


def _failure(error: BaseException) -> dict[str, Any]:
    again = isinstance(error, DeadlineExceeded) or (isinstance(error, SessionError) and error.unreachable)
    return error_json(error, SCORE_GROUP, retryable=again)
