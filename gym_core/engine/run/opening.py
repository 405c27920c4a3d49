"""From what a user asks for to a run that is open: every part is made here, in the order that loses nothing.

1. `open_components`: outputs are looked at, components made, the input read, components opened, models looked at.
2. `open_record`: the manifest is written, and what an earlier part of the run has done is read.
3. `Opened.open_stage`: what all rollouts share. Then groups, the source of jobs, and the executor: a `Run`.

What is refused is refused before anything is written; what is written, before anything is paid for. Runs over stored
rollouts and open engines are opened by the same steps.
"""

from __future__ import annotations

import asyncio
import secrets as random_names
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from gym_core.contract.executor import ExecutorProvider, RolloutExecutor
from gym_core.contract.resource_server import ResourceServer
from gym_core.domain.blame import blaming
from gym_core.domain.errors import UsageError
from gym_core.domain.group import FEWEST
from gym_core.engine.assembly import Assembler, Assembly
from gym_core.engine.config import RunConfig, Selection
from gym_core.engine.executors.inline import InlineExecutor
from gym_core.engine.metrics.groups import GroupTally
from gym_core.engine.metrics.progress import Progress
from gym_core.engine.metrics.rewards import RewardTally
from gym_core.engine.model_calls.budget import Budget, make_budget
from gym_core.engine.model_calls.gate import Clock
from gym_core.engine.model_calls.prices import Price, read_prices
from gym_core.engine.model_calls.rate_limits import Limiters
from gym_core.engine.observers.run_observers import RunObservers
from gym_core.engine.preflight import FirstLook, look_at_models
from gym_core.engine.rollout.group import stage_group
from gym_core.engine.rollout.stage import Stage
from gym_core.engine.run.groups import Earlier, Groups
from gym_core.engine.run.record import Record, masked
from gym_core.engine.run.run import Run
from gym_core.engine.run.source import TaskSource
from gym_core.engine.staging import beginning, open_stage
from gym_core.engine.storage.collisions import refuse_outputs
from gym_core.engine.storage.groups import GroupLines
from gym_core.engine.storage.manifest import Manifest, differences
from gym_core.engine.storage.outputs import Outputs
from gym_core.engine.storage.resume import Finished, read_finished
from gym_core.engine.storage.store import EXISTS, ResultStore
from gym_core.engine.tasks.check import SourceInfo
from gym_core.engine.tasks.job import Job
from gym_core.engine.tasks.read_source import ReadSource, input_source
from gym_core.engine.tasks.source import FileSource, IterableSource, server_source
from gym_core.wiring.kinds import Kind
from gym_core.wiring.making import enter
from gym_core.wiring.secrets import Redactor

SHORT_SECRET = (
    "a secret that is an ordinary word or shorter than 6 characters is masked in settings and URLs only; "
    "a longer one is masked wherever it stands"
)


def _silent(message: str) -> None:
    """Nobody is told."""


@asynccontextmanager
async def open_run(
    config: RunConfig,
    *,
    redactor: Redactor | None = None,
    report: Callable[[str], None] = _silent,
    clock: Clock | None = None,
) -> AsyncGenerator[Run[Job], None]:
    """A run: `async with open_run(config) as run`, then `await run.execute()`.

    `report` is told what takes long until it is open. `clock`: the time that retries and measurements go by. Entering
    raises `UsageError` and `PluginError`; nothing has been paid for then and nothing written.
    """
    stack = AsyncExitStack()
    try:
        yield await _open(
            stack, config, redactor if redactor is not None else Redactor(), report, clock or running_clock()
        )
    finally:
        await stack.aclose()  # what goes wrong in a run is no business of those that are closed here


async def _open(
    stack: AsyncExitStack, config: RunConfig, redactor: Redactor, report: Callable[[str], None], clock: Clock
) -> Run[Job]:
    limits, execution = config.limits, config.execution
    backends = AsyncExitStack()
    opened = await open_components(stack, config, redactor, backends=backends, tasks=_checked_tasks)
    tasks, progress = opened.tasks, opened.progress
    assert tasks is not None
    if opened.scores:
        progress.groups = GroupTally()
        if limits.repeats < FEWEST:
            opened.notices.append("the environment scores rollouts of a task together, and here is one: see --repeats")
    record, finished = await open_record(stack, opened, run_manifest(opened, tasks.info), tasks.info, report)
    stage = opened.open_stage(stack, clock, record.manifest.run_id)
    groups = make_groups(opened, stage, record) if opened.grouped else None
    source = TaskSource(
        tasks,
        repeats=limits.repeats,
        limit=config.selection.limit,
        finished=finished,
        expected=None if config.destination.accept_changes else record.manifest.dataset.get("sha256"),
        group=opened.grouped,
        passed=groups.add_earlier if groups is not None else None,
    )
    stack.callback(source.close)
    progress.total = source.planned
    executor: RolloutExecutor[Job]
    if not execution.spread:
        executor = InlineExecutor(beginning(stage), concurrency=execution.concurrency)
    else:
        await backends.aclose()  # whoever carries rollouts out has its own
        provider: ExecutorProvider = await enter(stack, opened.assembly.executor, Kind.EXECUTOR)
        executor = await provider.executor(opened, stage)
    return Run(
        source=source,
        executor=executor,
        record=record,
        notices=opened.notices,
        gates=stage.gates,
        finish_at=limits.finish_at,
        groups=groups,
    )


