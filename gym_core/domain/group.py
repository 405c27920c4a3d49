"""All rollouts of one task, and what an environment says of them together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gym_core.domain.conversation import MAIN
from gym_core.domain.rollout import Rollout, Verdict

FEWEST = 2
"""Rollouts with a verdict that a group must have to be scored: one has nobody to be compared with."""


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """All rollouts of one task in a run, once each of them has ended.

    `rollouts`: by repeat, failures among them. `verdicts`: what `ResourceServer.score_group` said, by repeat; empty
    where it was not asked, and where it failed. `error`: how it failed (`class, message, phase, retryable, causes`),
    None where it did not: each rollout keeps its own verdict then.
    """

    task_id: str
    rollouts: tuple[Rollout, ...]
    verdicts: Mapping[int, Verdict] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None

    def reward(self, rollout: Rollout) -> float | None:
        """The reward of one of its rollouts: the group's where there is one, else its own; None for a failure."""
        verdict = self.verdicts.get(rollout.repeat)
        return rollout.reward if verdict is None else verdict.reward

    @property
    def rewards(self) -> list[float | None]:
        """The reward of each of the `rollouts`."""
        return [self.reward(rollout) for rollout in self.rollouts]

    @property
    def judged(self) -> tuple[Rollout, ...]:
        """The `rollouts` with the group's verdicts in place of their own, for those who read rewards from them."""
        said = self.verdicts
        return tuple(
            Rollout(judged(rollout.row, said[rollout.repeat].to_wire())) if rollout.repeat in said else rollout
            for rollout in self.rollouts
        )

    def __iter__(self) -> Iterator[Rollout]:
        return iter(self.rollouts)

    def __len__(self) -> int:
        return len(self.rollouts)

    def __repr__(self) -> str:
        scored = f", scored {len(self.verdicts)}" if self.verdicts else ""
        failed = f", error={self.error.get('message')!r}" if self.error is not None else ""
        return f"Group({self.task_id!r}, rollouts={len(self.rollouts)}{scored}{failed})"


def judged(row: dict[str, Any], verdict: Mapping[str, Any]) -> dict[str, Any]:
    """A row with the verdict of its group, as a JSON object, in place of its own; `rollout.own_reward` has that reward.

    Components, info, rewards of other actors and metrics are the group's where it gives them, else the row's own.
    """
    about = {name: value for name, value in row["rollout"].items() if name != "group"}
    about["own_reward"] = row["reward"]
    about["info"] = {**(about.get("info") or {}), **verdict["info"]}
    others = {actor: reward for actor, reward in (about.get("rewards") or {}).items() if actor != MAIN}
    for name, own in (("rewards", others), ("metrics", about.get("metrics") or {})):
        about[name] = {**own, **verdict.get(name, {})}
        if not about[name]:
            del about[name]
    components = {**(row.get("reward_components") or {}), **verdict["components"]}
    return {**row, "reward": verdict["reward"], "reward_components": components, "rollout": about}


def members(rollouts: Sequence[Rollout]) -> list[Rollout]:
    """Those of a task's rollouts that are scored together, by repeat: all that have a verdict of their own."""
    return sorted((one for one in rollouts if one.reward is not None), key=lambda rollout: rollout.repeat)
