"""A live seam to TRL: rollouts of an open gym are the completions of `GRPOTrainer`.

    async with gym_core.open(model=policy, env="my_env", concurrency=64) as gym:
        rollouts = await trl_rollouts(gym, gym.tasks())
        trainer = GRPOTrainer(
            model,
            rollouts.reward,
            args,
            train_dataset=Dataset.from_list(rollouts.prompts),
            processing_class=tokenizer,
            rollout_func=rollouts,
        )
        await asyncio.to_thread(trainer.train)

Nothing of TRL is imported here.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from typing import Any

from gym_core import Group, Gym, Rollout, Sampling, Task, TokenSequence, UsageError
from gym_core.spi import MAIN
from gym_training.statuses import checked_reward
from gym_training.tokens import as_columns, trl_row


async def trl_rollouts(
    gym: Gym, tasks: Iterable[Task] | AsyncIterable[Task], *, sampling: Sampling | None = None
) -> TrlRollouts:
    """The `rollout_func` of a `GRPOTrainer`, with its data set and its reward function: see `TrlRollouts`.

    To be called in the event loop that `gym` was opened in, which has to stay free: the trainer runs in a thread.
    `tasks`: those that are trained on, each with an id of its own. `sampling`: of all rollouts; by default the
    trainer's temperature, which log probabilities are computed with. Raises `UsageError` for two tasks of one id, and
    `InputError` for a broken one.
    """
    known: dict[str, Task] = {}
    async for task in _each(tasks):
        if known.setdefault(task.task_id, task) is not task:
            raise UsageError(f"two tasks are called {task.task_id}", hint="give each an id of its own")
    return TrlRollouts(gym, known, asyncio.get_running_loop(), sampling)


class TrlRollouts:
    """Completions for TRL's `GRPOTrainer`: itself the `rollout_func`, called from the trainer's thread.

    `prompts`: rows for the data set, whose `prompt` is the id of a task. Equal prompts of a batch are one group, scored
    together where the environment does that; the trainer's step is announced as `gym.version`.

    A rollout that failed has None for its reward, which TRL leaves out of the group's mean, and no token that is
    trained. A rollout whose tokens were encoded anew, or with sub-agents, is several sequences, and a completion is
    one: of the policy's own that with most sampled tokens is trained, and `left_out` counts the others.
    """

    def __init__(
        self, gym: Gym, tasks: Mapping[str, Task], loop: asyncio.AbstractEventLoop, sampling: Sampling | None
    ) -> None:
        self.prompts: list[dict[str, str]] = [{"prompt": task_id} for task_id in tasks]
        self.left_out = 0
        self.failed = 0
        """How many rollouts have failed so far."""
        self._gym = gym
        self._tasks = tasks
        self._loop = loop
        self._sampling = sampling

    def __call__(self, prompts: Sequence[str], trainer: Any) -> dict[str, list[Any]]:
        """One completion for each prompt: `prompt_ids, completion_ids, logprobs, env_mask`, and what `reward` reads.

        Raises `UsageError` for prompts of another data set, for a model that says no tokens, and within the event loop
        of the gym, which would wait for itself; and what `gym.group` raises.
        """
        if _running_loop() is self._loop:
            raise UsageError(
                "the trainer holds the event loop that its rollouts need",
                hint="await asyncio.to_thread(trainer.train)",
            )
        sampling: Sampling = self._sampling if self._sampling is not None else {"temperature": trainer.args.temperature}
        working = self._collect(Counter(prompts), sampling, int(trainer.state.global_step))
        future = asyncio.run_coroutine_threadsafe(working, self._loop)
        try:
            groups = future.result()
        finally:
            future.cancel()
        filler = trainer.processing_class.pad_token_id
        rows = {group.task_id: iter(self._rows(group, filler)) for group in groups}
        return as_columns(next(rows[prompt]) for prompt in prompts)

    def reward(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        reward: Sequence[float | None],
        log_metric: Callable[[str, float], None] | None = None,
        **others: Any,
    ) -> list[float | None]:
        """The reward function: what the environment said. Reports how many rollouts failed, of a batch."""
        if log_metric is not None:
            log_metric("gym/failed", sum(one is None for one in reward) / len(reward))
        return [*reward]

    async def _collect(self, wanted: Mapping[str, int], sampling: Sampling, step: int) -> list[Group]:
        unknown = next((prompt for prompt in wanted if prompt not in self._tasks), None)
        if unknown is not None:
            raise UsageError(
                f"no task is called {unknown!r:.200}", hint="train_dataset=Dataset.from_list(rollouts.prompts)"
            )
        if self._gym.version != str(step):
            self._gym.version = step
        working = [
            asyncio.ensure_future(self._gym.group(self._tasks[task_id], size, sampling=sampling))
            for task_id, size in wanted.items()
        ]
        try:
            return await asyncio.gather(*working)
        finally:
            for one in working:
                one.cancel()

    def _rows(self, group: Group, filler: int) -> list[dict[str, Any]]:
        return [self._row(rollout, filler) for rollout in group.judged]

    def _row(self, rollout: Rollout, filler: int) -> dict[str, Any]:
        if checked_reward(rollout) is None:
            self.failed += 1
            return trl_row(rollout, 0, _nothing(filler), None)
        sequences = rollout.sequences()
        if not sequences and rollout.model_calls:
            raise UsageError(
                f"the rollout {rollout.task_id}/{rollout.repeat} has no exact tokens",
                hint="-M tokens=true asks a server for them; a backend of yours returns `Response(body, tokens)`",
            )
        if not sequences:
            return trl_row(rollout, 0, _nothing(filler), rollout.reward)
        self.left_out += len(sequences) - 1
        # The group is compared by the policy's rewards, which say nothing of what a sub-agent sampled.
        own = [one for one in enumerate(sequences) if one[1].actor == MAIN] or [*enumerate(sequences)]
        number, sequence = max(own, key=lambda one: sum(one[1].mask))
        return trl_row(rollout, number, sequence, sequence.reward)


def _nothing(filler: int) -> TokenSequence:
    """A completion of which nothing is trained, since there has to be one."""
    return TokenSequence([filler] * 2, [0, 0], [0.0, 0.0], (), None, MAIN, (), ())


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def _each(tasks: Iterable[Task] | AsyncIterable[Task]) -> AsyncIterable[Task]:
    if isinstance(tasks, AsyncIterable):
        async for task in tasks:
            yield task
    else:
        for task in tasks:
            yield task
