"""A run from its configuration to its summary."""

from __future__ import annotations

import asyncio
import secrets as random_names
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Self

from gym_core.contract.executor import WorkerLauncher
from gym_core.contract.hookspecs import RunInfo
from gym_core.domain.blame import blaming
from gym_core.domain.errors import InputError, StoreError, UsageError
from gym_core.domain.json_text import encode_json, parse_json
from gym_core.domain.rollout import Rollout
from gym_core.engine.assembly import Assembler, Assembly
from gym_core.engine.collector import Collector
from gym_core.engine.config import RunConfig
from gym_core.engine.executors.inline import InlineExecutor
from gym_core.engine.executors.interface import RolloutExecutor
from gym_core.engine.executors.processes import ProcessLauncher
from gym_core.engine.executors.worker_pool import make_pool
from gym_core.engine.functions.executor import Executor
from gym_core.engine.metrics.progress import Progress
from gym_core.engine.metrics.rewards import RewardTally
from gym_core.engine.model_calls.budget import Budget, make_budget
from gym_core.engine.model_calls.gate import Clock, ModelGate
from gym_core.engine.model_calls.prices import Price, find_prices, read_prices
from gym_core.engine.observers.extensions import Room
from gym_core.engine.observers.run_observers import RunObservers
from gym_core.engine.plan import Job, Plan
from gym_core.engine.preflight import check_models
from gym_core.engine.rollout.rollout_run import RolloutRun
from gym_core.engine.rollout.stage import Stage
from gym_core.engine.staging import beginning, make_gates, make_stage
from gym_core.engine.storage.collisions import refuse_outputs
from gym_core.engine.storage.manifest import Manifest, differences
from gym_core.engine.storage.resume import Finished, read_finished
from gym_core.engine.storage.store import EXISTS, Outputs, ResultStore
from gym_core.engine.storage.summary import summarize
from gym_core.engine.tasks.source import FileSource, IterableSource, server_source
from gym_core.wiring.kinds import Kind
from gym_core.wiring.making import enter
from gym_core.wiring.secrets import Redactor


