"""A gym that is open: tasks, rollouts and groups as they are asked for, for as long as somebody trains on them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from gym_core.contract.runner import Runner
from gym_core.domain.error_json import error_json
from gym_core.domain.errors import GymError, InputError, UsageError
from gym_core.domain.group import Group
from gym_core.domain.json_text import JsonError
from gym_core.domain.responses import Request, Usage
from gym_core.domain.rollout import Rollout
from gym_core.domain.sampling import Sampling, sampling_fields
from gym_core.domain.task import Task, check_row, own_task_id
from gym_core.engine.keywords import speaking_keywords
from gym_core.engine.model_calls.weights import Weights
from gym_core.engine.open_engine.dataset import Dataset, Tasks
from gym_core.engine.open_engine.rollouts import Rollouts
from gym_core.engine.open_engine.stages import ModelOverride, Stages
from gym_core.engine.rollout.rollout_run import RolloutRun
from gym_core.engine.run.record import Record
from gym_core.engine.run.run import Sink
from gym_core.engine.staging import beginning
from gym_core.engine.storage.resume import Finished
from gym_core.engine.tasks.job import Job
from gym_core.engine.tasks.keys import content_id
from gym_core.engine.tasks.prefetch import inline

STALE = "stale"
"""The stop reason of a rollout that was cancelled because the weights are others now."""
TaskLike: TypeAlias = Task | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Spent:
    """What the rollouts of a gym that have ended took: how many they were, tokens, and USD where prices are known."""

    rollouts: int
    usage: Usage
    cost: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GymParts:
    """What a gym is made of."""

    rollouts: Rollouts
    dataset: Dataset
    stages: Stages
    weights: Weights
    record: Record
    sink: Sink
    finished: Finished | None


class Gym:
    """An environment, an agent and models that are open, for rollouts as they are asked for: see `gym_core.open`.

    All of its methods belong to the event loop that it was opened in. A task may be asked for any number of times; its
    rollouts are numbered on, as `repeat`. What ends badly comes back as a rollout without a reward, whose `status` and
    `error` say why. What would fail all rollouts alike is raised instead where nothing has got a verdict: a wrong key,
    a budget that is reached (`BudgetExceeded`), an endpoint at which nobody answers. Asking again tries again.

    Cancelling a call of a method ends its rollouts, whose sessions and model calls are closed at once.
    """

    def __init__(self, _parts: GymParts) -> None:
        self._parts = _parts
        self._rollouts = _parts.rollouts
        self._weights = _parts.weights
        self._progress = _parts.record.progress
        self._announce = _parts.record.observers.announcing_groups(None)
        self._room = _parts.record.observers.room(None)
        self._repeats: dict[str, int] = {}
        self._epochs: dict[str, int] = {}
        self.summary: Mapping[str, Any] = {}
        """What stands in `x.summary.json`, once the gym is closed; empty before."""

    # Tasks

    async def task(self, index: int) -> Task:
        """The task at an index, from 0, of the environment, or of `input` or `tasks`.

        Raises `UsageError` where there is none, and `InputError` for one that is broken.
        """
        return await self._parts.dataset.task(index)

    def tasks(self, start: int = 0, limit: int | None = None) -> AsyncIterable[Task]:
        """`limit` tasks from the index `start` on, or all of them: `async for task in gym.tasks()`.

        They may be gone through again, for the next epoch. What was read is kept in memory. A broken one raises
        `InputError`, which costs it alone in `groups`.
        """
        for name, value in (("start", start), ("limit", limit)):
            if value is not None and (type(value) is not int or value < 0):
                raise UsageError(f"`{name}` must be a whole number of at least 0, not {value!r:.80}")
        return Tasks(self._parts.dataset, start, None if limit is None else start + limit)

    # Rollouts

    async def rollout(
        self,
        task: TaskLike,
        *,
        sampling: Sampling | None = None,
        model: ModelOverride | None = None,
        model_options: Mapping[str, Any] | None = None,
    ) -> Rollout:
        """One rollout of a task, which may be a row.

        `sampling`: fields of its request, over those of the row; what the model's options set goes over them.
        `model`: another model for this rollout, by reference or as an instance, or a mapping of them by role; a
        reference of the same backend keeps the options that the role has, and `model_options` go over them. Such a
        model is opened when it is first asked for, and stays open as long as the gym.

        Raises `InputError` for what is no task, `UsageError` for a model or an option that cannot be, and what would
        fail all rollouts alike.
        """
        (rollout,), stop = await self._carry_out(task, 1, sampling, model, model_options)
        if stop is not None:
            with speaking_keywords():
                raise stop
        return rollout

    async def group(
        self,
        task: TaskLike,
        size: int,
        *,
        sampling: Sampling | None = None,
        model: ModelOverride | None = None,
        model_options: Mapping[str, Any] | None = None,
    ) -> Group:
        """`size` rollouts of a task, side by side, scored together where the environment does that.

        They come in order of `repeat`, failures among them. All else as for `rollout`; what would fail all rollouts
        alike is raised only where none of these has a verdict.
        """
        if type(size) is not int or size < 1:
            raise UsageError(f"the size of a group must be a whole number of at least 1, not {size!r:.80}")
        rollouts, stop = await self._carry_out(task, size, sampling, model, model_options)
        if stop is not None and all(rollout.reward is None for rollout in rollouts):
            with speaking_keywords():
                raise stop
        group = await self._rollouts.score(rollouts)
        if self._rollouts.closed:  # the summary is being made, and observers have heard the last
            return group
        if self._progress.groups is not None:
            self._progress.groups.add_group(group)
        if self._announce is not None:
            self._announce(group)
        return group

    async def groups(
        self,
        tasks: Iterable[TaskLike] | AsyncIterable[TaskLike],
        size: int,
        *,
        ahead: int = 64,
        sampling: Sampling | None = None,
        model: ModelOverride | None = None,
        model_options: Mapping[str, Any] | None = None,
    ) -> AsyncGenerator[Group, None]:
        """A group of each task, each as soon as it is whole, in order of completion.

        `tasks`: tasks or rows, which may be endless, and name a task several times. `ahead`: how many groups are under
        way, or whole and not taken yet. All else as for `group`. A row that is no task gives a group without rollouts,
        whose `error` says what is wrong with it. Raises what `group` raises otherwise; leaving the loop ends what is
        under way.
        """
        if type(ahead) is not int or ahead < 1:
            raise UsageError(f"`ahead` must be a whole number of at least 1, not {ahead!r:.80}")

        async def make(number: int, task: TaskLike) -> Group:
            try:
                return await self.group(task, size, sampling=sampling, model=model, model_options=model_options)
            except InputError as error:
                return _broken(number, error)

        made = _Ahead(ahead)
        feeding = asyncio.create_task(made.feed(tasks, make))
        try:
            async for group in made.read(feeding):
                yield group
        finally:
            await made.end(feeding)

    async def _carry_out(
        self,
        task: TaskLike,
        many: int,
        sampling: Sampling | None,
        model: ModelOverride | None,
        model_options: Mapping[str, Any] | None,
    ) -> tuple[list[Rollout], GymError | None]:
        """Rollouts of one task, and what would fail all others alike, if one of them says so."""
        task, stage = checked_task(task), self._rollouts.stage
        if model is not None or model_options is not None:
            with speaking_keywords():
                stage = await self._parts.stages.of(model, model_options or {})
        if self._room is not None and not self._room.is_set():
            await self._room.wait()
        request = self._request(task, sampling) if sampling else None
        stop: GymError | None = None

        def ended(run: RolloutRun, rollout: Rollout) -> None:
            nonlocal stop
            early = self._parts.sink.take(rollout, run.failure.cause if run.failure is not None else None)
            stop = stop or early

        begin = beginning(stage)
        runs = [begin(Job(task, self._next_repeat(task.task_id), 1), request) for _ in range(many)]
        return await self._rollouts.carry_out(runs, ended), stop

    def _next_repeat(self, task_id: str) -> int:
        repeat = self._repeats.get(task_id, 0)
        finished = self._parts.finished
        if finished is not None:  # of a file that is continued
            while finished.attempt(task_id, repeat) != 1:
                repeat += 1
        self._repeats[task_id] = repeat + 1
        return repeat

    def _request(self, task: Task, sampling: Mapping[str, Any]) -> Request:
        if isinstance(self._rollouts.stage.agent, Runner):
            raise UsageError(
                "a runner reads what is asked in the task's row: `sampling` means nothing to it",
                hint="change the row, or give `model_options`",
            )
        return Request({**task.request.body, **sampling_fields(sampling)})

    # Weights

    @property
    def version(self) -> str | None:
        """The version of the policy's weights that was announced last, None before."""
        return self._weights.version

    @version.setter
    def version(self, version: str | int) -> None:
        """Announce new weights: model calls of the policy that begin from now on have it in their `tokens.version`."""
        if not isinstance(version, str | int) or isinstance(version, bool):
            raise UsageError(f"a version must be text or a whole number, not {version!r:.80}")
        self._weights.version = str(version)
        self._rollouts.epoch += 1
        self._epochs[str(version)] = self._rollouts.epoch

    def cancel(self, *, older_than: str | int | None = None) -> int:
        """End rollouts, in a moment: those who wait for them get them back as cancelled. Returns how many those are.

        `older_than`: a version; only what began before it was announced, a group as a whole, with the stop reason
        `stale`. Versions that are whole numbers are ordered, and need not have been announced. None: everything that
        runs or waits. Raises `UsageError` for a version that nobody has announced.
        """
        if older_than is None:
            return sum(self._rollouts.end(batch, "it was cancelled") for batch in [*self._rollouts.batches])
        since = self._since(older_than)
        reason = f"its weights are older than version {older_than}"
        return sum(
            self._rollouts.end(batch, reason, STALE)
            for batch in [*self._rollouts.batches]
            if batch.epoch is not None and batch.epoch < since
        )

    def _since(self, version: str | int) -> int:
        """The epoch that began with a version, or with the first that is not older."""
        epoch = self._epochs.get(str(version))
        if epoch is not None:
            return epoch
        number = _number(version)
        if number is None:
            raise UsageError(f"the version {version!r:.80} has not been announced", hint="gym.version = ...")
        numbered = [(_number(known), epoch) for known, epoch in self._epochs.items()]
        newer = [epoch for known, epoch in numbered if known is not None and known > number]
        return min(newer, default=self._rollouts.epoch + 1)

    @asynccontextmanager
    async def paused(self, *, abort: bool = False, retry: bool = True) -> AsyncGenerator[None, None]:
        """No call to the policy's model is under way within this block: `async with gym.paused(): update_weights()`.

        Calls that are under way are waited for, or with `abort` broken off, and closed at their server. Those are tried
        again after the block, or without `retry` their rollouts are cancelled, with the stop reason `stale`. All that
        needs no call of that model goes on, and the clocks of rollouts that wait stand still.
        """
        weights = self._weights
        weights.pause()
        try:
            if abort and retry:
                weights.abort()
            elif abort:
                asking = weights.asking()
                for batch in self._rollouts.batches:
                    for run in [*batch.open]:
                        if run.started is not None and run.alarm in asking:
                            run.end("its weights were replaced while its model answered", STALE)
            await weights.drained()
            yield
        finally:
            weights.resume()

    # How it is doing

    @property
    def spent(self) -> Spent:
        """What was spent so far, by rollouts that have ended."""
        return Spent(self._progress.finished, replace(self._progress.usage), self._progress.cost)

    @property
    def running(self) -> int:
        """How many rollouts run now."""
        return self._rollouts.running

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return self._rollouts.waiting


