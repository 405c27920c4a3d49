"""Rollouts as examples, preferences and prompts: for training on text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from gym_core import Rollout, Task, encode_json
from gym_core.spi import without_result
from gym_training.messages import Shared, conversation, opening, tools_of
from gym_training.statuses import is_trained

Row = dict[str, Any]
_NONE: Shared = {}


def to_sft(rollouts: Iterable[Rollout], shared: Shared = _NONE) -> Iterator[Row]:
    """`messages` and `tools` of each rollout with a reward.

    `shared`: what rows cite, for the tools; without it those of the task alone are known.
    """
    for rollout in rollouts:
        if is_trained(rollout, "sft"):
            before, after = conversation(rollout)
            yield _row(rollout, shared, messages=[*before, *after], reward=rollout.reward)


def to_preference(pairs: Iterable[tuple[Rollout, Rollout]], shared: Shared = _NONE) -> Iterator[Row]:
    """`prompt`, `chosen` and `rejected` for pairs of rollouts of a task, the better first; see `best_and_worst`."""
    for better, worse in pairs:
        if is_trained(better, "preference") and is_trained(worse, "preference"):
            before, chosen = conversation(better)
            yield _row(
                better,
                shared,
                prompt=before,
                chosen=chosen,
                rejected=conversation(worse)[1],
                chosen_reward=better.reward,
                rejected_reward=worse.reward,
            )


def to_kto(rollouts: Iterable[Rollout], shared: Shared = _NONE, *, threshold: float = 0.5) -> Iterator[Row]:
    """`prompt`, `completion` and `label`: whether the reward is `threshold` or more."""
    for rollout in rollouts:
        if is_trained(rollout, "kto") and rollout.reward is not None:
            before, after = conversation(rollout)
            yield _row(rollout, shared, prompt=before, completion=after, label=rollout.reward >= threshold)


def to_prompts(
    rollouts: Iterable[Rollout | Task],
    shared: Shared = _NONE,
    *,
    data_source: str = "",
    ability: str = "",
    ground_truth: str = "",
) -> Iterator[Row]:
    """Each task once, in verl's form: `data_source, prompt, ability, reward_model, extra_info`; TRL reads `prompt`.

    `rollouts`: or tasks that nobody has worked on yet. `data_source`: by default the environment. `ground_truth`: a
    field of the task, as text; by default its id, since it is gym that verifies. `extra_info.task` holds the task's row
    as JSON. A task whose rollouts failed is one all the same.
    """
    seen: set[str] = set()
    for rollout in rollouts:
        if rollout.task_id in seen:
            continue
        seen.add(rollout.task_id)
        about = {} if isinstance(rollout, Task) else rollout.row.get("rollout") or {}
        task = without_result(dict(rollout.row))
        truth = task.get(ground_truth) if ground_truth else rollout.task_id
        index = rollout.index if isinstance(rollout, Task) else about.get("task_index") or 0
        yield {
            "data_source": data_source or str(about.get("env") or "gym"),
            "prompt": opening(rollout) if isinstance(rollout, Task) else conversation(rollout)[0],
            "ability": ability,
            "reward_model": {"style": "rule", "ground_truth": truth if isinstance(truth, str) else _text(truth)},
            "extra_info": {
                "split": "train",
                "index": index,
                "task_id": rollout.task_id,
                "task": _text(task),
            },
        }


def best_and_worst(rollouts: Iterable[Rollout]) -> Iterator[tuple[Rollout, Rollout]]:
    """Of each task the rollout with the highest and the one with the lowest reward, where these differ.

    Of equal ones the first is the best and the last the worst, as `gym export --pairs 1` has it.
    """
    found: dict[str, tuple[Rollout, Rollout]] = {}
    for rollout in rollouts:
        if rollout.reward is not None:
            best, worst = found.get(rollout.task_id, (rollout, rollout))
            if best.reward is not None and rollout.reward > best.reward:
                best = rollout
            if worst.reward is not None and rollout.reward <= worst.reward:
                worst = rollout
            found[rollout.task_id] = best, worst
    return (pair for pair in found.values() if pair[0].reward != pair[1].reward)


def _row(rollout: Rollout, shared: Shared, **fields: Any) -> Row:
    tools = tools_of(rollout, shared)
    row: Row = {"task_id": rollout.task_id, "repeat": rollout.repeat, **fields}
    return {**row, "tools": tools} if tools else row


def _text(value: Any) -> str:
    return encode_json(value, fallback=str).decode()