@dataclass(slots=True, kw_only=True)
class Opened:
    """The components of a run, open and looked at, with what is known of them. Nothing has been written yet.

    `tasks`: of the input, else what was listed. `given_prices`: those of a file, by model. `limiters`: of the
    models' endpoints. `earlier`: what an earlier part of the run has left of groups.
    """

    config: RunConfig
    redactor: Redactor
    outputs: Outputs | None
    observers: RunObservers
    progress: Progress
    assembler: Assembler
    assembly: Assembly
    tasks: FileSource | ReadSource | IterableSource | None
    given_prices: Mapping[str, Price]
    look: FirstLook
    budget: Budget | None
    notices: list[str]
    limiters: Limiters = field(default_factory=Limiters)
    earlier: Earlier | None = None

    @property
    def grouped(self) -> bool:
        """Whether the rollouts of a task run together, and are put together."""
        wanted = self.config.limits.group
        return self.assembly.server.describe().scores_groups if wanted is None else wanted

    @property
    def scores(self) -> bool:
        """Whether groups are scored."""
        return self.grouped and self.assembly.server.describe().scores_groups

    def open_stage(self, stack: AsyncExitStack, clock: Clock, run_id: str) -> Stage:
        """What all rollouts share, closed by `stack`."""
        return open_stage(
            stack,
            self.assembly,
            self.look,
            clock=clock,
            run_id=run_id,
            limiters=self.limiters,
            budget=self.budget,
            observers=self.observers,
        )


async def open_components(
    stack: AsyncExitStack,
    config: RunConfig,
    redactor: Redactor,
    *,
    backends: AsyncExitStack | None = None,
    tasks: Callable[[Selection, ResourceServer], IterableSource] | None = None,
    agent: bool = True,
    exists: str = EXISTS,
) -> Opened:
    """Make and open what a run is made of, and look at it; `stack` closes it, `backends` the models where it is given.

    `tasks`: how those are listed that no file has. `agent`: whether there is one. `exists`: what to do about an output
    that there is already. Raises `UsageError`, `PluginError`.
    """
    destination, limits = config.destination, config.limits
    asked = len(config.components.models) + (not agent)  # what is stored has asked a policy
    progress = Progress(
        repeats=limits.repeats,
        rewards=RewardTally(limits.repeats, destination.by),
        roles={} if asked > 1 else None,
    )
    outputs = Outputs.of(destination.output) if destination.output is not None else None
    refuse_outputs(outputs, destination.mode, config.files_read(), destination.log_file)
    if outputs is not None and destination.mode == "new":
        outputs.refuse_existing(exists)
    given_prices = read_prices(limits.prices) if limits.prices is not None else {}
    observers = stack.enter_context(RunObservers(destination.log_file, redactor))
    assembler = Assembler.of(config, redactor)
    observers.load(assembler.manager, config.components.extensions)
    made = assembler.make_all(config, agent=agent)
    source: FileSource | ReadSource | IterableSource | None = await _checked_input(config.selection, made.server)
    if backends is not None:
        await stack.enter_async_context(backends)
    assembly = await assembler.open_all(made, stack, backends)
    if source is None and tasks is not None:
        source = tasks(config.selection, assembly.server)
    look = await look_at_models(assembly.models, limits.deadlines.setup, given_prices)
    notices = [*filter(None, [source.info.notice if source is not None else None]), *look.notices]
    if redactor.passed_over:
        notices.append(SHORT_SECRET)
    budget = make_budget(
        assembly.models,
        look.prices,
        notices,
        max_tokens=limits.max_tokens,
        max_cost=limits.max_cost,
        price_file=limits.prices,
    )
    return Opened(
        config=config,
        redactor=redactor,
        outputs=outputs,
        observers=observers,
        progress=progress,
        assembler=assembler,
        assembly=assembly,
        tasks=source,
        given_prices=given_prices,
        look=look,
        budget=budget,
        notices=notices,
    )


