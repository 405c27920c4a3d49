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
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any, TypeAlias

from gym_core import CallInfo, GymError, Rollout, Task, UsageError, encode_json, parse_json
from gym_core.spi import (
    Assembler,
    Clock,
    FirstLook,
    InlineExecutor,
    Job,
    Limiters,
    ModelGate,
    Redactor,
    RolloutRun,
    Watchdog,
    asked_to_end,
    beginning,
    make_meters,
    message_of,
    open_stage,
    seldom_collected,
)
from gym_workers.channel import Head
from gym_workers.encoded import EncodedRollout
from gym_workers.error_wire import cause_to_wire
from gym_workers.frames import encode_frame
from gym_workers.log_forwarding import LogSender, call_to_wire
from gym_workers.outbox import Changes, Outbox
from gym_workers.settings import WorkerSettings
from gym_workers.shared_budget import WorkerBudget
from gym_workers.shared_limits import WorkerLimiter

_Numbered: TypeAlias = tuple[int, Job]
"""A job, and what the coordinator knows it by."""

STATE_SECONDS = 0.1
"""How often it is looked whether the coordinator should know something."""
CITED_MOST = 10_000
"""So many requests that rows cite are known to have been sent; after that some are sent again, and written once."""


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
        self._watchdog = Watchdog()
        self._open = False
        self._cpu = time.process_time()
        self._cited: set[str] = set()
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
            said = {"message": message_of(error), "hint": error.hint if isinstance(error, GymError) else ""}
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
        self._stack.enter_context(seldom_collected())
        logger = logging.getLogger("gym")
        handler = LogSender(self._log, settings.log_level)
        logger.addHandler(handler)
        self._stack.callback(logger.removeHandler, handler)
        logger.setLevel(settings.log_level)
        logger.propagate = False
        assembler = Assembler.of(config, self._redactor)
        assembly = await assembler.open_all(assembler.make_all(config), self._stack)
        if assembly.about.files != settings.files:
            raise UsageError(
                "a script was changed after the run had begun",
                hint="--resume with --accept-changes goes on with the new one, --overwrite starts again",
            )
        tokens, cost = config.limits.max_tokens is not None, config.limits.max_cost is not None
        if tokens or cost:
            meters = make_meters(assembly.models, settings.prices)
            self._changes.budget = WorkerBudget(meters, tokens=tokens, cost=cost, changed=self._note_budget)
        stage = open_stage(
            self._stack,
            assembly,
            FirstLook(answered=set(settings.answered), prices=settings.prices),
            clock=Clock(self._loop.time),
            run_id=settings.run_id,
            limiters=self._limiters,
            budget=self._changes.budget,
            observers=self,
        )
        begin = self._begin_rollout = beginning(stage)
        self._executor = InlineExecutor(lambda numbered: begin(numbered[1]), concurrency=config.execution.concurrency)
        self._watchdog.start()
        self._stack.callback(self._watchdog.stop)
        self._tick()
        self._carrying = asyncio.create_task(self._carry_out())

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
            self._executor.end("the worker was closed")
            if self._carrying is not None:
                await self._carrying
            if self._ticking is not None:
                self._ticking.cancel()
        health = {"cpu_seconds": round(time.process_time() - self._cpu, 3), **self._watchdog.to_wire()}
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
        settings = self._settings
        encoded = EncodedRollout.of(rollout, self._redactor, by=settings.by, calls=settings.calls)
        wire = cause_to_wire(cause)
        if wire is not None:
            wire = parse_json(self._redactor.redact_bytes(encode_json(wire)))
        for request in encoded.cited:
            if request.hash not in self._cited:
                if len(self._cited) >= CITED_MOST:
                    self._cited.clear()
                self._cited.add(request.hash)
                self._outbox.note("requests", request.to_wire())  # in the frame of the first result that cites it
        self._outbox.result([number, len(encoded.encoded), encoded.names_task, encoded.account, wire], encoded.encoded)

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

    @property
    def model_called(self) -> Callable[[CallInfo], None] | None:
        """What the coordinator is told of model calls, if anybody listens there."""
        return partial(self._called, "model_calls") if self._settings.hears_models else None

    @property
    def tool_called(self) -> Callable[[CallInfo], None] | None:
        """What the coordinator is told of tool calls, if anybody listens there."""
        return partial(self._called, "tool_calls") if self._settings.hears_tools else None

    def _called(self, what: str, call: CallInfo) -> None:
        self._outbox.note(what, call_to_wire(call))

    def watch(self, gates: Mapping[str, ModelGate]) -> None:
        """Have the coordinator know how these gates do."""
        self._changes.gates = gates

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
