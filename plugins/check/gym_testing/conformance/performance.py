"""Rollouts that a suite looks at: which tasks, what the model says in each, and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import orjson

from gym_core import Agent, ModelBackend, ResourceServer, Rollout, SandboxProvider, Task, encode_json
from gym_core.spi import places_of, plain_json, run_rollout, shown_to
from gym_testing.checks.watched import WatchedServer
from gym_testing.conformance.watching import Cast, Meeting
from gym_testing.models import ModelTurn, ScriptedModel
from gym_testing.rehearsal import open_stage

SEED = 20_260
ABSENT = "nothing"
_TIMES = frozenset({"latency", "waited", "at", "seconds"})
_CITING = frozenset({*_TIMES, "continues", "kept", "shown", "gave"})


@dataclass(frozen=True, slots=True)
class Play:
    """One rollout that is to be run."""

    task: Task
    script: Sequence[ModelTurn]
    repeat: int = 0

    @property
    def key(self) -> tuple[str, int]:
        """What identifies it within a run."""
        return self.task.task_id, self.repeat


@dataclass(frozen=True, slots=True)
class Performance:
    """Rollouts that have been run, in the order of the plays. `models`: what each was told and asked."""

    rollouts: Sequence[Rollout]
    models: Sequence[ScriptedModel]
    server: WatchedServer

    def problems(self, code: str) -> list[str]:
        """What its sessions did wrong, of one kind."""
        return [str(problem) for problem in self.server.problems if problem.code == code]


async def perform(
    server: ResourceServer,
    plays: Sequence[Play],
    *,
    agent: Agent | None = None,
    models: Mapping[str, ModelBackend] | None = None,
    sandboxes: SandboxProvider | None = None,
    together: bool = False,
) -> Performance:
    """Run the plays one after the other, or all at once and in step. Opens and closes the server."""
    parts = {play.key: ScriptedModel(*play.script) for play in plays}
    meeting = Meeting(list(parts)) if together else None
    watched = WatchedServer(server)

    async def run(stage: Any, play: Play) -> Rollout:
        try:
            return await run_rollout(stage, play.task, play.repeat)
        finally:
            if meeting is not None:
                await meeting.leave(play.key)

    everyone: dict[str, ModelBackend] = {"policy": Cast(parts, meeting), **(models or {})}
    settings: Any = {"seed": SEED, "executor": watched.executor, "sandboxes": sandboxes}
    async with server, open_stage(watched, everyone, agent, **settings) as stage:
        if together:
            rollouts = await asyncio.gather(*(run(stage, play) for play in plays))
        else:
            rollouts = [await run(stage, play) for play in plays]
    return Performance(rollouts, [parts[play.key] for play in plays], watched)


def row_difference(one: Rollout, other: Rollout) -> str:
    """The first thing in which two rows differ, besides times; empty where they are the same."""
    return _difference(_timeless(one), _timeless(other), "")


def _timeless(rollout: Rollout) -> dict[str, Any]:
    row: dict[str, Any] = plain_json(rollout.row)
    about = row["rollout"]
    about.pop("timing", None)
    about.pop("items", None)
    whole = rollout.trajectory
    items = [*whole.input, *whole.items, *whole.others]
    calls: list[dict[str, Any]] = []
    for number, call in enumerate(about.get("model_calls") or ()):
        said = {name: call[name] for name in call if name not in _CITING}
        said["shown"] = [items[place] for place in shown_to(whole.model_calls, number)]
        said["gave"] = [items[place] for place in places_of(whole.model_calls[number].gave)]
        calls.append(said)
    # A verifier may ask several models at once, and nobody knows which of them answers first.
    about["model_calls"] = [
        call
        for policy, together in groupby(calls, lambda call: call.get("role") == "policy")
        for call in (together if policy else sorted(together, key=_in_order))
    ]
    for run in about.get("tool_calls") or ():
        for name in _TIMES.intersection(run):
            del run[name]
    return row


def _in_order(call: Any) -> bytes:
    return encode_json(call, orjson.OPT_SORT_KEYS)


def _difference(one: Any, other: Any, place: str) -> str:
    if one == other:
        return ""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in [*one, *(name for name in other if name not in one)]:
            found = _difference(one.get(name, ABSENT), other.get(name, ABSENT), f"{place}.{name}" if place else name)
            if found:
                return found
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (before, after) in enumerate(zip(one, other, strict=True)):
            found = _difference(before, after, f"{place}.{number}")
            if found:
                return found
    return f"`{place}` is {one!r:.300} and {other!r:.300}"


def outcome(rollout: Rollout) -> dict[str, Any]:
    """What of a rollout must be the same whenever it is repeated."""
    return {
        "status": rollout.status.value,
        "items": rollout.response.output,
        "reward": rollout.reward,
        "reward_components": dict(rollout.reward_components),
        "info": dict(rollout.info),
    }


def difference(one: Rollout, other: Rollout) -> str:
    """The first thing in which two outcomes differ, empty where they are the same."""
    left, right = outcome(one), outcome(other)
    for name, value in left.items():
        if value == right[name]:
            continue
        if name == "items":
            for number, (before, after) in enumerate(zip(value, right[name], strict=False)):
                if before != after:
                    return f"item {number} is {before!r:.300} and {after!r:.300}"
            return f"there are {len(value)} and {len(right[name])} items"
        return f"{name} is {value!r:.300} and {right[name]!r:.300}"
    return ""