class _Ahead:
    """Groups that are made ahead of who takes them, `most` at a time."""

    def __init__(self, most: int) -> None:
        self._room = asyncio.Semaphore(most)
        self._made: asyncio.Queue[asyncio.Task[Group] | None] = asyncio.Queue()
        self._open: set[asyncio.Task[Group]] = set()

    async def feed(
        self,
        tasks: Iterable[TaskLike] | AsyncIterable[TaskLike],
        make: Callable[[int, TaskLike], Any],
    ) -> None:
        """Have groups made of all tasks."""
        number = 0
        iterator = aiter(tasks) if isinstance(tasks, AsyncIterable) else inline(tasks)
        while True:
            await self._room.acquire()
            try:
                task = await anext(iterator)
            except StopAsyncIteration:
                return
            except InputError as error:
                making = asyncio.create_task(_said(_broken(number, error)))
            else:
                making = asyncio.create_task(make(number, task))
            number += 1
            self._open.add(making)
            making.add_done_callback(self._done)
            await asyncio.sleep(0)

    async def read(self, feeding: asyncio.Task[None]) -> AsyncGenerator[Group, None]:
        """All groups, as they are whole. Raises what kept one from being made, and what the tasks raise."""
        feeding.add_done_callback(lambda fed: self._made.put_nowait(None))
        fed = False
        while not fed or self._open or not self._made.empty():
            made = await self._made.get()
            if made is None:
                fed = True
                feeding.result()
                continue
            self._room.release()
            yield made.result()

    def _done(self, making: asyncio.Task[Group]) -> None:
        self._open.discard(making)
        self._made.put_nowait(making)

    async def end(self, feeding: asyncio.Task[None]) -> None:
        """End all that is under way, and wait for it."""
        tasks: list[asyncio.Task[Any]] = [feeding, *self._open]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _said(group: Group) -> Group:
    return group


def _broken(number: int, error: InputError) -> Group:
    """What stands for the group of a row that is no task, the one of this number."""
    described = error_json(error, "row", retryable=False)
    return Group("", (), error={**described, "message": f"task {number + 1} of these: {error.message}"})


def checked_task(task: Any) -> Task:
    """A task, or a row as one. Raises `InputError`.

    It is known by the id that it has or was given, else by what it says, so that equal rows are one task.
    """
    row = task.row if isinstance(task, Task) else task
    try:
        row = check_row(row if isinstance(row, dict) or not isinstance(row, Mapping) else {**row})
        own = own_task_id(row)
        if isinstance(task, Task) and row is task.row and (task.named or own is not None):
            return task
        name = task.task_id if isinstance(task, Task) and task.named else own
        return Task(row, task_id=name or content_id(row), index=task.index if isinstance(task, Task) else 0)
    except (ValueError, JsonError) as error:
        raise InputError(f"this is no task: {error}") from error


def _number(version: str | int) -> int | None:
    """A version as a whole number, where it is one."""
    try:
        return int(version)
    except ValueError:
        return None
