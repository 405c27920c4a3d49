"""Rollouts as exact tokens, in the fields of each trainer; all of them from `Rollout.sequences()`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import starmap
from typing import Any

from gym_core import Rollout, TokenSequence
from gym_training.messages import Shared
from gym_training.statuses import checked_reward, is_trained

Row = dict[str, Any]
_NONE: Shared = {}


def samples(rollouts: Iterable[Rollout], trainer: str) -> Iterator[tuple[Rollout, int, TokenSequence, float | None]]:
    """Each sequence of the rollouts that a trainer is given, with its number within the rollout and its reward.

    The reward is the actor's, None for a rollout that failed.
    """
    for rollout in rollouts:
        if is_trained(rollout, trainer):
            failed = checked_reward(rollout) is None
            for number, sequence in enumerate(rollout.sequences()):
                yield rollout, number, sequence, None if failed else sequence.reward


def prompt_length(mask: Sequence[int]) -> int:
    """How many tokens stand before the first that is trained; all but one where none is."""
    try:
        return mask.index(1)
    except ValueError:
        return len(mask) - 1


def to_tokens(rollouts: Iterable[Rollout]) -> Iterator[Row]:
    """Each sequence as it is: `ids`, `mask` and `logprobs` of one length, with what it belongs to.

    `reward`: None for a rollout that failed. `versions`: of the weights.
    """
    for rollout, number, sequence, reward in samples(rollouts, "tokens"):
        yield {
            "task_id": rollout.task_id,
            "repeat": rollout.repeat,
            "sequence": number,
            "actor": sequence.actor,
            "status": rollout.status.value,
            "reward": reward,
            "prompt_length": prompt_length(sequence.mask),
            "ids": sequence.ids,
            "mask": sequence.mask,
            "logprobs": sequence.logprobs,
            "versions": [*sequence.versions],
        }


def to_trl(rollouts: Iterable[Rollout]) -> Iterator[Row]:
    """What a `rollout_func` of TRL's `GRPOTrainer` says of a completion: see `as_columns` for the form it returns.

    `env_mask` is 0 where tokens came from tools and users. `reward` is for the reward function; None, which TRL leaves
    out of the loss and of the group's baseline, for a rollout that failed.
    """
    return starmap(trl_row, samples(rollouts, "trl"))


def trl_row(rollout: Rollout, number: int, sequence: TokenSequence, reward: float | None) -> Row:
    """One completion for TRL, see `to_trl`."""
    start = prompt_length(sequence.mask)
    return {
        "prompt_ids": sequence.ids[:start],
        "completion_ids": sequence.ids[start:],
        "logprobs": sequence.logprobs[start:],
        "env_mask": sequence.mask[start:],
        "reward": reward,
        "task_id": rollout.task_id,
        "repeat": rollout.repeat,
        "sequence": number,
        "status": rollout.status.value,
    }


def to_verl(rollouts: Iterable[Rollout]) -> Iterator[Row]:
    """The fields of verl's `AgentLoopOutput`; rollouts that failed are left out, since verl has no word for them."""
    for rollout, number, sequence, reward in samples(rollouts, "verl"):
        start = prompt_length(sequence.mask)
        timing = (rollout.row.get("rollout") or {}).get("timing") or {}
        yield {
            "prompt_ids": sequence.ids[:start],
            "response_ids": sequence.ids[start:],
            "response_mask": sequence.mask[start:],
            "response_logprobs": sequence.logprobs[start:],
            "reward_score": reward,
            "num_turns": _turns(sequence.mask),
            "metrics": {
                "generate_sequences": float(timing.get("model_seconds") or 0.0),
                "tool_calls": float(sum(call.get("seconds") or 0.0 for call in rollout.tool_calls)),
                "compute_score": float(timing.get("verify_seconds") or 0.0),
            },
            "extra_fields": {
                "task_id": rollout.task_id,
                "repeat": rollout.repeat,
                "sequence": number,
                "actor": sequence.actor,
                "status": rollout.status.value,
                "versions": [*sequence.versions],
            },
        }


def to_prime_rl(rollouts: Iterable[Rollout], shared: Shared = _NONE) -> Iterator[Row]:
    """The fields of prime-rl's `TrainingSample`, and `reward, task_id, repeat` for whoever computes advantages.

    `temperatures`: of each token, as far as `shared` or the rows tell; 1.0 otherwise, and where nothing was sampled.
    """
    for rollout, _, sequence, reward in samples(rollouts, "prime-rl"):
        temperature, size = _temperature(rollout, shared), len(sequence.mask)
        mask, temperatures = [False] * size, [1.0] * size
        for start, stop in sampled_stretches(sequence.mask):
            mask[start:stop] = [True] * (stop - start)
            temperatures[start:stop] = [temperature] * (stop - start)
        yield {
            "token_ids": sequence.ids,
            "mask": mask,
            "logprobs": sequence.logprobs,
            "temperatures": temperatures,
            "env_name": str((rollout.row.get("rollout") or {}).get("env") or "gym"),
            "reward": reward,
            "task_id": rollout.task_id,
            "repeat": rollout.repeat,
        }


def to_openenv(rollouts: Iterable[Rollout]) -> Iterator[Row]:
    """OpenEnv's `TrainingTrace` of each rollout: a turn for each stretch that was sampled, with all that it had read.

    A token is trained in one turn alone: later ones have it in their prompts. The reward stands in `metadata`.
    """
    for each in rollouts:
        turns: list[Row] = []
        for rollout, number, sequence, reward in samples([each], "openenv"):
            for turn, (start, stop) in enumerate(sampled_stretches(sequence.mask)):
                turns.append(
                    {
                        "node_id": f"{number}.{turn}",
                        "prompt_token_ids": sequence.ids[:start],
                        "completion_token_ids": sequence.ids[start:stop],
                        "per_token_logps": sequence.logprobs[start:stop],
                        "loss_mask": [0] * start + [1] * (stop - start),
                        "metadata": {
                            "task_id": rollout.task_id,
                            "repeat": rollout.repeat,
                            "actor": sequence.actor,
                            "status": rollout.status.value,
                            "reward": reward,
                            "versions": [*sequence.versions],
                        },
                    }
                )
        if turns:
            yield {"schema_version": 1, "turns": turns}


def sampled_stretches(mask: Sequence[int]) -> list[tuple[int, int]]:
    """Where trained tokens begin and end, stretch by stretch."""
    found: list[tuple[int, int]] = []
    stop, size = 0, len(mask)
    with suppress(ValueError):  # `index` looks at a list of any length faster than a loop looks at ten of it
        while stop < size:
            start = mask.index(1, stop)
            stop = size
            found.append((start, stop))
            stop = mask.index(0, start)
            found[-1] = start, stop
    return found


def _turns(mask: Sequence[int]) -> int:
    """How many turns there are, of what the model said and what it was told."""
    edges = [edge for stretch in sampled_stretches(mask) for edge in stretch]
    return len({0, len(mask), *edges}) - 1


def as_columns(rows: Iterable[Row]) -> dict[str, list[Any]]:
    """Rows as lists by field: what TRL's `rollout_func` returns, and `datasets.Dataset.from_dict` takes."""
    columns: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return columns


def _temperature(rollout: Rollout, shared: Shared) -> float:
    cited = shared.get((rollout.row.get("rollout") or {}).get("request") or "", {})
    sampling = cited.get("sampling") or rollout.row.get("responses_create_params") or {}
    value = sampling.get("temperature")
    return float(value) if isinstance(value, int | float) else 1.0
