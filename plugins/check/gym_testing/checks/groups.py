"""Whether an environment scores the rollouts of a task together as the engine wants it."""

from __future__ import annotations

from collections.abc import Sequence

from gym_core import Group, Rollout
from gym_core.spi import score_group
from gym_testing.checks.problem import Problem
from gym_testing.checks.watched import WatchedServer


async def group_problems(server: WatchedServer, rollouts: Sequence[Rollout]) -> list[Problem]:
    """What is wrong with the verdicts on rollouts of one task; nothing where the environment scores no groups."""
    task_id = rollouts[0].task_id if rollouts else ""
    first, again = [await _scored(server, task_id, rollouts) for _ in range(2)]
    if first.error is not None:
        message = f"task `{task_id}`: {first.error['class']}: {first.error['message']}"
        fix = "`score_group` must give one number or verdict for each rollout, whatever these are like"
        return [Problem("group-fails", message, fix, task_id)]
    if first.verdicts != again.verdicts:
        what = again.error["message"] if again.error is not None else _said(again)
        message = f"task `{task_id}`: `score_group` gave {_said(first)}, and asked again {what}"
        fix = "`score_group` must change nothing, and give the same for the same rollouts"
        return [Problem("group-unstable", message, fix, task_id)]
    return []


def _said(group: Group) -> str:
    return ", ".join(f"{verdict.reward:g}" for verdict in group.verdicts.values())


async def _scored(server: WatchedServer, task_id: str, rollouts: Sequence[Rollout]) -> Group:
    seconds = server.deadlines.verify
    return await score_group(server, task_id, rollouts, executor=server.executor, watch=server.watch, seconds=seconds)
