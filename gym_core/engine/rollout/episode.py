"""One rollout: open a session, let the agent work, verify, and leave one row whatever happens."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from gym_core.contract.agent import Agent
from gym_core.contract.hookspecs import CallInfo
from gym_core.contract.model import CallContext
from gym_core.contract.resource_server import Done, ResourceServer, Session, SessionContext
from gym_core.domain.abandoned import abandon, background, end
from gym_core.domain.blame import as_exception, asked_to_end
from gym_core.domain.errors import (
    ContextLengthError,
    EpisodeOver,
    GymError,
    ModelError,
    ModelTimeoutError,
    PolicyError,
    SessionError,
    error_text,
)
from gym_core.domain.responses import (
    CONTENT_FILTER,
    CONTEXT_LENGTH,
    SESSION_DONE,
    FunctionCallOutput,
    Item,
    Request,
    Response,
)
from gym_core.domain.rollout import ModelCall, Rollout, Status, Verdict
from gym_core.domain.task import Task
from gym_core.domain.tool_calls import sent_request
from gym_core.engine.bounds.alarms import OUTSIDE, Alarm, Scope, Watch
from gym_core.engine.bounds.deadlines import DeadlineExceeded, Deadlines
from gym_core.engine.functions.executor import Executor
from gym_core.engine.model_calls.budget import Budget
from gym_core.engine.model_calls.gate import Answer, Clock, ModelGate, Models, release
from gym_core.engine.model_calls.prices import Price, cost_of
from gym_core.engine.model_calls.reservations import Reservations
from gym_core.engine.rollout.episode_view import POLICY, EpisodeView
from gym_core.engine.rollout.failure import Failure, blame_row, failure_of
from gym_core.engine.rollout.guarded_session import GuardedSession
from gym_core.engine.rollout.items import checked_items
from gym_core.engine.rollout.observed_toolbox import ObservedToolbox
from gym_core.engine.rollout.recording import Recording
from gym_core.engine.rollout.row import build_row
from gym_core.engine.rollout.toolbox import Toolbox
from gym_core.engine.rollout.verify import checked_verdict

_SELF_CANCELLED = "a plugin's code has cancelled its task"


@dataclass(frozen=True, slots=True)
class Stage:
    """What all rollouts of a run share.

    `gates`: the models by role. `about`: what stands in each row of model, env and agent. `model_seeds`: whether
    calls carry a seed. `tool_called`: who listens to tool calls, if anybody does.
    """

    server: ResourceServer
    agent: Agent
    gates: Mapping[str, ModelGate]
    executor: Executor
    watch: Watch
    clock: Clock
    deadlines: Deadlines
    run_id: str = ""
    seed: int = 0
    model_seeds: bool = False
    about: Mapping[str, Any] | None = None
    tool_called: Callable[[CallInfo], None] | None = None
    budget: Budget | None = None


def derive_seed(seed: int, task_id: str, repeat: int) -> int:
    """The seed of one rollout, 0 to 2**31 - 1: the same for the same run seed, task and repeat, everywhere."""
    digest = hashlib.blake2b(f"{seed}/{task_id}/{repeat}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1


async def run_rollout(stage: Stage, task: Task, repeat: int = 0, attempt: int = 1) -> Rollout:
    """Run one rollout to its row. Raises nothing but a cancellation from outside."""
    return await carry_out(RolloutRun(stage, task, repeat, attempt))


async def carry_out(run: RolloutRun) -> Rollout:
    """A rollout in a task of its own. It ends when it is to, whether or not the code that works on it does.

    Raises nothing but a cancellation from outside.
    """
    loop = asyncio.get_running_loop()
    ended = loop.create_future()  # of its own: what is awaited is cancelled with who awaits it
    without: list[Rollout] = []

    def end(task: asyncio.Task[Rollout] | None = None) -> None:
        if not ended.done():
            ended.set_result(None)

    def give_up(run: RolloutRun, exceeded: DeadlineExceeded | None) -> None:
        without.append(run.abandon(exceeded))
        end()

    run.given_up = give_up
    task = loop.create_task(run.run())
    task.add_done_callback(end)
    try:
        await ended
    except asyncio.CancelledError:
        ended = loop.create_future()
        if not run.end():
            task.cancel()
        if not (task.done() or without):
            await ended
        raise
    finally:
        if not task.done():
            abandon(task)
    return without[0] if without else task.result()


class RolloutRun:
    """One rollout while it runs."""

    __slots__ = (
        "_alarm",
        "_asking",
        "_broken",
        "_context",
        "_done",
        "_guard",
        "_over",
        "_phase",
        "_refusal",
        "_request",
        "_session",
        "_toolbox",
        "attempt",
        "closing",
        "failure",
        "given_up",
        "recording",
        "repeat",
        "reservations",
        "seed",
        "stage",
        "started",
        "task",
        "verifying",
    )  # fmt: skip

    def __init__(self, stage: Stage, task: Task, repeat: int, attempt: int) -> None:
        self.stage = stage
        self.task = task
        self.repeat = repeat
        self.attempt = attempt
        self.seed = derive_seed(stage.seed, task.task_id, repeat)
        self._request = task.request
        self.recording = Recording(self._request.input)
        self._context = self._call_context(POLICY)
        self._session: Session[Any] | None = None
        self._toolbox: Toolbox | None = None
        self._phase = "setup"
        self._broken: tuple[str, BaseException] | None = None
        self._done: Done | None = None
        self._alarm: Alarm
        self._guard: GuardedSession | None = None
        self._asking: set[asyncio.Task[Any] | None] = set()
        self._over = False
        self._refusal = ""
        self.given_up: Callable[[RolloutRun, DeadlineExceeded | None], None] | None = None
        """Called when the rollout's task goes on although it was cancelled: by a bound, or by `end`. See `abandon`."""
        self.closing: asyncio.Future[Any] | None = None
        self.failure: Failure | None = None
        self.reservations = Reservations(stage.budget) if stage.budget is not None else None
        self.started = stage.clock.time()
        self.verifying: float | None = None

    async def run(self) -> Rollout:
        """All phases in order; the row says how far it came."""
        self.started = self.stage.clock.time()
        seconds = self.stage.deadlines.rollout
        stop_reason: str | None = None
        verdict: Verdict | None = None
        self._alarm = self.stage.watch.alarm()
        self._alarm.give_up = self._overdue
        try:
            with self._alarm.within("rollout", seconds):
                stop_reason, verdict = await self._attempt()
        except BaseException as error:
            # The boundary: every failure of a rollout becomes its row, and nothing of it passes on.
            if asked_to_end(error):
                if not isinstance(error, asyncio.CancelledError) or await self._is_to_end():
                    raise
                error = asyncio.CancelledError(": ".join(filter(None, (_SELF_CANCELLED, error_text(error)))))
            self.failure = failure_of(blame_row(error, self.task) if self._phase == "setup" else error, self._phase)
        finally:
            self._alarm.close()
            self._refuse("the rollout is over")
            self._over = True
            # Session and rollout hold each other; letting go here frees both at once, without the garbage collector.
            self._session = self._toolbox = self._guard = None
        if self._alarm.others:
            await self._end_others(self._alarm.others)
        if self._alarm.held:  # of calls that were abandoned
            self._release_held()
        return self._concluded(stop_reason, verdict)

    def _concluded(self, stop_reason: str | None, verdict: Verdict | None) -> Rollout:
        if self.reservations is not None and self.reservations.denied is not None:
            # Whatever agent and session made of the refusal: without the call the result would say nothing.
            verdict, self.failure = None, failure_of(self.reservations.denied, self._phase)
        return self._row(stop_reason, verdict, self.failure)

    @property
    def worker(self) -> asyncio.Task[Any]:
        """The task that it runs in, once it has begun."""
        return self._alarm.task

    def end(self) -> bool:
        """End the rollout from outside: its task is cancelled. False if it has not begun."""
        if not hasattr(self, "_alarm"):
            return False
        self._alarm.end()
        return True

    async def _is_to_end(self) -> bool:
        """Whether the cancellation that came just now was asked for by those who run it, and not by its own code."""
        if self._alarm.ended is None:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0)  # where all tasks of the loop are cancelled, theirs hears of it in the same turn
        return self._alarm.ended is not None

    def _overdue(self, scope: Scope) -> None:
        if self.given_up is not None:
            self.given_up(self, None if scope is OUTSIDE else DeadlineExceeded(scope.phase, scope.seconds))

    def abandon(
        self,
        exceeded: DeadlineExceeded | None,
        reason: str = "the rollout was cancelled",
        stop_reason: str | None = None,
    ) -> Rollout:
        """The row of a rollout whose task goes on although it was cancelled, by a bound or, for a reason, from outside.

        It is over for agent and session: what model calls under way hold is released, and the session is closed, which
        `closing` waits for.
        """
        watch, what = self.stage.watch, f"task {self.task.task_id!r}, repeat {self.repeat}: its {self._phase}"
        self._refuse("the rollout is over")
        self._over = True
        self._alarm.close()
        self._release_held()
        for task in self._alarm.others:
            task.cancel()
            abandon(task)
        self._alarm.task.cancel()
        # One author's mistake is every rollout's: one warning will do, the rows and the log have them all.
        abandon(self._alarm.task, what, logging.INFO if watch.abandoned else logging.WARNING)
        watch.abandoned += 1
        if self._guard is not None and self._session is not None:
            self.closing = background(self._guard.__aexit__(None, None, None))
        if exceeded is None:
            return self.cancelled(reason, stop_reason)
        error: GymError = exceeded
        if exceeded.phase == "model_call":
            error = ModelTimeoutError(exceeded.message)
        self.failure = failure_of(error, self._phase)
        return self._concluded(None, None)

    async def _end_others(self, others: Iterable[asyncio.Task[Any]]) -> None:
        """End tasks of the author's own that are not to go on."""
        late = [*others]
        if late:
            self._alarm.others.difference_update(late)
            await end(late, f"task {self.task.task_id!r}, repeat {self.repeat}: a task that its code has started")

    def _release_held(self) -> None:
        for held in self._alarm.held:
            release(*held)
        self._alarm.held.clear()

    def cancelled(self, reason: str, stop_reason: str | None = None) -> Rollout:
        """The row of a rollout that was ended from outside."""
        error = {"class": "Cancelled", "message": reason, "phase": self._phase, "retryable": True}
        return self._row(None, None, Failure(Status.CANCELLED, error, stop_reason))

    async def _attempt(self) -> tuple[str, Verdict]:
        stage, task = self.stage, self.task
        models = Models(stage.gates, self._ask_as)
        context = SessionContext(seed=self.seed, repeat=self.repeat, models=models)
        opened = stage.server.open_session(task, context)
        guard = self._guard = GuardedSession(opened, self._alarm, stage.executor, stage.deadlines)
        async with guard as session:
            self._session = session
            for role in session.roles:
                models[role]
            if type(session).setup is not Session.setup:  # nothing to do is done without asking
                opening = await stage.executor.call(self._alarm, "setup", stage.deadlines.setup, session.setup)
                if opening is not None:
                    self.recording.add(checked_items(opening, "setup"))
            toolbox = self._toolbox = Toolbox(
                session,
                self._request.body.get("tools"),
                recording=self.recording,
                executor=stage.executor,
                alarm=self._alarm,
                seconds=stage.deadlines.tool,
            )
            if stage.tool_called is not None:
                self._toolbox = toolbox = ObservedToolbox(toolbox, (task.task_id, self.repeat), stage.tool_called)
            body = {**self._request.body, "input": self.recording.visible}
            if toolbox.schemas:
                body["tools"] = toolbox.schemas
            self._request = Request(body)
            self._phase = "agent"
            stop_reason = await self._run_agent()
            # What the agent has left behind makes no calls any more; what the session has may, until the verdict.
            self._refuse("the agent's work on this rollout is over")
            if self._alarm.others:
                await self._end_others(self._alarm.others - self._asking)
            self._phase = "verify"
            self.verifying = stage.clock.time()
            verdict = await stage.executor.call(
                self._alarm, "verify", stage.deadlines.verify, session.verify, self.recording.trajectory(stop_reason)
            )
            return stop_reason, checked_verdict(verdict)

    async def _run_agent(self) -> str:
        try:
            stop_reason = await self.stage.agent.run(EpisodeView(self))
        except EpisodeOver:
            stop_reason = ""
        except ContextLengthError:
            stop_reason = CONTEXT_LENGTH
        except PolicyError:
            stop_reason = CONTENT_FILTER
        if self._broken is not None:  # an agent that caught the environment's error does not make it undone
            self._phase, error = self._broken
            raise error
        if self._done is not None:
            return self._done.reason
        if not isinstance(stop_reason, str):
            raise GymError(f"the agent returned {stop_reason!r}; a stop reason is a text")
        return stop_reason

    # What an episode offers to the agent

    async def respond(self, items: Sequence[Item], actor: str, params: Mapping[str, Any]) -> Response:
        """A call of the policy, recorded as part of the conversation."""
        if self._refusal:
            raise EpisodeOver(self._refusal)
        if self._broken is not None:
            raise self._broken[1]
        if self._done is not None:
            raise EpisodeOver("the session has ended the episode")
        if not isinstance(items, list | tuple):
            items = list(items)
        recording = self.recording
        stretches = recording.refer(items)
        gate = self.stage.gates[POLICY]
        request = self._request.with_input(items, params)
        if recording.odd:
            request = sent_request(request)
        reservation = None
        if self.reservations is not None:
            reservation = self.reservations.for_turn(POLICY, request, stretches, params)
        try:
            answer = await gate.call(request, self._context, self._alarm, reservation)
        except ModelError as error:
            if error.fatal:  # it hits all rollouts alike, whatever the agent makes of it
                raise self._break("model", error) from error.__cause__
            raise
        response = answer.response
        output: list[list[int] | Item] = [recording.add(response.output)]
        recording.called(_model_call(POLICY, actor, stretches, output, answer, params, gate.price), response)
        return response

    async def call_tools(self, calls: Sequence[Mapping[str, Any]]) -> list[FunctionCallOutput]:
        """The calls of one response; their outputs are recorded in the order of the calls."""
        if self._refusal:
            raise EpisodeOver(self._refusal)
        assert self._toolbox is not None
        assert self._session is not None
        toolbox = self._toolbox
        for call in calls:
            if not call.get("call_id"):
                calls = self.recording.named(calls)
                break
        try:
            if len(calls) > 1 and self._session.concurrent_tools:
                outputs = await self._at_once(calls)
            else:
                outputs = [await toolbox.call(call) for call in calls]
        except GymError as error:
            raise self._break("tool", error) from error.__cause__
        self._done = self._done or toolbox.done
        self.recording.add(outputs)
        return outputs

    async def _at_once(self, calls: Sequence[Mapping[str, Any]]) -> list[FunctionCallOutput]:
        toolbox = self._toolbox
        assert toolbox is not None
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(toolbox.call(call)) for call in calls]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [task.result() for task in tasks]

    async def reply(self, response: Response) -> Sequence[Item]:
        """The environment's answer to a response without calls."""
        if self._refusal:
            raise EpisodeOver(self._refusal)
        session = self._session
        assert session is not None
        if type(session).reply is Session.reply:  # most sessions have nothing to say
            return ()
        seconds = self.stage.deadlines.setup
        try:
            answer = await self.stage.executor.call(self._alarm, "reply", seconds, session.reply, response)
        except BaseException as error:
            if asked_to_end(error):
                raise
            raised = as_exception(error)
            raise self._break("reply", raised) from raised.__cause__
        if isinstance(answer, Done):
            if answer.reason != SESSION_DONE:
                self._done = answer
            return ()
        try:
            items = checked_items(answer, "reply")
        except SessionError as error:
            raise self._break("reply", error) from None
        self.recording.add(items)
        return items

    @property
    def session_name(self) -> str:
        """The class of the session, empty until it is open."""
        return type(self._session).__name__ if self._session is not None else ""

    @property
    def request(self) -> Request:
        """The request as the agent sees it."""
        return self._request

    def _refuse(self, why: str) -> None:
        """Let the agent do nothing more: what it has left running would be paid for and stand in no row."""
        self._refusal = self._refusal or why

    def _break(self, phase: str, error: BaseException) -> BaseException:
        if self._broken is None:
            self._broken = (phase, error)
        self._phase = phase
        return error

    # Models of other roles

    async def _ask_as(self, role: str, request: Request) -> Response:
        """A call of a session to one of its models; it is no part of the conversation, so it is recorded in place."""
        if self._over:
            raise EpisodeOver("the rollout is over")
        context = self._call_context(role)
        params = {name: value for name, value in request.body.items() if name != "input"}
        gate = self.stage.gates[role]
        reservation = self.reservations.for_call(role, request) if self.reservations is not None else None
        task = asyncio.current_task()
        self._asking.add(task)
        try:
            answer = await gate.call(sent_request(request), context, self._alarm, reservation)
        finally:
            self._asking.discard(task)
        response = answer.response
        call = _model_call(role, role, [*request.input], [*response.output], answer, params, gate.price)
        self.recording.called(call, response)
        return response

    def _call_context(self, role: str) -> CallContext:
        key = (self.task.task_id, self.repeat)
        return CallContext(key, role, self.seed if self.stage.model_seeds else None)

    def _row(self, stop_reason: str | None, verdict: Verdict | None, failure: Failure | None) -> Rollout:
        return build_row(self, stop_reason, verdict, failure)


def _model_call(
    role: str,
    actor: str,
    input: list[list[int] | Item],
    output: list[list[int] | Item],
    answer: Answer,
    params: Mapping[str, Any] | None,
    price: Price | None,
) -> ModelCall:
    body = answer.response.body
    identity = {"response_id": body.get("id"), "model": body.get("model")}
    usage = body.get("usage")
    call = ModelCall(
        role, actor, input, output, usage, answer.latency, answer.waited, answer.attempts, params or None, identity
    )
    if price is not None:
        call.cost = cost_of(price, usage)
    return call
