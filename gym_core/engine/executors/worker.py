"""A worker: assembles the components of a run for itself, runs the rollouts it is sent, and sends back what they left.

It knows nothing of processes or clusters: frames come in through `receive` and go out through the function it was made
with.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any, TypeAlias

from gym_core.contract.executor import Head
from gym_core.contract.hookspecs import CallInfo
from gym_core.domain.blame import asked_to_end, hint_of, message_of
from gym_core.domain.errors import UsageError
from gym_core.domain.json_text import JsonError, encode_json, parse_json
from gym_core.domain.rollout import Rollout
from gym_core.domain.task import Task
from gym_core.engine.assembly import Assembler, Assembly
from gym_core.engine.executors.error_wire import cause_to_wire
from gym_core.engine.executors.frames import encode_frame
from gym_core.engine.executors.inline import InlineExecutor
from gym_core.engine.executors.log_forwarding import LogSender, call_to_wire
from gym_core.engine.executors.outbox import Changes, Outbox
from gym_core.engine.executors.settings import WorkerSettings
from gym_core.engine.executors.shared_budget import WorkerBudget
from gym_core.engine.executors.shared_limits import WorkerLimiter
from gym_core.engine.functions.executor import Executor
from gym_core.engine.model_calls.budget import make_meters
from gym_core.engine.model_calls.gate import Clock
from gym_core.engine.model_calls.observed_gate import made_gate
from gym_core.engine.model_calls.rate_limits import Limiters
from gym_core.engine.observers.watchdog import LoopHealth
from gym_core.engine.rollout.rollout_run import CANCELLED, RolloutRun
from gym_core.engine.rollout.row import unwritable
from gym_core.engine.staging import beginning, make_gates, make_stage
from gym_core.engine.storage.encoded import FreshRollout, account_of
from gym_core.engine.storage.store import encode
from gym_core.engine.tasks.job import Job
from gym_core.engine.tasks.keys import KeyTable
from gym_core.wiring.secrets import Redactor

_Numbered: TypeAlias = tuple[int, Job]
"""A job, and what the coordinator knows it by."""

STATE_SECONDS = 0.1
"""How often it is looked whether the coordinator should know something."""


class Worker:
    """One worker. `send` takes a whole frame. `ended` is set once there is nothing left to send."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._stack = AsyncExitStack()
        self._redactor = Redactor()
        self._settings: WorkerSettings
        self._executor: InlineExecutor[_Numbered]
        self._begin_rollout: Callable[[Job], RolloutRun]
        self._limiters = Limiters(self._new_limiter)
        self._changes = Changes(self._limiters)
        self._outbox = Outbox(send, self._redactor, self._changes)
        self._health = LoopHealth()
        self._open = False
        self._cpu = time.process_time()
        self._cited = KeyTable()
        self._early: list[tuple[Head, bytes]] = []
        self._opening: asyncio.Task[None] | None = None
        self._running: asyncio.Task[None] | None = None
        self._carrying: asyncio.Task[None] | None = None
        self._jobs: deque[_Numbered] = deque()
        self._fed = asyncio.Event()
        self._over = False
        self._paused = self._behind = False
        self._room = asyncio.Event()
        self._room.set()
        self._ticking: asyncio.TimerHandle | None = None
        self.ended = asyncio.Event()

    # What the coordinator says

    def receive(self, head: Head, body: bytes) -> None:
        """Take a frame of the coordinator."""
        if "start" in head:
            self._opening = asyncio.create_task(self._begin(pickle.loads(body)))
        elif not self._open and "close" not in head:
            self._early.append((head, body))
        else:
            self._act(head, body)

    def _act(self, head: Head, body: bytes) -> None:
        if "jobs" in head:
            self._add_jobs(head["jobs"], body)
        budget = self._changes.budget
        if "lend" in head and budget is not None:
            budget.lent(*head["lend"])
        if "deny" in head and budget is not None:
            budget.deny(head["deny"])
        if "share" in head:
            endpoint, *share = head["share"]
            self._limiter(endpoint).lent(*share)
        if "lower" in head:
            endpoint, generation = head["lower"]
            self._limiter(endpoint).lower(generation)
        if "concurrency" in head:
            self._executor.set_concurrency(head["concurrency"])
        if "paused" in head:
            self._paused = head["paused"]
            self._set_room()
        if "cancel" in head:
            self._cancel(*head["cancel"])
        if "end" in head:
            self._end(*head["end"])
        if "let_go" in head:
            self._let_go(*head["let_go"])
        if "close" in head:
            self.close()

    def _add_jobs(self, jobs: list[list[Any]], body: bytes) -> None:
        start = 0
        for number, task_id, index, repeat, attempt, size, from_file in jobs:
            line = body[start : start + size]
            start += size
            task = Task(parse_json(line), task_id=task_id, index=index, source=line if from_file else None)
            self._jobs.append((number, Job(task, repeat, attempt)))
        self._fed.set()

    def _end(self, reason: str, stop_reason: str | None, drain: bool) -> None:
        self._over = True
        if self._jobs:
            self._outbox.note("dropped", *(number for number, _ in self._jobs))
            self._outbox.now()
            self._jobs.clear()
        self._executor.end(reason, stop_reason, drain=drain)

    def _let_go(self, reason: str, stop_reason: str) -> None:
        self._executor.let_go(reason, stop_reason)
        while self._jobs:
            number, job = self._jobs.popleft()
            self._finished(number, self._begin_rollout(job).cancelled(reason, stop_reason))

    def _cancel(self, task_id: str, repeat: int | None, reason: str) -> None:
        self._executor.cancel(task_id, repeat, reason)
        jobs, self._jobs = self._jobs, deque()
        for number, job in jobs:
            if job.task.task_id == task_id and repeat in (None, job.repeat):
                self._finished(number, self._begin_rollout(job).cancelled(reason))
            else:
                self._jobs.append((number, job))

    def close(self) -> None:
        """Let everything end and be closed; `ended` is set then."""
        if self._running is None:
            self._running = asyncio.create_task(self._close())

    # Life

    async def _begin(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._outbox.seconds = settings.flush_seconds
        try:
            await self._assemble(settings)
        except BaseException as error:
            if asked_to_end(error):
                raise
            await self._close_components()
            said = {"message": message_of(error), "hint": hint_of(error)}
            failed = {name: self._redactor.redact(text) for name, text in said.items()}
            self._send(encode_frame({"failed": failed}))
            self.ended.set()
            return
        self._open = True
        self._cpu = time.process_time()
        self._send(encode_frame({"ready": os.getpid()}))
        for head, body in self._early:
            self._act(head, body)
        self._early.clear()

    async def _assemble(self, settings: WorkerSettings) -> None:
        config = settings.config
        settings.inherit()
        logger = logging.getLogger("gym")
        handler = LogSender(self._log, settings.log_level)
        logger.addHandler(handler)
        self._stack.callback(logger.removeHandler, handler)
        logger.setLevel(settings.log_level)
        logger.propagate = False
        assembly = await Assembler.of(config, self._redactor).open_run(config, self._stack)
        if assembly.about.files != settings.files:
            raise UsageError(
                "a script was changed after the run had begun",
                hint="--resume with --accept-changes goes on with the new one, --overwrite starts again",
            )
        clock = Clock(self._loop.time)
        gates = self._changes.gates = make_gates(
            assembly.models,
            config.limits.deadlines,
            clock=clock,
            prices=settings.prices,
            answered=settings.answered,
            gate=partial(made_gate, self._model_called if settings.hears_models else None),
            limiters=self._limiters,
        )
        budget = self._changes.budget = self._leased(
            config.limits.max_tokens is not None, config.limits.max_cost is not None, assembly
        )
        executor = Executor()
        self._stack.callback(executor.close)
        stage = make_stage(
            config,
            assembly,
            gates,
            executor,
            clock=clock,
            run_id=settings.run_id,
            budget=budget,
            tool_called=self._tool_called if settings.hears_tools else None,
        )
        begin = self._begin_rollout = beginning(stage)
        self._executor = InlineExecutor(lambda numbered: begin(numbered[1]), concurrency=config.execution.concurrency)
        self._health.start()
        self._stack.callback(self._health.stop)
        self._tick()
        self._carrying = asyncio.create_task(self._carry_out())

    def _leased(self, tokens: bool, cost: bool, assembly: Assembly) -> WorkerBudget | None:
        if not tokens and not cost:
            return None
        meters = make_meters(assembly.models, self._settings.prices)
        return WorkerBudget(meters, tokens=tokens, cost=cost, changed=self._note_budget)

    def _new_limiter(self) -> WorkerLimiter:
        self._outbox.soon()  # the coordinator may not know the endpoint
        return WorkerLimiter(self._outbox.now)

    def _limiter(self, endpoint: str) -> WorkerLimiter:
        limiter = self._limiters.of(endpoint)
        assert isinstance(limiter, WorkerLimiter)
        return limiter

    async def _close(self) -> None:
        if self._opening is not None:
            await self._opening
        if self._open:
            self._over = True
            self._executor.end(CANCELLED)
            if self._carrying is not None:
                await self._carrying
            if self._ticking is not None:
                self._ticking.cancel()
        health = {"cpu_seconds": round(time.process_time() - self._cpu, 3), **self._health.to_wire()}
        await self._close_components()
        self._outbox.note("bye", health)
        self._outbox.flush()
        self.ended.set()

    async def _close_components(self) -> None:
        try:
            await self._stack.aclose()
        except BaseException as error:
            if asked_to_end(error):
                raise
            self._broken(error)

    # Rollouts

    async def _carry_out(self) -> None:
        """Carry out what comes, and have what it left sent, until there is an end."""
        try:
            async for finished in self._executor.run(self._next_jobs()):
                self._finished(finished.job[0], finished.rollout, finished.cause)
        except Exception as error:
            self._broken(error)

    async def _next_jobs(self) -> AsyncGenerator[_Numbered, None]:
        while True:
            if self._jobs and self._room.is_set():
                yield self._jobs.popleft()
            elif self._over:
                return
            elif not self._room.is_set():
                await self._room.wait()
            else:
                if self._outbox.holds_results:
                    self._outbox.now()  # somebody is idle until the coordinator knows
                self._fed.clear()
                await self._fed.wait()

    def _finished(self, number: int, rollout: Rollout, cause: BaseException | None = None) -> None:
        """Encode what a rollout left, and have it sent."""
        try:
            line = encode(rollout)
        except JsonError as error:
            rollout = unwritable(rollout, error)
            line = encode(rollout)
        line = self._redactor.redact_bytes(line)
        settings = self._settings
        account = account_of(rollout.row, by=tuple(settings.config.destination.by), calls=settings.calls)
        if account["rollout"]["error"]:
            account = parse_json(self._redactor.redact_bytes(encode_json(account)))
        wire = cause_to_wire(cause)
        if wire is not None:
            wire = parse_json(self._redactor.redact_bytes(encode_json(wire)))
        names_task = isinstance(rollout, FreshRollout) and rollout.names_task
        if isinstance(rollout, FreshRollout):
            for request in rollout.cited:
                if self._cited.add(bytes.fromhex(request.hash)):
                    self._outbox.note("requests", request.to_wire())  # in the frame of the first result that cites it
        self._outbox.result([number, len(line), names_task, account, wire], line)

    def _broken(self, error: BaseException) -> None:
        """Something is wrong with the worker itself: the coordinator has to know."""
        self._outbox.note("broken", message_of(error))

    # What goes to the coordinator

    def pause(self) -> None:
        """The coordinator is behind with reading: start nothing new."""
        self._behind = True
        self._set_room()

    def proceed(self) -> None:
        """The coordinator has caught up."""
        self._behind = False
        self._set_room()

    def _set_room(self) -> None:
        if self._behind or self._paused:
            self._room.clear()
        else:
            self._room.set()

    def _model_called(self, call: CallInfo) -> None:
        self._outbox.note("model_calls", call_to_wire(call))

    def _tool_called(self, call: CallInfo) -> None:
        self._outbox.note("tool_calls", call_to_wire(call))

    def _log(self, record: dict[str, Any]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._outbox.note, "logs", record)

    def _note_budget(self, urgent: bool) -> None:
        self._changes.budget_changed = True
        if urgent:
            self._outbox.now()

    def _tick(self) -> None:
        self._ticking = self._loop.call_later(STATE_SECONDS, self._tick)
        if self._changes.pressing:
            self._outbox.soon()