class Run:
    """One run. `async with Run(config) as run` wires and checks it; `await run.execute()` collects.

    `notices`: what a user should know before it starts; `report` is told what takes long until then. `clock`:
    the time that retries and measurements go by. `progress` may
    be read at any time. Entering raises `UsageError` and `PluginError`; nothing has been paid for then and nothing
    written.
    """

    output_exists = EXISTS

    def __init__(
        self,
        config: RunConfig,
        *,
        redactor: Redactor | None = None,
        report: Callable[[str], None] = lambda message: None,
        clock: Clock | None = None,
    ) -> None:
        self.config = config
        self._clock = clock
        self._report = report
        self.redactor = redactor if redactor is not None else Redactor()
        self.run_id = random_names.token_hex(6)
        self.progress = Progress(
            repeats=config.repeats,
            rewards=RewardTally(config.repeats, config.by),
            roles={} if len(config.models) > 1 else None,
        )
        self.outputs = Outputs.of(config.output) if config.output is not None else None
        self.notices: list[str] = []
        self.gates: dict[str, ModelGate] = {}
        self._stack = AsyncExitStack()
        self._observers = RunObservers(config.log_file, self.redactor)
        self._collector: Collector | None = None
        self._begin: Callable[[Job], RolloutRun]
        self._assembly: Assembly
        self._launcher: WorkerLauncher | None = None
        self._workers_health: dict[str, Any] = {}
        self._store: ResultStore | None = None
        self._finished: Finished | None = None
        self._expected: str | None = None
        self.prices: dict[str, Price] = {}
        self.budget: Budget | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _open(self) -> None:
        config = self.config
        refuse_outputs(self.outputs, config.mode, config.files_read(), config.log_file)
        if self.outputs is not None and config.mode == "new":
            self.outputs.refuse_existing(self.output_exists)
        given_prices = read_prices(config.prices) if config.prices is not None else {}
        self._stack.enter_context(self._observers)
        source: FileSource | IterableSource | None = None
        if config.input is not None:
            source = FileSource(config.input, skip_invalid=config.skip_invalid, task_id=config.task_id)
            await asyncio.to_thread(source.check)
        assembler = Assembler(config, self.redactor)
        self._observers.load(assembler.manager, config.extensions)
        backends = await self._stack.enter_async_context(AsyncExitStack())
        assembly = await assembler.open(self._stack, backends)
        if source is None:
            given = config.tasks
            if given is None:
                source = server_source(assembly.server, task_id=config.task_id)
            else:
                source = IterableSource("tasks", given, task_id=config.task_id)
            self._look_ahead(source)
        self.source = source
        if source.info.notice:
            self.notices.append(source.info.notice)
        pricing = asyncio.create_task(asyncio.to_thread(find_prices, assembly.models, given_prices))
        try:
            look = await check_models(assembly.models, config.deadlines.setup)
        finally:
            self.prices = await pricing
        self.notices += look.notices
        if self.redactor.passed_over:
            self.notices.append(
                "a secret that is an ordinary word or shorter than 6 characters is masked in settings and URLs only; "
                "a longer one is masked wherever it stands"
            )
        self.budget = make_budget(
            assembly.models,
            self.prices,
            self.notices,
            max_tokens=config.max_tokens,
            max_cost=config.max_cost,
            price_file=config.prices,
        )
        manifest = self._manifest(assembly)
        finished = None
        if self.outputs is not None:
            manifest, finished = await self._claim_outputs(self.outputs, manifest)
        self.run_id = manifest.run_id
        self.manifest = manifest
        self._finished = finished
        self._plan = Plan(
            source,
            repeats=config.repeats,
            limit=config.limit,
            attempts=finished.attempt if finished is not None else None,
        )
        self._stack.callback(self._plan.close)
        self.progress.total = self._planned()
        self._stage = self._make_stage(assembly)
        self._begin = beginning(self._stage)
        if config.spread:
            launcher = assembly.launcher or ProcessLauncher()
            await backends.aclose()  # each worker has its own
            self._assembly = assembly
            self._launcher = await enter(self._stack, launcher, Kind.EXECUTOR)
            await self._launcher.prepare(config.workers, assembly.distributions)
        for role in look.answered:
            self.gates[role].answered = True

    def _look_ahead(self, source: IterableSource) -> None:
        with blaming(source.info.name, "its tasks cannot be listed"):
            source.check(self.config.limit)

    async def _claim_outputs(self, outputs: Outputs, manifest: Manifest) -> tuple[Manifest, Finished | None]:
        """Make the files ours: refuse, replace or continue what is there."""
        finished = None
        resuming = self.config.mode == "resume" and outputs.begun()
        if resuming:
            earlier = Manifest.read(outputs.manifest)
            changes = differences(self._redacted(earlier.settings), self._redacted(manifest.settings))
            if changes and not self.config.accept_changes:
                raise UsageError(
                    f"{outputs.rows} was made with other settings:\n  " + "\n  ".join(changes),
                    hint="--accept-changes goes on all the same, --output writes elsewhere",
                )
            manifest = manifest.continuing(earlier)
            if manifest.extent["repeats"] > self.config.repeats:  # a task has all its rollouts later than now asked for
                self.progress.rewards = RewardTally(manifest.extent["repeats"], self.config.by)
            if not changes and self.source.info.fingerprint is not None:
                self._expected = None if self.config.accept_changes else earlier.dataset.get("sha256")
                manifest = replace(manifest, dataset=earlier.dataset)
        self._store = await self._stack.enter_async_context(ResultStore(outputs, self.redactor, self.config.mode))
        if resuming:
            finished = await read_finished(
                outputs,
                self.progress,
                retry_failed=self.config.retry_failed,
                whole=len(self.config.models) > 1
                or any(field.partition(".")[0] == "response" for field in self.config.by),
                report=self._report,
                spent=self.budget.earlier if self.budget is not None else None,
            )
            torn = self._store.torn + finished.torn
            if torn:
                self.notices.append(f"a torn last line of {torn} bytes was cut off; its rollout runs again")
        self._store.write_json(outputs.manifest, self._redacted(manifest.to_wire()))
        return manifest, finished

    def _manifest(self, assembly: Assembly) -> Manifest:
        config = self.config
        settings = {"tasks": self.source.info.to_wire(), **assembly.described, "seed": config.seed}
        extent = {"limit": config.limit, "repeats": config.repeats}
        operational = {
            "concurrency": config.concurrency,
            "workers": config.workers,
            "executor": config.executor,
            "max_tokens": config.max_tokens,
            "max_cost": config.max_cost,
            "prices": {role: price.to_wire() for role, price in self.prices.items()},
            "options": assembly.operational,
            "given": assembly.given,
        }
        return Manifest(
            self.run_id,
            settings,
            extent,
            argv=self.redactor.arguments(config.argv),
            operational=operational,
            dataset=self.source.info.found(),
        )

    def _redacted(self, value: Any) -> Any:
        return self.redactor.settings(parse_json(encode_json(value, fallback=str)))

    def _planned(self) -> int | None:
        tasks, limit = self.source.info.tasks, self.config.limit
        if tasks is None:
            return None if limit is None else limit * self.config.repeats
        return (tasks if limit is None else min(tasks, limit)) * self.config.repeats

    def _make_stage(self, assembly: Assembly) -> Stage:
        clock = self._clock or Clock(asyncio.get_running_loop().time)
        self.gates = make_gates(
            assembly.models, self.config.deadlines, clock=clock, prices=self.prices, gate=self._observers.gate
        )
        executor = Executor()
        self._stack.callback(executor.close)
        return make_stage(
            self.config,
            assembly,
            self.gates,
            executor,
            clock=clock,
            run_id=self.run_id,
            budget=self.budget,
            tool_called=self._observers.tool_called,
        )

    def _make_executor(self) -> RolloutExecutor[Job]:
        """Who carries the rollouts out."""
        if self._launcher is None:
            return InlineExecutor(self._begin, concurrency=self.config.concurrency)
        return make_pool(
            self.config,
            self._launcher,
            self._assembly,
            run_id=self.run_id,
            calls=self.progress.roles is not None,
            begin=self._begin,
            gates=self.gates,
            prices=self.prices,
            budget=self.budget,
            model_called=self._observers.model_called,
            tool_called=self._observers.tool_called,
        )

    async def execute(
        self, announce: Callable[[Rollout], None] = lambda rollout: None, *, room: Room | None = None
    ) -> dict[str, Any]:
        """Collect all rollouts; returns the summary, which is on disk by then.

        `announce` is called with each rollout once it is on disk; while `room` is not set nothing new is started. What
        ended the run early is in `error`.
        """
        store, observers = self._store, self._observers
        observers.start(self._info(), self.notices)
        executor = self._make_executor()
        self._collector = Collector(
            executor,
            self._plan,
            self.progress,
            write=store.write if store is not None else lambda rollout: None,
            announce=observers.announcing(announce),
            room=observers.room(room),
            finish_at=self.config.finish_at,
        )
        known = self._check_ahead(self._collector)
        try:
            await self._collector.run()
            if isinstance(self.source, FileSource) and self.source.checked:
                await known.wait()
            if store is not None:
                await store.flush()
        except StoreError as error:
            self._collector.fail(error)
        finally:
            await observers.drain()
            self._workers_health = executor.health()
            summary = self._summarize(self._collector)
            await observers.finish(summary, self._collector.error)
        return summary

    def _check_ahead(self, collector: Collector) -> asyncio.Event:
        """Look through a long input while it runs; what is wrong with it stops the run. Sets the event at the end."""
        source, finished, repeats = self.source, self._finished, self.config.repeats
        known = asyncio.Event()
        if not isinstance(source, FileSource) or source.checked:
            known.set()
            return known
        loop = asyncio.get_running_loop()

        def conclude(error: InputError | None) -> None:
            try:
                self._checked(collector, error)
            finally:
                known.set()

        def ended(error: InputError | None) -> None:
            with suppress(RuntimeError):  # the loop is closed: the run was over before the check
                loop.call_soon_threadsafe(conclude, error)

        complete = None
        if finished is not None and len(finished) >= repeats:
            complete = partial(finished.complete, repeats=repeats)
        source.start(ended, complete)
        self._stack.callback(source.close)
        return known

    def _checked(self, collector: Collector, error: InputError | None) -> None:
        """The whole input is known: complete what was open until then."""
        found = self.source.info.found()
        if error is None and self._expected not in (None, found["sha256"]):
            error = InputError(
                f"{self.source.info.name} is not what the run began with: its SHA-256 was {self._expected}",
                hint="restore it, or go on with `--resume --accept-changes`",
            )
        if error is not None:
            collector.stop(error.message, error)
            return
        self.progress.total = self._planned()
        self.manifest = replace(self.manifest, dataset=found)
        if self._store is not None:
            try:
                self._store.write_json(self._store.outputs.manifest, self._redacted(self.manifest.to_wire()))
            except StoreError as failed:
                collector.stop(failed.message, failed)

    def _info(self) -> RunInfo:
        output = str(self.outputs.rows) if self.outputs is not None else ""
        return RunInfo(self.run_id, self._redacted(self.manifest.to_wire()), output, self.progress.total)

    def _summarize(self, collector: Collector) -> dict[str, Any]:
        state = "finished"
        if collector.stopped:
            state = "stopped" if collector.error is not None else "interrupted"
        summary: dict[str, Any] = self._redacted(
            summarize(
                self.progress,
                run_id=self.run_id,
                state=state,
                message=collector.reason,
                source=self.source.info,
                health=self._observers.health(self.gates) | self._workers_health,
                output=str(self.outputs.rows) if self.outputs is not None else None,
                budget=self.budget.to_wire() if self.budget is not None else None,
            )
        )
        if self._store is not None:
            try:
                self._store.write_json(self._store.outputs.summary, summary)
            except StoreError as error:
                collector.fail(error)
        return summary

    def stop(self, reason: str) -> None:
        """End the run early; what is under way is recorded as cancelled."""
        if self._collector is not None:
            self._collector.stop(reason)

    @property
    def error(self) -> BaseException | None:
        """What stopped the run, if anything did."""
        return self._collector.error if self._collector is not None else None
