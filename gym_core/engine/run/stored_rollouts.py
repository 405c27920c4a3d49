"""Runs over stored rollouts: something is done again with each of them, into files of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from gym_core.domain.group import FEWEST
from gym_core.domain.rollout import Rollout
from gym_core.domain.task import result_task_id
from gym_core.engine.config import RunConfig
from gym_core.engine.executors.inline import InlineExecutor
from gym_core.engine.metrics.groups import GroupTally
from gym_core.engine.metrics.progress import Progress
from gym_core.engine.rollout.rollout_run import RolloutRun
from gym_core.engine.rollout.stage import Stage
from gym_core.engine.run.groups import Earlier, Groups
from gym_core.engine.run.opening import make_groups, open_components, open_record, run_manifest, running_clock
from gym_core.engine.run.record import Record
from gym_core.engine.run.run import Run
from gym_core.engine.storage.files import parse_account, read_rows
from gym_core.engine.storage.groups import GroupLines
from gym_core.engine.storage.manifest import Manifest
from gym_core.engine.storage.outputs import Outputs
from gym_core.engine.storage.resume import Finished
from gym_core.engine.storage.store import as_fresh
from gym_core.engine.tasks.check import SourceInfo
from gym_core.engine.tasks.keys import KeyTable, digest
from gym_core.engine.tasks.prefetch import Prefetch
from gym_core.wiring.secrets import Redactor

READ_AHEAD = 16
"""How many stored rollouts wait for their turn."""


@asynccontextmanager
async def open_stored_rollouts(
    rollouts: Generator[Rollout, None, None],
    files: Outputs,
    config: RunConfig,
    begin: Callable[[Stage, Rollout], RolloutRun],
    *,
    rows: int,
    described: Callable[[Manifest], Manifest],
    redactor: Redactor,
) -> AsyncGenerator[Run[Rollout], None]:
    """A run that does something again with each rollout of a results file: opened, executed and ended like any other.

    `rollouts`: each of them once. `files`: those of the run that has written it. `config`: the components of the run,
    which has no agent, and where it writes to. `begin`: a rollout of the run, of one that has a reward; failures are
    carried over as they are. `rows`: how many rows there are. `described`: makes the run's manifest of the usual one.
    Groups are scored again once all rollouts are there. Raises `UsageError`, `PluginError`.
    """
    stack = AsyncExitStack()
    try:
        repeats = config.limits.repeats
        opened = await open_components(
            stack, config, redactor, agent=False, exists="--overwrite replaces it, --output writes elsewhere"
        )
        opened.progress.total = rows
        scores = repeats >= FEWEST and opened.scores
        if scores:
            opened.progress.groups = GroupTally()
        tasks = SourceInfo(str(files.rows))
        manifest = described(run_manifest(opened, tasks))
        record, _ = await open_record(stack, opened, manifest, tasks)
        assert record.store is not None
        record.store.cite_all(files.tools)
        stage = opened.open_stage(stack, running_clock(), manifest.run_id)
        groups = None
        if scores:
            groups = make_groups(opened, stage, record)
            # the rollouts of a task lie wherever they stand in the file: they are put together at the end
            groups.later = partial(_score_groups, groups, record.store.outputs, repeats)
        yield Run(
            source=StoredRollouts(rollouts, record),
            executor=InlineExecutor(partial(begin, stage), concurrency=config.execution.concurrency),
            record=record,
            notices=opened.notices,
            gates=stage.gates,
            groups=groups,
        )
    finally:
        await stack.aclose()


class StoredRollouts:
    """Stored rollouts as jobs.

    A failure is carried over to `record`: what has no verdict keeps none, and means go on to say that they leave it
    out.
    """

    known = True

    def __init__(self, rollouts: Generator[Rollout, None, None], record: Record) -> None:
        self.info = record.tasks
        self.planned = record.progress.total
        self._rollouts = rollouts
        self._record = record

    async def jobs(self) -> AsyncGenerator[Rollout, None]:
        """All that have a verdict. Raises `UsageError` for what is no row."""
        progress = self._record.progress
        rollouts = Prefetch(self._rollouts, READ_AHEAD)
        try:
            async for rollout in rollouts:
                if rollout.reward is not None:
                    yield rollout
                    continue
                if self._record.store is not None:
                    self._record.store.write(as_fresh(rollout))
                progress.total = (progress.total or 0) + 1
                progress.add(rollout.row, kept=True)
        finally:
            rollouts.close()

    def look_through(self) -> None:
        """There is nothing that is not known."""


async def _score_groups(groups: Groups, outputs: Outputs, repeats: int) -> None:
    """Have the rollouts of each task that were written scored together."""
    finished = await asyncio.to_thread(Finished, outputs, Progress(), places=True)
    groups.earlier = Earlier(finished, GroupLines(outputs.groups), repeats)
    tasks = Prefetch(_tasks_of(outputs.rows))
    try:
        async for task_id in tasks:
            await groups.add_earlier(task_id)
    finally:
        tasks.close()


def _tasks_of(rows: Path) -> Generator[str, None, None]:
    seen = KeyTable()
    for row in read_rows(rows, parse_account):
        task_id = result_task_id(row)
        if seen.add(digest(task_id)):
            yield task_id
