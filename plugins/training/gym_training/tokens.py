"""Rollouts as exact tokens, in the fields of each trainer; all of them from `Rollout.sequences()`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import starmap
from typing import Any, TypeAlias

from gym_core import Rollout, TokenSequence
from gym_training.masks import Mask
from gym_training.messages import Shared
from gym_training.statuses import checked_reward, is_trained

Row = dict[str, Any]
_NONE: Shared = {}


Sample: TypeAlias = tuple[Rollout, int, TokenSequence, float | None]


def samples(rollouts: Iterable[Rollout], trainer: str) -> Iterator[Sample]:
    """Each sequence of the rollouts that a trainer is given, with its number within the rollout and its reward.

    The reward is the actor's, None for a rollout that failed.
    """
    for rollout in rollouts:
        if is_trained(rollout, trainer):
            failed = checked_reward(rollout) is None
            for number, sequence in enumerate(rollout.sequences()):
                yield rollout, number, sequence, None if failed else sequence.reward


def written_samples(rollouts: Iterable[Rollout], trainer: str) -> Iterator[Sample]:
    """The same for a file: with masks that are written without looking at each token."""
    for rollout, number, sequence, reward in samples(rollouts, trainer):
        yield rollout, number, replace(sequence, mask=Mask(len(sequence.ids), sequence.stretches)), reward


def prompt_length(sequence: TokenSequence) -> int:
    """How many tokens stand before the first that is trained; all but one where none is."""
    return sequence.stretches[0][0] if sequence.stretches else len(sequence.ids) - 1


def to_tokens(rollouts: Iterable[Rollout]) -> Iterator[Row]:
    """Each sequence as it is: `ids`, `mask` and `logprobs` of one length, with what it belongs to.

    `reward`: None for a rollout that failed. `versions`: of the weights.
    """
    return starmap(tokens_row, samples(rollouts, "tokens"))


def tokens_row(rollout: Rollout, number: int, sequence: TokenSequence, reward: float | None) -> Row:
    """One sequence, see `to_tokens`."""
    return {
        "task_id": rollout.task_id,
        "repeat": rollout.repeat,
        "sequence": number,
        "actor": sequence.actor,
        "status": rollout.status.value,
        "reward": reward,
        "prompt_length": prompt_length(sequence),
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
    start = prompt_length(sequence)
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
    return starmap(verl_row, samples(rollouts, "verl"))


def verl_row(rollout: Rollout, number: int, sequence: TokenSequence, reward: float | None) -> Row:
    """One output for verl, see `to_verl`."""
    start = prompt_length(sequence)
    timing = (rollout.row.get("rollout") or {}).get("timing") or {}
    return {
        "prompt_ids": sequence.ids[:start],
        "response_ids": sequence.ids[start:],
        "response_mask": sequence.mask[start:],
        "response_logprobs": sequence.logprobs[start:],
        "reward_score": reward,
        "num_turns": _turns(sequence),
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
        for start, stop in sequence.stretches:
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
            for turn, (start, stop) in enumerate(sequence.stretches):
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


def _turns(sequence: TokenSequence) -> int:
    """How many turns there are, of what the model said and what it was told."""
    edges = [edge for stretch in sequence.stretches for edge in stretch]
    return len({0, len(sequence.ids), *edges}) - 1


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