async def open_record(
    stack: AsyncExitStack,
    opened: Opened,
    manifest: Manifest,
    tasks: SourceInfo,
    report: Callable[[str], None] = _silent,
) -> tuple[Record, Finished | None]:
    """The files of a run, begun or continued, and what a continued one has done. Raises `UsageError`, `StoreError`."""
    config, outputs, progress = opened.config, opened.outputs, opened.progress
    destination = config.destination
    store = finished = None
    if outputs is not None:
        resuming = destination.mode == "resume" and outputs.begun()
        if resuming:
            manifest = _continued(manifest, outputs, config, opened.redactor, tasks)
            repeats = max(config.limits.repeats, manifest.extent["repeats"])
            progress.rewards = RewardTally(repeats, destination.by)
        store = await stack.enter_async_context(
            ResultStore(outputs, opened.redactor, destination.mode, groups=progress.groups is not None)
        )
        if resuming:
            finished = await _read_finished(opened, outputs, report)
            if outputs.groups.exists():  # whatever this part of the run adds
                progress.groups = progress.groups or GroupTally()
            lines = await asyncio.to_thread(GroupLines, outputs.groups, progress.groups)
            if opened.grouped:
                opened.earlier = Earlier(finished, lines, manifest.extent["repeats"], destination.retry_failed)
            if store.torn:
                opened.notices.append(f"a torn last line of {store.torn} bytes was cut off; its rollout runs again")
    record = Record(manifest, store, opened.redactor, opened.observers, progress, tasks, opened.budget)
    record.begin()
    return record, finished


def make_groups(opened: Opened, stage: Stage, record: Record) -> Groups:
    """What puts the rollouts of a run's tasks together, and has them scored where the environment does that."""
    repeats = opened.config.limits.repeats
    return Groups(
        repeats,
        score=partial(stage_group, stage) if opened.scores else None,
        write=record.write_group,
        at_once=max(1, opened.config.execution.concurrency // repeats),
        tally=opened.progress.groups,
        earlier=opened.earlier,
    )


def new_run_id() -> str:
    """A name for a run that no other has."""
    return random_names.token_hex(6)


def running_clock() -> Clock:
    """The time of the event loop."""
    return Clock(asyncio.get_running_loop().time)


async def _checked_input(selection: Selection, server: ResourceServer) -> FileSource | ReadSource | None:
    if selection.input is None:
        return None
    path = selection.input

    def checked() -> FileSource | ReadSource:
        source = input_source(path, server, skip_invalid=selection.skip_invalid, task_id=selection.task_id)
        source.check()
        return source

    return await asyncio.to_thread(checked)


def list_tasks(selection: Selection, server: ResourceServer) -> IterableSource:
    """The tasks of a caller, or those that the environment ships; none of them has been looked at."""
    if selection.tasks is None:
        return server_source(server, task_id=selection.task_id)
    return IterableSource("tasks", selection.tasks, task_id=selection.task_id)


def _checked_tasks(selection: Selection, server: ResourceServer) -> IterableSource:
    source = list_tasks(selection, server)
    with blaming(source.info.name, "its tasks cannot be listed"):
        source.check(selection.limit)
    return source


def run_manifest(opened: Opened, tasks: SourceInfo) -> Manifest:
    """What is known of a run before it begins."""
    config, about = opened.config, opened.assembly.about
    limits, execution, most = config.limits, config.execution, config.limits.max_rollout_tokens
    return Manifest(
        new_run_id(),
        settings={
            "tasks": tasks.to_wire(),
            **about.described,
            "seed": config.components.seed,
            **({} if most is None else {"max_rollout_tokens": most}),
        },
        extent={"limit": config.selection.limit, "repeats": limits.repeats},
        argv=opened.redactor.arguments(config.invocation.argv),
        operational={
            "group": limits.group,
            "concurrency": execution.concurrency,
            "workers": execution.workers,
            "gateway": config.components.gateway,
            "executor": execution.executor,
            "max_tokens": limits.max_tokens,
            "max_cost": limits.max_cost,
            **about.kept(opened.look.prices),
        },
        dataset=tasks.found(),
    )


def _continued(
    manifest: Manifest, outputs: Outputs, config: RunConfig, redactor: Redactor, tasks: SourceInfo
) -> Manifest:
    """The manifest of a run that goes on. Raises `UsageError` where its results would be other ones."""
    earlier = Manifest.read(outputs.manifest)
    changes = differences(masked(redactor, earlier.settings), masked(redactor, manifest.settings))
    if changes and not config.destination.accept_changes:
        raise UsageError(
            f"{outputs.rows} was made with other settings:\n  " + "\n  ".join(changes),
            hint="--accept-changes goes on all the same, --output writes elsewhere",
        )
    manifest = manifest.continuing(earlier)
    if not changes and tasks.fingerprint is not None:  # what is not known yet was known then
        manifest = replace(manifest, dataset=earlier.dataset)
    return manifest


async def _read_finished(opened: Opened, outputs: Outputs, report: Callable[[str], None]) -> Finished:
    destination = opened.config.destination
    several = len(opened.config.components.models) > 1
    return await read_finished(
        outputs,
        opened.progress,
        retry_failed=destination.retry_failed,
        whole=several or any(field.partition(".")[0] == "response" for field in destination.by),
        report=report,
        spent=opened.budget.earlier if opened.budget is not None else None,
        places=opened.grouped,
    )
