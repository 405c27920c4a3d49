"""What becomes of a rollout in each format and trainer by how it ended: the one table, from which all of them follow.

A rollout that failed has no reward, and 0 is one. So whoever can be told that there is none is told, and from all
others the rollout is kept away: a reward of 0 would be trained on, and would shift what the others of its group are
compared with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from gym_core import Rollout, Status


class Failure(StrEnum):
    """What becomes of a rollout that failed."""

    DROPPED = "dropped"
    NO_REWARD = "None"
    MARKED = "an error, and None"
    MASK_SAMPLE = "mask_sample"
    REMOVE_SAMPLE = "remove_sample"

    @property
    def is_kept(self) -> bool:
        """Whether it is part of the format at all."""
        return self is not Failure.DROPPED


@dataclass(frozen=True, slots=True)
class Treatment:
    """`failure`: what becomes of one that failed. `truncated`: how one that was cut is marked, empty for not at all.

    `field`: where the format says so.
    """

    failure: Failure
    truncated: str = ""
    field: str = ""


TREATMENTS: Mapping[str, Treatment] = {
    "sft": Treatment(Failure.DROPPED),
    "preference": Treatment(Failure.DROPPED),
    "kto": Treatment(Failure.DROPPED),
    "tokens": Treatment(Failure.NO_REWARD, "truncated", "`reward` and `status`"),
    "trl": Treatment(Failure.NO_REWARD, "truncated", "`reward`, which the reward function hands on, and `status`"),
    "verl": Treatment(Failure.DROPPED, "truncated", "`extra_fields.status`"),
    "verl, live": Treatment(Failure.DROPPED, "truncated", "no output at all; `extra_fields.status`"),
    "prime-rl": Treatment(Failure.DROPPED),
    "verifiers": Treatment(Failure.MARKED, "is_truncated", "`rewards`, `ok`, `errors`, `stop_condition`"),
    "openenv": Treatment(Failure.DROPPED, "truncated", "`metadata.status` of each turn"),
    "nemo": Treatment(Failure.DROPPED),
    "nemo, masked": Treatment(Failure.MASK_SAMPLE, "", "`mask_sample`, `instance_config.mask_sample`"),
    "slime": Treatment(Failure.REMOVE_SAMPLE, "truncated", "`remove_sample`, `status`"),
}
"""By format, and by trainer where there is no file. NeMo's rows hold failures where they are asked for, in an export
(`-O failures=masked`) and from a server (`gym serve --failures masked`)."""


def is_trained(rollout: Rollout, trainer: str) -> bool:
    """Whether a rollout is part of a format at all."""
    return rollout.status.has_verdict or TREATMENTS[trainer].failure.is_kept


def mask_sample(rollout: Rollout) -> bool:
    """NeMo's word for a rollout that is not trained on, and not counted in its group."""
    return not rollout.status.has_verdict


def remove_sample(rollout: Rollout) -> bool:
    """Slime's word for the same."""
    return not rollout.status.has_verdict


def is_truncated(rollout: Rollout) -> bool:
    """Whether a rollout was cut, and verified all the same."""
    return rollout.status is Status.TRUNCATED


def checked_reward(rollout: Rollout) -> float | None:
    """The reward; None for a failure, whatever stands in its row."""
    return rollout.reward if rollout.status.has_verdict else None
