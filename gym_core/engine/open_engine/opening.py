"""From what a caller asks for to a gym that is open, and to rollouts for those who keep no record of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from gym_core.domain.errors import StoreError, UsageError
from gym_core.engine.config import RunConfig
from gym_core.engine.loops import seldom_collected
from gym_core.engine.metrics.groups import GroupTally
from gym_core.engine.model_calls.gate import Clock
from gym_core.engine.model_calls.weights import Weights
from gym_core.engine.open_engine.dataset import Dataset
from gym_core.engine.open_engine.gym import Gym, GymParts
from gym_core.engine.open_engine.rollouts import Rollouts
from gym_core.engine.open_engine.stages import Stages, wire_weights
from gym_core.engine.run.opening import (
    Opened,
    list_tasks,
    new_run_id,
    open_components,
    open_record,
    run_manifest,
    running_clock,
)
from gym_core.engine.run.run import Sink
from gym_core.wiring.config_file import POLICY
from gym_core.wiring.secrets import Redactor


async def open_rollouts(
    stack: AsyncExitStack, config: RunConfig, redactor: Redactor, *, clock: Clock | None = None
) -> tuple[Rollouts, Opened]:
    """Rollouts of the components that `config` names, and what was opened for them; `stack` closes it.

    Nothing is written or counted. Sessions are seeded as in a run, model calls are not: whoever asks twice for the same
    rollout wants two samples. Raises `UsageError`, `PluginError`.
    """
    opened = await open_components(stack, config, redactor)
    stage = opened.open_stage(stack, clock or running_clock(), new_run_id())
    stage = replace(stage, model_seeds=False, about={**stage.about, "seed_sent": False})
    return Rollouts(stage, concurrency=config.execution.concurrency), opened


@asynccontextmanager
async def open_gym(config: RunConfig) -> AsyncGenerator[Gym, None]:
    """A gym. Leaving it ends what is under way, whose callers get it back as cancelled.

    Raises `UsageError`, `PluginError`; nothing has been paid for then and nothing written.
    """
    if config.execution.spread:
        raise UsageError("an open gym runs its rollouts in this process", hint="leave --workers and --executor out")
    stack = AsyncExitStack()
    stopped: BaseException | None = None
    try:
        parts = await _open(stack, config)
        gym = Gym(parts)
        with seldom_collected():
            try:
                yield gym
            except BaseException as error:
                stopped = error
                raise
            finally:
                gym.summary = await _close(parts, stopped)
    finally:
        await stack.aclose()


async def _open(stack: AsyncExitStack, config: RunConfig) -> GymParts:
    config = replace(config, limits=replace(config.limits, repeats=1))  # that is for `Gym.group` to say
    opened = await open_components(stack, config, Redactor(), tasks=list_tasks)
    assert opened.tasks is not None
    dataset = Dataset(opened.tasks, limit=config.selection.limit, skip_invalid=config.selection.skip_invalid)
    stack.push_async_callback(dataset.close)
    record, finished = await open_record(stack, opened, run_manifest(opened, dataset.info), dataset.info)
    if opened.assembly.server.describe().scores_groups:
        record.progress.groups = record.progress.groups or GroupTally()
    clock, weights = running_clock(), Weights()
    stage = opened.open_stage(stack, clock, record.manifest.run_id)
    wire_weights(stage.gates, weights)
    if POLICY in stage.gates:
        stage.gates[POLICY].versioned = True
    record.start(opened.notices)
    return GymParts(
        rollouts=Rollouts(stage, concurrency=config.execution.concurrency),
        dataset=dataset,
        stages=Stages(stage, opened, stack, clock, weights),
        weights=weights,
        record=record,
        sink=Sink(record, record.observers.announcing(lambda rollout: None)),
        finished=finished,
    )


async def _close(parts: GymParts, stopped: BaseException | None) -> dict[str, Any]:
    """End what is under way, and bring everything to the disk; returns the summary. Raises `StoreError`."""
    record, failed = parts.record, None
    await parts.rollouts.close("the gym was closed")
    try:
        parts.sink.close()
        await record.flush()
    except StoreError as error:
        failed = error
    await record.observers.drain()
    stopped = stopped or failed
    state, message = ("finished", "") if stopped is None else ("interrupted", str(stopped))
    summary, unwritten = await record.end(state, message, stopped)
    failed = failed or unwritten
    if failed is not None:
        raise failed
    return summary
